"""Checks every registered dataset: what it declares, what it loads, and that it loads nothing before it is asked to."""

from __future__ import annotations

import functools
import importlib.util
import math
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from normlib.data import datasets, names
from normlib.data.characters import TEXT, Characters
from normlib.data.dataset import DataError, Samples
from normlib.data.shapes import Shapes
from normlib.data.splits import content_hash, load_splits
from normlib.data.synthetic import Synthetic
from normlib.data.vision import TorchvisionDataset
from normlib.tasks import tasks

OWN_FILES = ("arrays", "folder")  # read files that a user names
NAMES = [name for name in names() if name not in OWN_FILES]
EMBEDDED = [name for name in NAMES if not issubclass(datasets[name].cls, TorchvisionDataset)]
SPLITS = ("train", "validation", "test")


@pytest.mark.parametrize("name", NAMES)
def test_every_dataset_declares_itself_without_loading(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cls = datasets[name].cls
    monkeypatch.setattr(cls, "load", lambda *_: pytest.fail("loaded"))
    dataset = cls()
    dataset.check_declaration()
    task = tasks[dataset.task].cls()
    assert task.num_outputs(dataset) >= 1
    assert datasets[name].summary, "the docstring is what `normlib list` shows"
    assert dataset.fixed, "what comes with normlib is not loaded only to see whether it was edited"


def test_versions_tell_datasets_apart() -> None:
    versions = [datasets[name].cls().version for name in NAMES]
    assert len(set(versions)) == len(versions)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, Samples]]:
    """``loaded(name)``: the splits of a dataset, loaded once, with the data folder that it was prepared in."""
    data_dir = tmp_path_factory.mktemp("data")

    @functools.cache
    def load(name: str) -> dict[str, Samples]:
        dataset = datasets[name].cls()
        dataset.prepare(data_dir)
        return load_splits(dataset, 0, data_dir)

    return load


@pytest.mark.parametrize("name", EMBEDDED)
def test_embedded_datasets_load_what_they_declare(name: str, loaded: Callable[[str], dict[str, Samples]]) -> None:
    dataset = datasets[name].cls()
    task = tasks[dataset.task].cls()
    for split, part in loaded(name).items():
        assert part.inputs.shape == (dataset.sizes[split], *dataset.input_shape)
        assert part.inputs.dtype is (torch.float32 if dataset.vocabulary is None else torch.int64)
        task.check_samples(part, dataset, split)
        if dataset.task in ("classification", "segmentation"):
            assert set(part.targets.unique().tolist()) == set(range(dataset.num_classes))
    assert tuple(loaded(name)) == SPLITS


@pytest.mark.parametrize("name", EMBEDDED)
def test_embedded_datasets_are_always_the_same_and_draw_no_global_random_numbers(
    name: str, loaded: Callable[[str], dict[str, Samples]], tmp_path: Path
) -> None:
    first = content_hash(loaded(name))  # imports scikit-learn, which draws a number when it first is imported
    torch.manual_seed(1)
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    again = load_splits(datasets[name].cls(), 0, tmp_path)
    assert content_hash(again) == first
    assert torch.equal(before[0], torch.get_rng_state())
    assert (before[1] == np.random.get_state()[1]).all() and before[2] == random.getstate()  # noqa: NPY002


@pytest.mark.parametrize("name", EMBEDDED)
def test_no_sample_is_in_two_splits(name: str, loaded: Callable[[str], dict[str, Samples]]) -> None:
    """The digits have no two equal images, nor has any other embedded dataset two equal pairs."""
    pairs = [
        (inputs.numpy().tobytes(), targets.numpy().tobytes())
        for split in SPLITS
        for inputs, targets in zip(loaded(name)[split].inputs, loaded(name)[split].targets)
    ]
    assert len(set(pairs)) == len(pairs)


def test_there_are_embedded_datasets() -> None:
    assert {datasets[name].cls().task for name in EMBEDDED} == set(tasks.names()), (
        "each task has data without a download"
    )


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


@pytest.mark.parametrize("length", [1, 7, 64])
def test_windows_of_characters_follow_each_other_and_targets_are_the_next_ones(length: int) -> None:
    parts = Characters(length).load(Path("unused"))
    for part in parts.values():
        assert torch.equal(part.inputs.flatten()[1:], part.targets.flatten()[:-1])
        assert part.inputs.shape == part.targets.shape
    assert {split: len(part) for split, part in parts.items()} == Characters(length).sizes


def test_the_splits_of_characters_are_consecutive_parts_of_the_text() -> None:
    text, parts = TEXT.read_text(), Characters(10).load(Path("unused"))
    alphabet = sorted(set(text))
    written = ["".join(alphabet[token] for token in parts[split].inputs.flatten().tolist()) for split in SPLITS]
    starts = [text.index(each) for each in written]
    assert starts[0] == 0 and all(s + len(w) < following for s, w, following in zip(starts, written, starts[1:]))
    assert sum(map(len, written)) > 0.999 * len(text)


@pytest.mark.parametrize("length", [0, 10**6])
def test_a_length_that_no_window_has_is_refused(length: int) -> None:
    with pytest.raises(DataError, match="length is at least 1 and at most"):
        Characters(length)


@pytest.mark.parametrize("side", [8, 21])
def test_shapes_have_the_side_asked_for_and_the_same_objects_whatever_the_sizes(side: int) -> None:
    small = Shapes(side, train=5, validation=2, test=4).load(Path("unused"))
    assert small["train"].inputs.shape == (5, 3, side, side) and small["test"].targets.shape == (4, side, side)
    assert not torch.equal(small["train"].targets[:2], small["validation"].targets), "each split has objects of its own"
    with pytest.raises(DataError, match="side is at least 8 pixels"):
        Shapes(7)


def test_the_colour_of_a_pixel_tells_a_little_of_its_class_and_not_all() -> None:
    part = Shapes(train=300, validation=1, test=1).load(Path("unused"))["train"]
    colours, classes = part.inputs.movedim(1, -1).flatten(0, 2), part.targets.flatten()  # (pixels, 3), (pixels,)
    means = torch.stack([colours[classes == number].mean(0) for number in range(Shapes.num_classes)])
    guessed = torch.cdist(colours, means).argmin(1)
    right = [float((guessed[classes == number] == number).float().mean()) for number in range(1, Shapes.num_classes)]
    # A guess at random would be right for a fifth of the pixels of each kind.
    assert 0.25 < sum(right) / len(right) < 0.65, right


def test_more_classes_than_samples_is_no_crash() -> None:
    splits = load_splits(Synthetic([2], classes=50, train=10, validation=5, test=5), 0, Path("unused"))
    assert [len(splits[name]) for name in ("train", "validation", "test")] == [10, 5, 5]


def test_the_extra_is_no_dependency() -> None:
    """Datasets from torchvision are registered and planned whether or not it is installed."""
    without = [name for name in NAMES if issubclass(datasets[name].cls, TorchvisionDataset)]
    assert {"cifar10", "cifar100", "mnist", "fashion_mnist"} <= set(without)
    assert importlib.util.find_spec("normlib.data.vision") is not None
    assert all(math.prod(datasets[name].cls().input_shape) in (784, 3072) for name in without)
