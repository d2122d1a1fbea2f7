"""Generated images for segmentation: patterned shapes on striped ground, the class of every pixel as the target."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from normlib.data import register
from normlib.data.dataset import DataError, Dataset, Samples

KINDS = ("disc", "cross", "triangle", "ring")
COLOURS = np.array(
    [[0.8, 0.3, 0.3], [0.3, 0.7, 0.3], [0.3, 0.3, 0.8], [0.7, 0.7, 0.2]]
)  # the average colour of each kind
COLOUR_NOISE = 0.2  # standard deviation of an object's colour around that
SLOTS = 3  # most objects in an image, each drawn over those before it
PRESENT = 0.75  # the probability that a slot behind the first holds an object
LARGEST_CHANGE = 0.8  # the change of a colour within a pattern, where colours go from 0 to 1
SMALLEST_SIDE = 8

Images = NDArray[np.float64]


@register("shapes")
class Shapes(Dataset):
    """Colour images of checked discs, striped crosses, circled triangles and plain rings, and the class of each pixel,
    generated.

    Class 0 is the ground, with stripes of any colour and width. Objects have colours of their kind with much noise, and
    each image has a contrast and a tint of its own. So colours say a little, and shapes and patterns say the rest.
    `side` is the height and width in pixels.

    Settings:
        side: height and width in pixels
        train: training images
        validation: validation images
        test: test images
    """

    task = "segmentation"
    num_classes = 1 + len(KINDS)
    version = "patterned-shapes-1"
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
    images = _coloured(random, random.random((count, 3)), _stripes(random, count, side))
    classes = np.zeros((count, side, side), dtype=np.int64)
    for slot in range(SLOTS):
        kind = random.integers(len(KINDS), size=count)
        outlines, patterns = _objects(random, count, side)
        chosen = kind, np.arange(count)
        inside = outlines[chosen] & (random.random(count) < (PRESENT if slot else 1.0))[:, None, None]
        colour = COLOURS[kind] + random.normal(0.0, COLOUR_NOISE, (count, 3))
        images = np.where(inside[:, None], _coloured(random, colour, patterns[chosen]), images)
        classes = np.where(inside, 1 + kind[:, None, None], classes)
    contrast = np.exp(random.uniform(np.log(0.3), np.log(1.0), (count, 1, 1, 1)))
    brightness = random.uniform(-0.3, 0.3, (count, 3, 1, 1))  # for each colour channel: a tint
    images = 0.5 + brightness + contrast * (images - 0.5) + random.normal(0.0, 0.03, images.shape)
    # In 256 steps, because the last digit of a sine differs between machines and must not change the data.
    images = np.round(255 * images.clip(0, 1)) / 255
    return Samples(torch.from_numpy(images).float(), torch.from_numpy(classes))


def _coloured(random: np.random.Generator, colour: Images, pattern: Images) -> Images:
    """Images (n, 3, side, side) of one colour (n, 3).

    The colour changes along a pattern (n, side, side) with values from -1 to 1.
    """
    change = random.uniform(-LARGEST_CHANGE, LARGEST_CHANGE, (len(pattern), 3, 1, 1))
    return colour[:, :, None, None] + change / 2 * pattern[:, None]


def _stripes(random: np.random.Generator, count: int, side: int) -> Images:
    """Stripes (n, side, side) of any direction and width, for the ground."""
    direction, phase = random.uniform(0, 2 * np.pi, (2, count, 1, 1))
    cycles = random.uniform(1.0, 6.0, (count, 1, 1))  # along the side of the image
    y, x = np.mgrid[:side, :side] / side
    return np.sin(2 * np.pi * cycles * (x * np.cos(direction) + y * np.sin(direction)) + phase)


def _objects(random: np.random.Generator, count: int, side: int) -> tuple[NDArray[np.bool_], Images]:
    """Which pixels each kind of object covers, and its pattern: (kinds, n, side, side) each.

    Each image has one place, one size and one turn.
    """
    centre_y, centre_x = random.uniform(0.1, 0.9, (2, count, 1, 1))
    radius = random.uniform(0.2, 0.33, (count, 1, 1))
    turn = random.uniform(0, 2 * np.pi, (count, 1, 1))
    y, x = (np.mgrid[:side, :side] + 0.5) / side
    y, x = (y - centre_y) / radius, (x - centre_x) / radius
    u, v = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)  # in radii, turned
    distance = np.hypot(u, v)
    wave = 2 * np.pi * random.uniform(1.0, 2.0, (count, 1, 1))  # cycles in a radius
    outlines = [
        distance < 0.9,
        (np.minimum(abs(u), abs(v)) < 0.3) & (np.maximum(abs(u), abs(v)) < 0.95),
        (v > -0.5) & (v < 1 - np.sqrt(3) * abs(u)),
        (distance > 0.55) & (distance < 1),
    ]
    patterns = [
        np.sin(wave * u) * np.sin(wave * v),  # checks
        np.sin(wave * u),  # stripes
        np.sin(wave * distance),  # circles
        np.zeros_like(u),  # plain
    ]
    return np.stack(outlines), np.stack(patterns)
