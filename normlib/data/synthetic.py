"""Gaussian clusters of any shape: data for benchmarks and tests, not for conclusions."""

from __future__ import annotations

import math
from pathlib import Path

import torch

from normlib.data import register
from normlib.data.dataset import DataError, Dataset, Samples


@register("synthetic")
class Synthetic(Dataset):
    """`classes` Gaussian clusters around random centres, `noise` times as wide as the centres lie apart.

    `shape` is the shape of one input, e.g. [3, 32, 32] or [64]; the sizes of the three splits are settings.

    Settings:
        shape: shape of an input, such as [3,32,32] or [64]
        classes: clusters
        train: training samples
        validation: validation samples
        test: test samples
        noise: width of a cluster in distances of the centres
    """

    fixed = True

    def __init__(
        self,
        shape: list[int] = [3, 32, 32],  # noqa: B006 - read, never changed
        classes: int = 10,
        train: int = 1024,
        validation: int = 256,
        test: int = 256,
        noise: float = 1.0,
    ) -> None:
        if classes < 2 or min(train, validation, test) < 1 or not shape or min(shape) < 1:
            raise DataError(
                "synthetic: needs at least 2 classes, one sample a split and a shape of positive sides, got "
                f"classes={classes}, train={train}, validation={validation}, test={test}, shape={list(shape)}"
            )
        self.input_shape = tuple(int(side) for side in shape)
        self.classes = self.num_classes = classes
        self.sizes = {"train": train, "validation": validation, "test": test}
        self.version = "gaussian-clusters-1"
        self.noise = noise

    def load(self, data_dir: Path) -> dict[str, Samples]:
        generator = torch.Generator().manual_seed(0)
        count = sum(self.sizes.values())
        centres = torch.randn(self.classes, *self.input_shape, generator=generator)
        # This keeps the task from becoming trivial in high dimension.
        centres /= math.sqrt(math.prod(self.input_shape)) ** 0.5
        targets = torch.arange(count) % self.classes
        inputs = centres[targets] + self.noise * torch.randn(count, *self.input_shape, generator=generator)
        return {"all": Samples(inputs, targets)}
