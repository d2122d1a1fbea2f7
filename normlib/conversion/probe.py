"""A copy of a module with random numbers in it, to see what it does with random inputs.

In: a module, and inputs of several shapes and scales. Out: its outputs. By comparing, it also finds which of the
module's tensors a row of fitted numbers is. The module itself stays as it is. This file knows no method.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from normlib.conversion.description import UnknownNorm

EXACT = 1e-6  # of the largest output; modules that compute in float32 inside reach 3e-7
LARGE, TINY = 1e4, 1e-8  # inputs at which epsilon does not matter, and at which nothing else does
COMMON_EPS = (1e-12, 1e-8, 1e-7, float(torch.finfo(torch.float32).eps), 1e-6, 1e-5, 1e-4, 1e-3)
Layout = tuple[tuple[int, ...], int]
"""A shape, and the dimension of the channels in it."""


class Probe:
    """The copy, its layouts and the values of its tensors. Raises UnknownNorm if nothing can be seen."""

    def __init__(self, module: nn.Module) -> None:
        self.own_tensors = {name: t for name, t in _own_tensors(module) if t.is_floating_point() and t.numel() > 1}
        sizes = {tensor.numel() for tensor in self.own_tensors.values()}
        by_channel = all(tensor.numel() == max(tensor.shape) for tensor in self.own_tensors.values())
        if len(sizes) != 1 or not by_channel or module._modules:
            raise UnknownNorm(
                "it does not have one number or a few for each channel, so what it computes cannot be measured"
            )
        self.num_features = sizes.pop()
        self.settings = [value for value in vars(module).values() if isinstance(value, float) and value > 0]
        self.source = torch.Generator().manual_seed(0)
        self.layouts: list[Layout] = []
        for dtype in (torch.float64, torch.float32):  # some take only float32
            self.copy: nn.Module = self._copied(module, dtype)
            self.layouts = [layout for layout in self._to_try() if self.run(layout, 1.0) is not None]
            if self.layouts:
                return
        raise UnknownNorm(
            "it takes no input of shape (N, C), (N, C, *positions) or (N, *positions, C) alone, so it cannot be measured"
        )

    def _copied(self, module: nn.Module, dtype: torch.dtype) -> nn.Module:
        try:
            copied = copy.deepcopy(module).to(dtype).requires_grad_(False)
        except Exception as error:
            raise UnknownNorm(f"it cannot be copied, so what it computes cannot be measured ({error})") from error
        self.tensors = {name: tensor for name, tensor in _own_tensors(copied) if name in self.own_tensors}
        for tensor in self.tensors.values():
            tensor.copy_(torch.rand(tensor.shape, generator=self.source, dtype=torch.float64) + 0.5)
        return copied

    def _to_try(self) -> list[Layout]:
        """The layouts to try. All sizes differ from one another and from the number of channels."""
        n, h, w = [size for size in (4, 5, 3, 7) if size != self.num_features][:3]
        c = self.num_features
        return [((n, h, w, c), -1), ((n, c, h, w), 1), ((n, h, c), -1), ((n, c, h), 1), ((n, c), 1)]

    @torch.no_grad()
    def run(self, layout: Layout, scale: float, train: bool = False) -> tuple[Tensor, Tensor] | None:
        """Random input of a scale and its output, both (N, C, positions). None if the module does not take such an
        input.

        Its samples differ in spread, and none has a mean of zero.
        """
        shape, channel_dim = layout
        x = torch.randn(shape, generator=self.source, dtype=torch.float64)
        spread = 1 + torch.rand(shape[:1] + (1,) * (len(shape) - 1), generator=self.source, dtype=torch.float64)
        x = ((x + 0.5) * spread * scale).to(next(iter(self.tensors.values())))
        try:
            y: Any = self.copy.train(train)(x.clone())
        except Exception:  # a shape that it does not take, whatever the error
            return None
        if not isinstance(y, Tensor) or y.shape != x.shape or not torch.isfinite(y).all():
            return None
        x, y = (tensor.double().movedim(channel_dim, 1) for tensor in (x, y))
        return x.reshape(*x.shape[:2], -1), y.reshape(*y.shape[:2], -1)

    def require_output(self, layout: Layout, scale: float, train: bool = False) -> tuple[Tensor, Tensor]:
        """`run`, but an error if there is no output."""
        found = self.run(layout, scale, train)
        if found is None:
            raise UnknownNorm(f"in {_mode(train)} mode it gives no finite output for values of about {scale:.1g}")
        return found

    def role(self, fitted: Tensor, kind: str, without: float) -> tuple[str | None, int]:
        """Which of the module's tensors the fitted numbers are. None if none is needed.

        For a gain they may also be one plus a tensor.
        """
        distances = {}
        for name, tensor in self.tensors.items():
            for plus in (0, 1) if kind == "gain" else (0,):
                distances[name, plus] = float((fitted - tensor.double().flatten() - plus).abs().max())
        nearest = min(distances, key=lambda role: distances[role])
        if distances[nearest] <= EXACT * float(fitted.abs().max()):
            return nearest
        if float((fitted - without).abs().max()) <= EXACT * 2:  # its tensors are from 0.5 to 1.5
            return None, 0
        raise UnknownNorm(
            f"its {kind} of each channel is none of its {', '.join(self.own_tensors)}, nor 1 more: off by {distances[nearest]:.2g}, and by "
            f"{float((fitted - without).abs().max()):.2g} of having none"
        )

    def named_eps(self, found: float) -> float:
        """The module's own setting, or a usual value, if a measured eps is close to it. Otherwise the measured one."""
        if abs(found) < 1e-3 * TINY**2:
            return 0.0
        usual = [eps for eps in (*self.settings, *COMMON_EPS) if abs(found - eps) <= 1e-3 * eps]
        return usual[0] if usual else max(found, 0.0)

    def require(self, expected: Tensor, y: Tensor, claim: str, scale: float, train: bool) -> None:
        """Refuse a claim whose outputs are not those of the module."""
        off = float((expected - y).abs().max() / expected.abs().max())
        if not off <= EXACT:
            raise UnknownNorm(
                f"it is {claim} for some inputs, but in {_mode(train)} mode, for values of about {scale:.1g}, off by {off:.2g} of the "
                "largest output"
            )

    def state(self, weight: str | None, plus: int, bias: str | None) -> dict[str, Tensor]:
        """The module's own scale and shift.

        They are the very tensors if these are (C,) and unchanged, otherwise new ones.
        """
        state = {}
        for role, name, more in (("weight", weight, plus), ("bias", bias, 0)):
            if name is not None:
                tensor = self.own_tensors[name]
                as_it_is = tensor.dim() == 1 and not more
                state[role] = (
                    tensor if as_it_is else nn.Parameter(tensor.detach().flatten() + more, tensor.requires_grad)
                )
        return state


def fit(x_hat: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Least squares for each channel of (N, C, positions): y = gain * x_hat + shift. Both are (1, C, 1)."""
    mean_x, mean_y = x_hat.mean((0, 2), keepdim=True), y.mean((0, 2), keepdim=True)
    spread = (x_hat - mean_x).square().sum((0, 2), keepdim=True)
    gain = ((x_hat - mean_x) * (y - mean_y)).sum((0, 2), keepdim=True) / spread
    return gain, mean_y - gain * mean_x


def _own_tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from module.named_parameters(recurse=False)
    yield from module.named_buffers(recurse=False)


def _mode(train: bool) -> str:
    return "training" if train else "eval"
