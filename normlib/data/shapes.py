"""Generated images for segmentation: textured shapes on textured ground, the class of every pixel as the target."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from normlib.data import register
from normlib.data.dataset import DataError, Dataset, Samples

KINDS = ("disc", "square", "triangle", "ring", "cross")
SLOTS = 4  # most objects in an image, each drawn over those before it
PRESENT = 0.75  # the probability that a slot holds an object
SMALLEST_SIDE = 8

Images = NDArray[np.float64]


@register("shapes")
class Shapes(Dataset):
    """Colour images of discs, squares, triangles, rings and crosses, and the class of each pixel (0 is the ground), generated.

    Objects and ground have stripes of random colours, directions and widths, so that colour tells nothing of the class. Each
    image has a contrast and a brightness of its own. `side` is the height and width in pixels.
    """

    task = "segmentation"
    num_classes = 1 + len(KINDS)
    version = "textured-shapes-1"
    fixed = True

    def __init__(self, side: int = 32, train: int = 600, validation: int = 100, test: int = 300) -> None:
        if side < SMALLEST_SIDE or min(train, validation, test) < 1:
            raise DataError(
                f"shapes: side is at least {SMALLEST_SIDE} pixels and every split has at least one image, got side={side}, train={train}, "
                f"validation={validation}, test={test}"
            )
        self.input_shape = (3, side, side)
        self.sizes = {"train": train, "validation": validation, "test": test}

    def load(self, data_dir: Path) -> dict[str, Samples]:
        return {
            split: _samples(np.random.Generator(np.random.PCG64([0, number])), count, self.input_shape[1])
            for number, (split, count) in enumerate(self.sizes.items())
        }


def _samples(random: np.random.Generator, count: int, side: int) -> Samples:
    """`count` images (n, 3, side, side) with values from 0 to 1 in 256 steps, and class numbers (n, side, side)."""
    images = _stripes(random, count, side)
    classes = np.zeros((count, side, side), dtype=np.int64)
    for slot in range(SLOTS):
        kind = random.integers(len(KINDS), size=count)
        inside = _outlines(random, count, side)[kind, np.arange(count)]
        inside &= (random.random(count) < (PRESENT if slot else 1.0))[:, None, None]
        images = np.where(inside[:, None], _stripes(random, count, side), images)
        classes = np.where(inside, 1 + kind[:, None, None], classes)
    contrast = np.exp(random.uniform(np.log(0.2), np.log(1.0), (count, 1, 1, 1)))
    brightness = random.uniform(-0.3, 0.3, (count, 1, 1, 1))
    images = 0.5 + brightness + contrast * (images - 0.5) + random.normal(0.0, 0.04, images.shape)
    # In 256 steps, so that the last digit of a sine, which differs between machines, does not make other data.
    images = np.round(255 * images.clip(0, 1)) / 255
    return Samples(torch.from_numpy(images).float(), torch.from_numpy(classes))


def _stripes(random: np.random.Generator, count: int, side: int) -> Images:
    """Images (n, 3, side, side) of soft stripes between two random colours."""
    direction, phase = random.uniform(0, 2 * np.pi, (2, count, 1, 1))
    cycles = random.uniform(2.0, 8.0, (count, 1, 1))  # along the side of the image
    y, x = np.mgrid[:side, :side] / side
    along = cycles * (x * np.cos(direction) + y * np.sin(direction))
    share = 0.5 + 0.5 * np.sin(2 * np.pi * along + phase)  # (n, side, side)
    one, other = random.random((2, count, 3, 1, 1))
    return one + (other - one) * share[:, None]


def _outlines(random: np.random.Generator, count: int, side: int) -> NDArray[np.bool_]:
    """For one place, size and turn an image, the pixels inside of each kind of shape there: (kinds, n, side, side)."""
    centre_y, centre_x = random.uniform(0.1, 0.9, (2, count, 1, 1))
    radius = random.uniform(0.15, 0.3, (count, 1, 1))
    turn = random.uniform(0, 2 * np.pi, (count, 1, 1))
    y, x = (np.mgrid[:side, :side] + 0.5) / side
    y, x = (y - centre_y) / radius, (x - centre_x) / radius
    u, v = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)  # in radii, turned
    distance = np.hypot(u, v)
    return np.stack(
        [
            distance < 0.9,
            np.maximum(abs(u), abs(v)) < 0.8,
            (v > -0.5) & (v < 1 - np.sqrt(3) * abs(u)),
            (distance > 0.55) & (distance < 1),
            (np.minimum(abs(u), abs(v)) < 0.3) & (np.maximum(abs(u), abs(v)) < 0.95),
        ]
    )
