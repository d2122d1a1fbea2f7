"""Your own images: one folder a class, in memory if they fit, otherwise read one by one during training."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from normlib.data import register
from normlib.data.cutting import SPLIT_NAMES, cut_sizes
from normlib.data.dataset import DataError, Dataset, Samples

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
LARGEST_IN_MEMORY = 2**30  # bytes of float32 images; more are streamed unless `in_memory` says otherwise


@dataclass(frozen=True)
class ImageFile:
    """One image: its path below the folder, its size in bytes, its time of change (nanoseconds), and its class number."""

    name: str
    size: int
    modified: int
    target: int


@register("folder")
class Folder(Dataset):
    """Your own images, ``data=folder data.path=photos``: one folder a class, with or without train/, test/ and val/
    above.

    Images are cut to a square in the middle and resized to `side` pixels, in colour or `grey`. `validation`, `test`:
    shares that are cut off if there are no such folders. With train/ and val/ alone, val/ is the test split.
    `in_memory`: None decides by size, up to 1 GiB. `workers`: processes that read images which are not in memory.

    Settings:
        path: the folder of the images
        side: pixels of a side that images are resized to
        grey: whether images are grey
        in_memory: whether all images are kept in memory; null does so up to 1 GiB
        workers: processes that read images which are not in memory; 0 reads in the run's own
        validation: share that is cut off for validation, where there is no folder val/
        test: share that is cut off for testing, where there is no folder test/
    """

    def __init__(
        self,
        path: str = "",
        side: int = 64,
        grey: bool = False,
        in_memory: bool | None = None,
        workers: int = 0,
        validation: float = 0.1,
        test: float = 0.1,
    ) -> None:
        if not path:
            raise DataError(
                "data=folder reads images from a folder with one folder a class: name it with data.path=photos"
            )
        if side < 1 or workers < 0:
            raise DataError(
                f"data=folder: side is at least 1 pixel and workers at least 0, got side={side}, workers={workers}"
            )
        self.root = Path(path).expanduser().resolve()
        self.classes, self.parts = _listing(self.root)
        self.grey, self.workers = grey, workers
        self.input_shape = (1 if grey else 3, side, side)
        self.num_classes = len(self.classes)
        lengths = {part: len(files) for part, files in self.parts.items()}
        self.sizes = cut_sizes(lengths, validation, test, f"data.path={path}")
        names = sorted((file.name, file.size) for files in self.parts.values() for file in files)
        self.version = f"folder-{hashlib.sha256(repr(names).encode()).hexdigest()[:16]}"
        size = 4 * sum(lengths.values()) * self.input_shape[0] * side * side
        self.streamed = size > LARGEST_IN_MEMORY if in_memory is None else not in_memory

    def prepare(self, data_dir: Path) -> None:
        if self.streamed:
            self.fingerprint(data_dir)

    def load(self, data_dir: Path) -> dict[str, Samples]:
        return {
            part: Samples(
                torch.stack([images[number][0] for number in range(len(images))]), torch.tensor(images.targets)
            )
            for part, images in self.open(data_dir).items()
        }

    def open(self, data_dir: Path) -> dict[str, Images]:
        return {part: Images(self.root, files, self.input_shape) for part, files in self.parts.items()}

    def fingerprint(self, data_dir: Path) -> str:
        """The hash of the names and bytes of all images. Hashes of unchanged files are kept in `data_dir`."""
        known_file = data_dir.expanduser() / f"hashes-{hashlib.sha256(str(self.root).encode()).hexdigest()[:16]}.json"
        known = _known_hashes(known_file)
        hashes = {}
        for file in sorted((file for files in self.parts.values() for file in files), key=lambda file: file.name):
            stamp = [file.size, file.modified]
            seen = known.get(file.name)
            digest = seen[1] if seen is not None and seen[0] == stamp else _hash(self.root / file.name)
            hashes[file.name] = [stamp, digest]
        if hashes != known:
            known_file.parent.mkdir(parents=True, exist_ok=True)
            temporary = known_file.with_name(f".{known_file.name}.{os.getpid()}")
            temporary.write_text(json.dumps(hashes), encoding="utf-8")
            os.replace(temporary, known_file)
        content = repr([(name, digest) for name, (_, digest) in hashes.items()])
        return hashlib.sha256(content.encode()).hexdigest()[:16]


class Images:
    """A map-style dataset of image files: items are float tensors (C, side, side), from 0 to 1, with class numbers."""

    def __init__(self, root: Path, files: Sequence[ImageFile], shape: tuple[int, ...]) -> None:
        self.root, self.files, self.shape = root, files, shape
        self.targets = [file.target for file in files]

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, number: int) -> tuple[Tensor, int]:
        from PIL import Image, ImageOps, UnidentifiedImageError

        path = self.root / self.files[number].name
        try:
            with Image.open(path) as image:
                upright = ImageOps.exif_transpose(image).convert("L" if self.shape[0] == 1 else "RGB")
                fitted = ImageOps.fit(upright, (self.shape[2], self.shape[1]), Image.Resampling.BILINEAR)
        except (OSError, UnidentifiedImageError, ValueError, Image.DecompressionBombError) as error:
            raise DataError(f"{path} cannot be read as an image ({error}); remove or replace it") from error
        values = np.asarray(fitted, dtype=np.float32) / 255  # (side, side) or (side, side, 3)
        pixels = torch.from_numpy(values).reshape(*self.shape[1:], self.shape[0])
        return pixels.permute(2, 0, 1).contiguous(), self.targets[number]  # (C, side, side)


def _listing(root: Path) -> tuple[list[str], dict[str, list[ImageFile]]]:
    """The classes, sorted, and the images of each part, by class and name."""
    if not root.is_dir():
        raise DataError(f"data.path={root} is not a folder; name one that has a folder of images for each class")
    folders = _folders(root)
    by_split = {SPLIT_NAMES[name]: name for name in folders if name in SPLIT_NAMES}
    if "train" not in by_split or len(by_split) < len(folders):
        by_split = {"all": ""}
    elif set(by_split) == {"train", "validation"}:
        by_split = {"train": by_split["train"], "test": by_split["validation"]}
    elif set(by_split) == {"train"}:
        by_split = {"all": by_split["train"]}
    first = next(iter(by_split.values())) if "train" not in by_split else by_split["train"]
    classes = _folders(root / first)
    parts: dict[str, list[ImageFile]] = {}
    for part, name in by_split.items():
        unknown = sorted(set(_folders(root / name)) - set(classes))
        if unknown:
            raise DataError(
                f"{root / name} has the classes {', '.join(unknown)}, which {root / first} does not have; use the same folders in both"
            )
        parts[part] = [file for target, each in enumerate(classes) for file in _images(root, Path(name, each), target)]
    empty = [
        each for target, each in enumerate(classes) if not any(f.target == target for f in parts[next(iter(parts))])
    ]
    if len(classes) < 2 or empty:
        raise DataError(
            f"{root / first} needs a folder with images ({', '.join(ENDINGS)}) for each of at least two classes, got "
            + (f"no images in {', '.join(empty)}" if empty else f"{len(classes)} folders")
        )
    return classes, parts


def _folders(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))


def _images(root: Path, folder: Path, target: int) -> Iterator[ImageFile]:
    """The images of one class, including those in folders below it, sorted by name."""
    if not (root / folder).is_dir():
        return
    for path in sorted((root / folder).rglob("*")):
        if path.suffix.lower() in ENDINGS and not path.name.startswith("."):
            stamp = path.stat()
            yield ImageFile(path.relative_to(root).as_posix(), stamp.st_size, stamp.st_mtime_ns, target)


def _known_hashes(file: Path) -> Mapping[str, Any]:
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _hash(path: Path) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
