"""What norms are timed at: a shape, its layout, type and values, a warm or cold cache, a device and a number of threads.

In come settings, out go `Case`s, each of which draws its input. This file builds no layer and times nothing.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor

from normlib.timings.settings import BenchSettings

LAST = {4: torch.channels_last, 5: torch.channels_last_3d}
MEAN_OF_SHIFTED, LEVELS_OF_PIXELS = 3.0, 256
INPUTS: dict[str, Callable[[tuple[int, ...], Generator], Tensor]] = {
    "normal": lambda sizes, generator: torch.randn(sizes, generator=generator),
    "shifted": lambda sizes, generator: torch.randn(sizes, generator=generator) + MEAN_OF_SHIFTED,
    "pixels": lambda sizes, generator: torch.randint(LEVELS_OF_PIXELS, sizes, generator=generator).float(),
}
"""What the values of an input are, by the names of `bench.inputs`."""


@dataclass(frozen=True)
class Case:
    """What a norm is timed at."""

    shape: str
    layout: str
    dtype: str
    device: str
    threads: int
    inputs: str = "normal"
    cache: str = "warm"

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(map(int, self.shape.split("x")))

    @property
    def channel_dim(self) -> int:
        """Tokens, of rank 3, have their channels last."""
        return -1 if len(self.sizes) == 3 else 1

    @property
    def num_bytes(self) -> int:
        return math.prod(self.sizes) * getattr(torch, self.dtype).itemsize

    @property
    def build(self) -> Case:
        """The case without what layers need not be built again for: its values, and how its caches are."""
        return replace(self, inputs="normal", cache="warm")

    def draw(self, seed: int) -> Tensor:
        """The input, of the case's shape, values, type and layout."""
        return self._placed(INPUTS[self.inputs](self.sizes, Generator().manual_seed(seed)))

    def draw_gradient(self, seed: int) -> Tensor:
        """The gradient of the output: normal, whatever the values of the input."""
        return self._placed(INPUTS["normal"](self.sizes, Generator().manual_seed(seed)))

    def _placed(self, values: Tensor) -> Tensor:
        values = values.to(self.device, getattr(torch, self.dtype))
        return values.contiguous(memory_format=LAST[len(self.sizes)]) if self.layout == "channels_last" else values


def cases(settings: BenchSettings) -> Iterator[Case]:
    """Every case that is asked for; channels_last where the rank has it, one number of threads on CUDA."""
    devices = settings.devices or ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    every = itertools.product(
        devices, settings.threads, settings.dtypes, settings.shapes, settings.layouts, settings.inputs, settings.caches
    )
    for device, threads, dtype, shape, layout, inputs, cache in every:
        if layout == "channels_last" and shape.count("x") + 1 not in LAST:
            continue
        if device == "cuda" and threads != settings.threads[0]:
            continue
        yield Case(shape, layout, dtype, device, threads, inputs, cache)
