"""Small networks around a norm under test: layers with fixed weights, and the norm in a site's place.

In: a function that builds norms. Out: a module from (N, C, *positions) to the same shape. Checks nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from normlib.norms.base import Norm
from normlib.norms.place import BranchPosition, Place

CONVOLUTIONS: dict[int, Any] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
LAYERS_OF_THE_BRANCH = 2  # the fewest for which Fixup's scale, L^(-1/(2m-2)), exists


class BehindALayer(nn.Module):
    """A layer, then the norm, like a site without a branch."""

    def __init__(self, layer: nn.Module, norm: Norm) -> None:
        super().__init__()
        self.layer, self.norm = layer, norm

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.layer(x))


class InABranch(nn.Module):
    """A residual branch with a norm behind each layer, and its shortcut."""

    def __init__(self, layers: list[nn.Module], norms: list[Norm]) -> None:
        super().__init__()
        self.layers, self.norms = nn.ModuleList(layers), nn.ModuleList(norms)

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for layer, norm in zip(self.layers, self.norms, strict=True):
            y = norm(layer(y))
        return x + y


def make_layer(inputs: int, outputs: int, positions: int, draw: Callable[..., Tensor], seed: int = 0) -> nn.Module:
    """A linear layer, or a convolution over `positions` dimensions. Its weights depend on the seed alone."""
    layer: Any = (
        CONVOLUTIONS[positions](inputs, outputs, 3, padding=1, bias=False)
        if positions
        else nn.Linear(inputs, outputs, bias=False)
    )
    with torch.no_grad():
        layer.weight.copy_(draw(tuple(layer.weight.shape), seed=20 + seed) / math.sqrt(layer.weight[0].numel()))
    return layer


def network_around(
    build: Callable[[int], Norm], channels: int, positions: int, draw: Callable[..., Tensor]
) -> BehindALayer | InABranch:
    """The norm behind a layer, or norms in a residual branch if it needs one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # layers draw weights that are then overwritten, and a norm may draw when it enters
        norm = build(channels)
        if norm.slot != "branch":
            layer = make_layer(channels, channels, positions, draw)
            norm.enter(Place(ahead=layer, activation="relu", name="norm"))
            return BehindALayer(layer, norm)
        layers = [make_layer(channels, channels, positions, draw, seed) for seed in range(LAYERS_OF_THE_BRANCH)]
        norms = [norm, *(build(channels) for _ in layers[1:])]
        classifier = nn.Linear(channels, 2)
        for index, (layer, member) in enumerate(zip(layers, norms, strict=True)):
            branch = BranchPosition(index, len(layers), num_branches=1)
            member.enter(Place(layer, "relu", branch, classifier, index, len(layers), name=f"norms.{index}"))
        return InABranch(layers, norms)
