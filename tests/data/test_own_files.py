"""Checks data in files of the user's own: arrays in one .npz file, and image folders, in memory and read one by one."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from normlib.cli import main
from normlib.data.arrays import Arrays
from normlib.data.dataset import DataError
from normlib.data.folder import Folder
from normlib.data.splits import load_splits
from normlib.data.streaming import open_splits, streamed_hash

SPLITS = ("train", "validation", "test")
RANDOM = np.random.default_rng(0)
INPUTS = RANDOM.normal(size=(40, 3, 4)).astype(np.float32)
CLASSES = np.arange(40) % 4
UNUSED = Path("unused")


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    """``write(inputs=..., targets=...)`` writes my.npz with these arrays and gives its path."""

    def save(**arrays: Any) -> str:
        np.savez(tmp_path / "my.npz", **arrays)
        return str(tmp_path / "my.npz")

    return save


@pytest.mark.parametrize("names", [("inputs", "targets"), ("x", "y"), ("X", "Y"), ("train_x", "train_y")])
def test_one_pair_of_arrays_is_cut_into_three_splits(names: tuple[str, str], write: Callable[..., str]) -> None:
    dataset = Arrays(write(**dict(zip(names, (INPUTS, CLASSES)))), validation=0.2, test=0.3)
    dataset.check_declaration()
    assert (dataset.input_shape, dataset.num_classes, dataset.task) == ((3, 4), 4, "classification")
    assert dataset.sizes == {"train": 20, "validation": 8, "test": 12}
    splits = load_splits(dataset, 0, UNUSED)
    assert {split: len(part) for split, part in splits.items()} == dataset.sizes
    assert torch.bincount(splits["validation"].targets).tolist() == [2, 2, 2, 2]


@pytest.mark.parametrize("pattern", ["{split}_inputs {split}_targets", "x_{split} y_{split}", "{split}_x {split}_y"])
@pytest.mark.parametrize("validation", [None, "validation", "val", "valid"])
def test_splits_of_the_file_are_kept(pattern: str, validation: str | None, write: Callable[..., str]) -> None:
    lengths = {"train": 20, **({} if validation is None else {validation: 8}), "test": 12}
    arrays = {}
    for split, length in lengths.items():
        for name, values in zip(pattern.format(split=split).split(), (INPUTS, CLASSES)):
            arrays[name] = values[:length]
    dataset = Arrays(write(**arrays), standardize=False)
    assert dataset.sizes == (
        {"train": 18, "validation": 2, "test": 12} if validation is None else dict(zip(SPLITS, (20, 8, 12)))
    )
    assert torch.equal(load_splits(dataset, 0, UNUSED)["test"].inputs, torch.from_numpy(INPUTS[:12]))


@pytest.mark.parametrize(
    ("settings", "inputs", "targets", "facts"),
    [
        ({"task": "regression"}, INPUTS, CLASSES / 7, {"num_targets": 1, "num_classes": None}),
        ({"task": "regression"}, INPUTS, INPUTS[:, 0], {"num_targets": 4}),
        ({"task": "segmentation", "classes": 9}, INPUTS, np.zeros((40, 4), int), {"num_classes": 9}),
        ({"task": "language_modeling", "vocabulary": 4}, np.stack([CLASSES] * 5, 1), np.stack([CLASSES] * 5, 1), {"vocabulary": 4}),
        ({}, INPUTS.astype(">f8"), CLASSES.astype(np.uint16), {"num_classes": 4}),
    ],
    ids=["one target", "four targets", "segmentation", "tokens", "foreign byte order"],
)  # fmt: skip
def test_every_task_reads_its_arrays(
    settings: dict[str, Any], inputs: Any, targets: Any, facts: dict[str, Any], write: Callable[..., str]
) -> None:
    from normlib.tasks import tasks

    dataset = Arrays(write(inputs=inputs, targets=targets), **settings)
    assert {name: getattr(dataset, name) for name in facts} == facts
    for split, samples in load_splits(dataset, 0, UNUSED).items():
        tasks[dataset.task].cls().check_samples(samples, dataset, split)


def test_the_version_follows_the_content_and_not_the_name(write: Callable[..., str], tmp_path: Path) -> None:
    first = Arrays(write(x=INPUTS, y=CLASSES)).version
    os.rename(tmp_path / "my.npz", tmp_path / "other.npz")
    assert Arrays(str(tmp_path / "other.npz")).version == first
    assert Arrays(write(x=INPUTS + 1, y=CLASSES)).version != first


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": INPUTS}, r"needs arrays inputs and targets \(or x and y\).*got a$"),
        ({"inputs": INPUTS}, "got inputs$"),
        ({"test_x": INPUTS, "test_y": CLASSES}, "got test_x, test_y$"),
        ({"x": INPUTS, "y": np.array([{}] * 40)}, "array 'y' is of type object"),
        ({"x": INPUTS, "y": np.array(["a"] * 40)}, "array 'y' is of type <U1"),
        ({"x": np.float32(1), "y": CLASSES}, "array 'x' is of type float32 and shape ()"),
        ({"x": INPUTS[:3], "y": CLASSES[:3]}, "every split has at least one sample"),
    ],
    ids=str,
)
def test_files_that_hold_no_data_are_refused(arrays: dict[str, Any], message: str, write: Callable[..., str]) -> None:
    with pytest.raises(DataError, match=message):
        Arrays(write(**arrays))


@pytest.mark.parametrize("task", ["classification", "segmentation", "language_modeling"])
def test_real_targets_are_for_regression(task: str, write: Callable[..., str]) -> None:
    with pytest.raises(
        DataError, match=rf"data\.task={task} takes whole numbers as targets, and these are float64; real targets"
    ):
        Arrays(write(x=INPUTS, y=CLASSES / 7), task=task)


def test_no_file_and_no_npz_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("no arrays")
    for file, message in (
        ("", r"name it with data\.file=my\.npz"),
        (str(tmp_path / "none.npz"), "cannot be read: No such file"),
        (str(tmp_path / "text.npz"), r"is not a file that numpy\.savez writes"),
    ):
        with pytest.raises(DataError, match=message):
            Arrays(file)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1])
def test_shares_are_between_none_and_all(share: float, write: Callable[..., str]) -> None:
    with pytest.raises(DataError, match="test is the share of samples that is cut off, between 0 and 1"):
        Arrays(write(x=INPUTS, y=CLASSES), test=share)


def colour(number: int) -> tuple[int, int, int]:
    return (40 * number % 256, 90 * number % 256, 5 * number)


def write_images(folder: Path, classes: dict[str, int], start: int = 0, size: tuple[int, int] = (12, 8)) -> None:
    for label, count in classes.items():
        (folder / label).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", size, colour(start + number)).save(folder / label / f"{number:02}.png")


def test_a_folder_for_each_class_is_a_dataset(tmp_path: Path) -> None:
    write_images(tmp_path, {"cat": 20, "dog": 30})
    dataset = Folder(str(tmp_path), side=4)
    dataset.check_declaration()
    assert (dataset.input_shape, dataset.num_classes, dataset.classes) == ((3, 4, 4), 2, ["cat", "dog"])
    assert dataset.sizes == {"train": 40, "validation": 5, "test": 5} and not dataset.streamed
    everything = dataset.load(tmp_path)["all"]
    assert torch.bincount(everything.targets).tolist() == [20, 30]
    assert torch.allclose(everything.inputs[3], torch.tensor(colour(3)).view(3, 1, 1) / 255)
    assert Folder(str(tmp_path), side=4, grey=True).load(tmp_path)["all"].inputs.shape == (50, 1, 4, 4)


def test_images_are_cut_in_the_middle_and_resized(tmp_path: Path) -> None:
    write_images(tmp_path, {"a": 5, "b": 5})
    picture = Image.new("RGB", (12, 4), (0, 0, 0))
    picture.paste((255, 255, 255), (2, 0, 10, 4))  # the middle is white, and as far around it as smoothing reaches
    picture.save(tmp_path / "a" / "00.png")
    assert (Folder(str(tmp_path), side=2).load(tmp_path)["all"].inputs[0] == 1).all()


@pytest.mark.parametrize(
    ("folders", "sizes"),
    [
        (("train", "test"), {"train": 18, "validation": 2, "test": 20}),
        (("train", "val", "test"), {"train": 20, "validation": 20, "test": 20}),
        (("train", "val"), {"train": 18, "validation": 2, "test": 20}),
        (("train",), {"train": 16, "validation": 2, "test": 2}),
    ],
    ids=str,
)
def test_splits_in_folders_are_kept(folders: tuple[str, ...], sizes: dict[str, int], tmp_path: Path) -> None:
    for number, folder in enumerate(folders):
        write_images(tmp_path / folder, {"a": 10, "b": 10}, start=20 * number)
    dataset = Folder(str(tmp_path), side=2)
    assert dataset.sizes == sizes
    splits = load_splits(dataset, 0, tmp_path)
    assert {split: len(part) for split, part in splits.items()} == sizes
    assert torch.equal(
        content(splits), content(open_splits(Folder(str(tmp_path), side=2, in_memory=False), 0, tmp_path))
    )


def content(splits: Any) -> torch.Tensor:
    """All values of three splits, whether they are in memory or not, in one row."""
    rows = []
    for split in SPLITS:
        part = splits[split]
        inputs = part.inputs if hasattr(part, "inputs") else torch.stack([part[n][0] for n in range(len(part))])
        targets = part.targets if hasattr(part, "targets") else torch.stack([part[n][1] for n in range(len(part))])
        # Mean and deviation are summed up in another order, which float32 shows in its last digit.
        rows += [(inputs.double() * 1e3).round().flatten(), targets.double().flatten()]
    return torch.cat(rows)


def test_the_hash_of_streamed_images_follows_their_bytes_and_is_kept(tmp_path: Path) -> None:
    photos, kept = tmp_path / "photos", tmp_path / "kept"
    write_images(photos, {"a": 5, "b": 5})

    def current() -> tuple[str, str]:
        dataset = Folder(str(photos), side=2, in_memory=False)
        dataset.prepare(kept)
        return dataset.version, streamed_hash(dataset, open_splits(dataset, 0, kept), kept)

    first = current()
    (known,) = kept.iterdir()
    stamp = known.stat().st_mtime_ns
    assert current() == first and known.stat().st_mtime_ns == stamp, "nothing is hashed again"
    file = photos / "a" / "01.png"
    file.write_bytes(file.read_bytes()[:-1] + b"!")  # of the same length
    edited = current()
    assert edited[0] == first[0] and edited[1] != first[1]
    file.write_bytes(file.read_bytes() + b"!")
    assert current()[0] != first[0], "another length is another version"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: None, "needs a folder with images .* for each of at least two classes, got 0 folders"),
        (lambda root: write_images(root, {"a": 5}), "got 1 folders"),
        (lambda root: write_images(root, {"a": 5, "b": 0}), "got no images in b"),
        (lambda root: (write_images(root / "train", {"a": 5, "b": 5}), write_images(root / "test", {"c": 5})), "has the classes c, which"),
    ],
)  # fmt: skip
def test_folders_without_images_of_classes_are_refused(
    make: Callable[[Path], object], message: str, tmp_path: Path
) -> None:
    make(tmp_path)
    with pytest.raises(DataError, match=message):
        Folder(str(tmp_path))


def test_no_folder_and_no_image_are_refused_by_name(tmp_path: Path) -> None:
    for path, message in (("", r"name it with data\.path=photos"), (str(tmp_path / "none"), "is not a folder")):
        with pytest.raises(DataError, match=message):
            Folder(path)
    write_images(tmp_path, {"a": 5, "b": 5})
    (tmp_path / "b" / "00.png").write_text("no image")
    with pytest.raises(DataError, match=r"b/00\.png cannot be read as an image .*remove or replace it"):
        Folder(str(tmp_path)).load(tmp_path)


@pytest.mark.parametrize("in_memory", ["true", "false"])
def test_a_run_reads_images_in_memory_or_one_by_one(
    in_memory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_images(tmp_path / "photos", {"a": 15, "b": 15})
    settings = "data=folder data.path=photos data.side=4 model=mlp norm=batch data.batch_size=4 training.steps=5 accelerator=cpu"
    assert main(["train", *settings.split(), f"data.in_memory={in_memory}", "data_dir=kept"]) == 0


def test_bad_files_end_in_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for settings in (["data=arrays"], ["data=folder"], ["data=arrays", "data.file=none.npz"]):
        assert main(["train", *settings]) == 2
        assert "Traceback" not in capsys.readouterr().err
