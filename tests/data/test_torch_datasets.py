"""Checks torch datasets as data: in memory and streamed they are the same samples, and what cannot be used is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import ConcatDataset, IterableDataset, Subset, TensorDataset

import normlib
from normlib.cli import main
from normlib.data import datasets
from normlib.data.dataset import DataError, Dataset
from normlib.data.splits import load_splits
from normlib.data.streaming import open_splits, streamed_hash
from normlib.registry import RegistryError

UNUSED = Path("unused")
SPLITS = ("train", "validation", "test")
SOURCE = torch.Generator().manual_seed(0)
INPUTS = 5 + 2 * torch.randn(40, 3, 4, generator=SOURCE)
CLASSES = torch.arange(40) % 4
TENSORS = TensorDataset(INPUTS, CLASSES)
number_of_dataset = iter(range(1000))


def made(data: Any, **settings: Any) -> Dataset:
    """The dataset that `dataset_from` registers, made once."""
    if settings.get("task", "classification") == "classification":
        settings.setdefault("num_classes", 4)
    cls = normlib.dataset_from(data, name=f"my_torch_{next(number_of_dataset)}", **settings)
    assert datasets[cls.__name__].cls is cls
    return cls()


@pytest.mark.parametrize(
    ("settings", "sizes"),
    [
        ({}, (32, 4, 4)),
        ({"validation": 0.2, "test": 0.3}, (20, 8, 12)),
        ({"test": Subset(TENSORS, range(10))}, (36, 4, 10)),
        ({"test": Subset(TENSORS, range(10)), "validation": Subset(TENSORS, range(20))}, (40, 20, 10)),
    ],
    ids=["shares", "other shares", "a test set", "all three"],
)
def test_in_memory_and_streamed_the_samples_are_the_same(settings: dict[str, Any], sizes: tuple[int, ...]) -> None:
    whole, streamed = made(TENSORS, **settings), made(TENSORS, in_memory=False, **settings)
    assert whole.sizes == streamed.sizes == dict(zip(SPLITS, sizes))
    # A tensor dataset has no `targets`, so a streamed one is cut at random, and so is one in memory for another task.
    whole.task = "other"
    in_memory, opened = load_splits(whole, 3, UNUSED), open_splits(streamed, 3, UNUSED)
    for split in SPLITS:
        items = [opened[split][number] for number in range(len(opened[split]))]
        # Float32 holds the standardized values, of size one, to 6e-8 each.
        assert torch.allclose(torch.stack([value for value, _ in items]), in_memory[split].inputs, atol=1e-6)
        assert torch.equal(torch.stack([target for _, target in items]), in_memory[split].targets)


class WithTargets(TensorDataset):
    classes = ("a", "b", "c", "d")
    targets = CLASSES.tolist()


def test_known_targets_split_a_streamed_dataset_by_class_and_known_classes_are_counted() -> None:
    dataset = made(WithTargets(INPUTS, CLASSES), in_memory=False, num_classes=None, test=0.2)
    assert dataset.num_classes == 4
    test = open_splits(dataset, 0, UNUSED)["test"]
    assert sorted(int(test[number][1]) for number in range(8)) == [0, 0, 1, 1, 2, 2, 3, 3]


def test_the_hash_of_a_stream_follows_its_items_and_its_split() -> None:
    def hashed(inputs: torch.Tensor, targets: torch.Tensor, split_seed: int) -> str:
        dataset = made(TensorDataset(inputs, targets), in_memory=False)
        return streamed_hash(dataset, open_splits(dataset, split_seed, UNUSED), UNUSED)

    first = hashed(INPUTS, CLASSES, 0)
    assert hashed(INPUTS.clone(), CLASSES, 0) == first
    assert (
        len(
            {
                first,
                hashed(INPUTS + torch.eye(40)[7].view(40, 1, 1), CLASSES, 0),
                hashed(INPUTS, CLASSES.flip(0), 0),
                hashed(INPUTS, CLASSES, 1),
            }
        )
        == 4
    )


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize(
    ("task", "targets", "facts"),
    [
        ("regression", torch.linspace(0, 1, 40), {"num_targets": 1}),
        ("regression", torch.rand(40, 2), {"num_targets": 2}),
        ("segmentation", torch.arange(160).view(40, 4) % 3, {"num_classes": 3}),
    ],
    ids=["one target", "two targets", "segmentation"],
)
def test_every_task_takes_its_items(task: str, targets: torch.Tensor, facts: dict[str, int], in_memory: bool) -> None:
    from normlib.data.dataset import Samples
    from normlib.tasks import tasks

    given = {"num_classes": 3} if task == "segmentation" else {}
    dataset = made(TensorDataset(INPUTS, targets), task=task, in_memory=in_memory, **given)
    assert {name: getattr(dataset, name) for name in facts} == facts
    if in_memory:
        samples = load_splits(dataset, 0, UNUSED)["train"]
    else:
        split = open_splits(dataset, 0, UNUSED)["train"]
        samples = Samples(*(torch.stack(each) for each in zip(*(split[n] for n in range(len(split))))))
    tasks[task].cls().check_samples(samples, dataset, "train")


class Stream(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        return iter(TENSORS)

    def __len__(self) -> int:
        return 40


class Image:
    """As an image of Pillow's, which is no tensor."""


@pytest.mark.parametrize(
    ("data", "settings", "message"),
    [
        (Stream(), {}, r"needs a map-style dataset.*got Stream; an IterableDataset.*list\(dataset\)"),
        (iter([]), {}, "needs a map-style dataset"),
        (TENSORS, {"test": Stream()}, "test: needs a map-style dataset"),
        ([], {}, "has no samples"),
        ([(Image(), 1)] * 20, {}, r"got Image; convert it, for images with transform=torchvision\.transforms\.ToTensor"),
        ([INPUTS[0]] * 20, {}, "an item is a pair"),
        (TENSORS, {"num_classes": None}, "does not say how many classes it has; give num_classes="),
        (TENSORS, {"validation": TENSORS}, "has a validation set of its own but no test set"),
        (TENSORS, {"test": 0.99}, "every split has at least one sample"),
        (TENSORS, {"version": ""}, "version is a text"),
    ],
    ids=["iterable", "iterator", "iterable test set", "empty", "images", "no pairs", "classes", "no test set", "shares", "version"],
)  # fmt: skip
def test_what_cannot_be_used_is_refused_when_it_is_registered(
    data: Any, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        made(data, **settings)


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ((torch.rand(3, 5), 1), r"declared input_shape is \(3, 4\), but the inputs have the shape \(3, 5\)"),
        ((torch.full((3, 4), torch.nan), 1), "inputs are finite numbers"),
        ((torch.ones(3, 4, dtype=torch.uint8), 1), "inputs are floats unless the dataset declares a vocabulary"),
    ],
    ids=["shape", "not a number", "bytes"],
)
def test_an_item_that_is_unlike_the_first_is_refused_when_it_is_read(bad: Any, message: str, in_memory: bool) -> None:
    dataset = made(ConcatDataset([TENSORS, [bad] * 10]), in_memory=in_memory)  # type: ignore[list-item]
    with pytest.raises(DataError, match=message):
        load_splits(dataset, 0, UNUSED) if in_memory else open_splits(dataset, 0, UNUSED)


def test_in_a_notebook_it_is_refused_with_the_way_out() -> None:
    code = "import normlib\nnormlib.dataset_from(data, name='my_typed', num_classes=4)"
    with pytest.raises(DataError, match=r"put the call into a file, my_data\.py, and name that with plugins="):
        exec(code, {"__name__": "my_session", "data": TENSORS})
    with pytest.raises(RegistryError):
        datasets["my_typed"]


PLUGIN = '''
import torch, normlib
from torch.utils.data import Dataset

class Noisy(Dataset):
    """Items that are drawn again each time they are read."""
    def __len__(self):
        return 60
    def __getitem__(self, number):
        return torch.randn(3) + 20 * (number % 2), number % 2

normlib.dataset_from(Noisy(), name="my_noisy", num_classes=2, in_memory={in_memory}, workers={workers})
'''
RUN = "plugins=[my_noisy.py] data=my_noisy model=mlp model.width=8 norm=batch data.batch_size=4 training.steps=36 accelerator=cpu"


@pytest.mark.parametrize(("in_memory", "workers"), [(True, 0), (False, 0), (False, 1)])
def test_random_items_are_the_same_in_every_run(
    in_memory: bool, workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my_noisy.py").write_text(PLUGIN.format(in_memory=in_memory, workers=workers))
    first, second = (normlib.train(*RUN.split(), f"results_dir={name}") for name in ("one", "two"))
    assert first.status == "done", first.reason
    assert first.metrics == second.metrics and first.hashes == second.hashes
    assert first.metrics["test"]["accuracy"] > 0.8
    if workers:
        Path("my_noisy.py").write_text(PLUGIN.format(in_memory=in_memory, workers=0))
        alone = normlib.train(*RUN.split(), "results_dir=three")
        assert alone.metrics == first.metrics, "who reads the items changes nothing"


def test_worker_processes_find_the_data_through_the_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("my_noisy.py").write_text(PLUGIN.format(in_memory=True, workers=0))
    assert main(["train", *RUN.split(), "-m", "seed=0,1"]) == 0
