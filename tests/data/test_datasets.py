"""Checks every registered dataset: what it declares, what it loads, and that it loads nothing before it is asked to."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

import pytest
import torch

from normlib.data import datasets, names
from normlib.data.dataset import DataError
from normlib.data.splits import load_splits
from normlib.data.synthetic import Synthetic
from normlib.data.vision import TorchvisionDataset

EMBEDDED = [name for name in names() if not issubclass(datasets[name].cls, TorchvisionDataset)]


@pytest.mark.parametrize("name", names())
def test_every_dataset_declares_itself_without_loading(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cls = datasets[name].cls
    monkeypatch.setattr(cls, "load", lambda *_: pytest.fail("loaded"))
    dataset = cls()
    assert all(isinstance(side, int) and side > 0 for side in dataset.input_shape)
    assert isinstance(dataset.num_classes, int)
    assert dataset.num_classes >= 2
    assert set(dataset.sizes) == {"train", "validation", "test"}
    assert all(isinstance(size, int) and size > 0 for size in dataset.sizes.values())
    assert isinstance(dataset.version, str)
    assert dataset.version
    assert datasets[name].summary, "the docstring is what `normlib list` shows"


def test_versions_tell_datasets_apart() -> None:
    versions = [datasets[name].cls().version for name in names()]
    assert len(set(versions)) == len(versions)


@pytest.mark.parametrize("name", EMBEDDED)
def test_embedded_datasets_load_what_they_declare(name: str) -> None:
    dataset = datasets[name].cls()
    dataset.prepare(Path("unused"))
    for split, part in load_splits(dataset, 0, Path("unused")).items():
        assert part.inputs.shape == (dataset.sizes[split], *dataset.input_shape)
        assert part.inputs.isfinite().all()
        assert set(part.targets.tolist()) == set(range(dataset.num_classes))


def test_there_are_embedded_datasets() -> None:
    assert {"digits", "synthetic"} <= set(EMBEDDED)


@pytest.mark.parametrize("shape", [[7], [3, 5], [3, 4, 4], [2, 3, 4, 5]])
def test_synthetic_data_take_any_shape_and_size(shape: list[int]) -> None:
    dataset = Synthetic(shape=shape, classes=3, train=20, validation=10, test=5)
    splits = load_splits(dataset, 0, Path("unused"))
    assert {name: part.inputs.shape for name, part in splits.items()} == {
        "train": (20, *shape), "validation": (10, *shape), "test": (5, *shape),
    }  # fmt: skip


def test_synthetic_data_are_always_the_same_and_draw_no_global_random_numbers() -> None:
    before = torch.get_rng_state()
    first, second = (Synthetic([4], train=10, validation=5, test=5).load(Path("unused"))["all"] for _ in range(2))
    assert torch.equal(first.inputs, second.inputs)
    assert torch.equal(torch.get_rng_state(), before)


def test_noise_widens_the_synthetic_clusters() -> None:
    def spread(noise: float) -> float:
        part = Synthetic([64], classes=2, train=200, validation=2, test=2, noise=noise).load(Path("unused"))["all"]
        return float(part.inputs[part.targets == 0].std(0).mean())

    assert spread(0.0) == pytest.approx(0.0, abs=1e-6)  # the same centre each time
    # 64 x 102 values: the deviation is right to 1/sqrt(2 * 6528) = 0.9 %; four times that.
    assert spread(1.0) == pytest.approx(1.0, rel=0.04)
    assert spread(3.0) == pytest.approx(3.0, rel=0.04)


@pytest.mark.parametrize(
    "settings",
    [{"classes": 1}, {"train": 0}, {"validation": 0}, {"test": -1}, {"shape": []}, {"shape": [3, 0, 3]}],
    ids=str,
)
def test_synthetic_data_that_cannot_be_are_refused(settings: dict[str, object], make_run) -> None:
    with pytest.raises(DataError, match="needs at least 2 classes, one sample a split and a shape of positive sides"):
        Synthetic(**settings)
    overrides = [f"data.{key}={value}".replace(" ", "") for key, value in settings.items()]
    with pytest.raises(ValueError, match="needs at least 2 classes"):
        make_run("data=synthetic", *overrides)


def test_more_classes_than_samples_is_no_crash() -> None:
    splits = load_splits(Synthetic([2], classes=50, train=10, validation=5, test=5), 0, Path("unused"))
    assert [len(splits[name]) for name in ("train", "validation", "test")] == [10, 5, 5]


def test_the_extra_is_no_dependency() -> None:
    """Datasets from torchvision are registered and planned whether or not it is installed."""
    without = [name for name in names() if issubclass(datasets[name].cls, TorchvisionDataset)]
    assert {"cifar10", "cifar100", "mnist", "fashion_mnist"} <= set(without)
    assert importlib.util.find_spec("normlib.data.vision") is not None
    assert all(math.prod(datasets[name].cls().input_shape) in (784, 3072) for name in without)
