"""The norm under test.

In: its class and settings. Out: the norm, new, warmed up or in a small network. Checks nothing.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from normlib.norms import norms
from normlib.norms.base import Norm
from normlib.norms.plain import PlainNorm, as_norm
from normlib.testing.small_network import network_around

# Widths to try, since settings may ask for a divisor of the width. With the first, group norm's default has more than one channel
# per group.
WIDTHS = (16, 32, 48, 64, 80, 112, 128, 256, 512)
TOTAL_STEPS = 10
LAYOUTS = {4: torch.channels_last, 5: torch.channels_last_3d}
# A clock after the end of any schedule in steps.
LATE = 10**6


def draw(shape: tuple[int, ...], seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Standard normal values from their own generator, the same for the same seed."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64, device="cpu").to(
        dtype
    )


@dataclass(frozen=True)
class Subject:
    """A norm's class and the settings it is built with."""

    cls: type[Norm]
    settings: dict[str, Any]

    @functools.cached_property
    def channels(self) -> int:
        """The first of `WIDTHS` that the norm takes. Raises the norm's own ValueError if it takes none."""
        for width in WIDTHS[:-1]:
            try:
                self.cls(width, **self.settings)
            except ValueError:
                continue
            return width
        self.cls(WIDTHS[-1], **self.settings)
        return WIDTHS[-1]

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """One small input for each rank, from (N, C) to (N, C, D, H, W)."""
        return (
            (6, self.channels),
            (6, self.channels, 5),
            (6, self.channels, 5, 4),
            (6, self.channels, 4, 3, 2),
        )

    @property
    def images(self) -> tuple[int, ...]:
        """A small batch of images, which every norm takes. For a plain module that does not, inputs that it takes."""
        usual = self.shapes[2]
        if not issubclass(self.cls, PlainNorm):
            return usual
        norm: Any = self.build()
        return usual if len(usual) in norm.traits.ranks else self.shapes[norm.traits.ranks[0] - 2]

    def build(self, num_features: int | None = None, **supplied: Any) -> Norm:
        """A new norm in training mode, in a run of `TOTAL_STEPS` steps."""
        norm = self.cls(num_features or self.channels, **self.settings, **supplied)
        norm.set_total_steps(TOTAL_STEPS)
        return norm.train()

    def network(self, positions: int | None = None, channels: int | None = None) -> nn.Module:
        """A small network around the norm, always with the same weights.

        It goes from (N, C, *positions), or `images`, to the same shape.
        """
        positions = len(self.images) - 2 if positions is None else positions
        return network_around(self.build, channels or self.channels, positions, draw)

    def standing(self, positions: int | None = None) -> nn.Module:
        """The smallest module that shows what the norm does: the norm alone, or with the layers that it works on."""
        return self.build() if self.cls.slot in ("norm", "site") else self.network(positions)

    def warmed_up(self, module: nn.Module | None = None, shape: tuple[int, ...] | None = None) -> Any:
        """A norm, or a module with norms, whose parameters and running statistics differ from a new one's."""
        warm: Any = self.build() if module is None else module
        with torch.no_grad():
            for parameter in warm.parameters():
                parameter.add_(draw(tuple(parameter.shape), seed=11), alpha=0.1)
            for seed in range(3):
                warm(draw(shape or self.images, seed=seed) + 0.5)
        return warm


def subject(norm: str | type[nn.Module], **settings: Any) -> Subject:
    """The norm under test: registered as `norm`, or the class itself, which may be a plain module's."""
    return Subject(norms[norm].cls if isinstance(norm, str) else as_norm(norm), dict(settings))


def norms_in(module: nn.Module) -> list[Norm]:
    """Every norm in a module, itself included."""
    return [norm for norm in module.modules() if isinstance(norm, Norm)]


def set_clock(module: nn.Module, steps: int = LATE) -> bool:
    """Set every norm's clock to this many steps. Returns whether there is one."""
    clocks = [buffer for name, buffer in module.named_buffers() if name.rpartition(".")[2] == "num_batches_tracked"]
    for clock in clocks:
        clock.fill_(steps)
    return bool(clocks)
