"""Checks the datasets from torchvision: a clear error without it, and loading small files of the same formats, sound and damaged."""

from __future__ import annotations

import gzip
import hashlib
import pickle
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from normlib.data import datasets, names
from normlib.data.dataset import DataError
from normlib.data.splits import load_splits
from normlib.data.vision import TorchvisionDataset

NAMES = [name for name in names() if issubclass(datasets[name].cls, TorchvisionDataset)]
NUM_TRAIN, NUM_TEST = 200, 20
SIZES = {"train": 150, "validation": 50, "test": NUM_TEST}


@pytest.mark.parametrize("name", NAMES)
def test_without_torchvision_the_error_names_the_extra(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)  # as if it were not installed
    dataset = datasets[name].cls()
    for use in (dataset.prepare, dataset.load):
        with pytest.raises(
            DataError, match=r"comes through torchvision, which does not import.*pip install 'normlib\[vision\]'"
        ):
            use(tmp_path)
    assert list(tmp_path.iterdir()) == []


def small(name: str) -> TorchvisionDataset:
    """The dataset with the sizes of the small files."""
    cls = datasets[name].cls
    return type(cls.__name__, (cls,), {"sizes": SIZES})()


def drawn(name: str, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, C, H, W) of bytes, whose first value is the class, and classes, each as often as the others."""
    cls = datasets[name].cls
    random = np.random.default_rng(seed)
    labels = random.permutation(np.arange(count) % cls.num_classes)
    values = random.integers(0, 256, (count, *cls.input_shape), dtype=np.uint8)
    values[:, 0, 0, 0] = labels
    return values, labels


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()  # what torchvision checks


def write_cifar(vision: Any, name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The pickled batches of CIFAR, with torchvision's checksums set to theirs."""
    base = folder / vision.base_folder
    base.mkdir(parents=True)
    lists: dict[str, list[list[str]]] = {}
    files = []
    key = "labels" if name == "cifar10" else "fine_labels"
    for part, count, seed in (("train_list", NUM_TRAIN, 0), ("test_list", NUM_TEST, 1)):
        values, labels = drawn(name, count, seed)
        file_names = [file for file, _ in getattr(vision, part)]
        lists[part] = []
        for file, rows in zip(file_names, np.array_split(np.arange(count), len(file_names)), strict=True):
            content = pickle.dumps({"data": values[rows].reshape(len(rows), -1), key: labels[rows].tolist()})
            (base / file).write_bytes(content)
            files.append(base / file)
            lists[part].append([file, md5(content)])
        monkeypatch.setattr(vision, part, lists[part])
    meta = pickle.dumps({vision.meta["key"]: [str(label) for label in range(datasets[name].cls.num_classes)]})
    (base / vision.meta["filename"]).write_bytes(meta)
    monkeypatch.setattr(vision, "meta", vision.meta | {"md5": md5(meta)})
    return files


def write_mnist(vision: Any, name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The compressed idx files of MNIST, with torchvision's checksums set to theirs."""
    raw = folder / vision.__name__ / "raw"
    raw.mkdir(parents=True)
    contents = {}
    for part, count, seed in (("train", NUM_TRAIN, 0), ("t10k", NUM_TEST, 1)):
        values, labels = drawn(name, count, seed)
        contents[f"{part}-images-idx3-ubyte.gz"] = struct.pack(">IIII", 0x803, count, 28, 28) + values.tobytes()
        contents[f"{part}-labels-idx1-ubyte.gz"] = struct.pack(">II", 0x801, count) + labels.astype(np.uint8).tobytes()
    resources = []
    for file, _ in vision.resources:
        content = gzip.compress(contents[file], mtime=0)
        (raw / file).write_bytes(content)
        resources.append((file, md5(content)))
    monkeypatch.setattr(vision, "resources", resources)
    return [raw / file for file, _ in resources]


@pytest.fixture
def write_files(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Path], list[Path]]:
    """``write_files(name, folder)`` writes small files as torchvision keeps them; the network is out of reach."""
    vision = pytest.importorskip(
        "torchvision.datasets", reason="torchvision, the extra normlib[vision], is not installed"
    )
    import urllib.error
    import urllib.request

    def refuse(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no network in tests")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)

    def write(name: str, folder: Path) -> list[Path]:
        of_torchvision = getattr(vision, datasets[name].cls.torchvision_name)
        return (write_cifar if name.startswith("cifar") else write_mnist)(of_torchvision, name, folder, monkeypatch)

    return write


@pytest.mark.vision
@pytest.mark.parametrize("name", NAMES)
def test_files_are_read_as_images_with_their_classes(name: str, write_files: Any, tmp_path: Path) -> None:
    write_files(name, tmp_path)
    dataset = small(name)
    dataset.prepare(tmp_path)
    parts = dataset.load(tmp_path)
    for part, count, seed in (("train", NUM_TRAIN, 0), ("test", NUM_TEST, 1)):
        values, labels = drawn(name, count, seed)
        assert torch.equal(parts[part].inputs, torch.from_numpy(values))
        assert torch.equal(parts[part].targets, torch.from_numpy(labels))
    splits = load_splits(dataset, 0, tmp_path)
    assert {split: len(part) for split, part in splits.items()} == SIZES
    assert torch.equal(splits["test"].targets, parts["test"].targets), "the test set is torchvision's"


@pytest.mark.vision
@pytest.mark.parametrize("name", NAMES)
def test_without_files_and_network_the_error_says_what_to_do(name: str, write_files: Any, tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"^[^\n]*could not be downloaded[^\n]*no network in tests[^\n]*data_dir=[^\n]*$"
    ):
        small(name).prepare(tmp_path)


@pytest.mark.vision
@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_file_fails_its_checksum(name: str, write_files: Any, tmp_path: Path) -> None:
    for file in write_files(name, tmp_path):
        sound = file.read_bytes()
        file.write_bytes(sound[:-1] + bytes([sound[-1] ^ 1]))
        with pytest.raises(DataError, match="is not complete in"):
            small(name).prepare(tmp_path)
        file.write_bytes(sound)
    small(name).prepare(tmp_path)


@pytest.mark.vision
@pytest.mark.parametrize("kept", [0, 3, 4, 12, 1000])
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_an_unpacked_file_cut_short_is_a_clear_error(name: str, kept: int, write_files: Any, tmp_path: Path) -> None:
    """torchvision holds no checksum against unpacked files, and fails on them in ways of its own."""
    packed = write_files(name, tmp_path)
    small(name).prepare(tmp_path)
    unpacked = packed[0].with_suffix("")
    unpacked.write_bytes(unpacked.read_bytes()[:kept])
    with pytest.raises(DataError, match="delete damaged files there"):
        small(name).load(tmp_path)
