"""Who is timed beside a norm: torch.nn's own layer, timm's, the compiled formula. Builds layers and times nothing."""

from __future__ import annotations

import importlib
import importlib.util
import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass

from torch import Tensor, nn

from normlib.norms.base import Norm
from normlib.timings.formulas import EPS, FORMULAS, compiled_formula, number_of_groups
from normlib.timings.record import COMPILED, TORCH

COMPILERS = ("c++", "g++", "clang++")

Build = Callable[[int, int], nn.Module]
"""From a number of channels and a rank to a layer."""


@dataclass(frozen=True)
class Contender:
    """A layer that takes what the norm takes; `what` names it."""

    what: str
    layer: nn.Module


class OverChannels(nn.Module):
    """A layer for channels in the last dimension, applied to dimension 1, as ConvNeXt does; its output stays moved."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layer(x.movedim(1, -1)).movedim(-1, 1)
        return y


def _batch_norm(channels: int, rank: int) -> nn.Module:
    return {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}[rank](channels)


def _instance_norm(channels: int, rank: int) -> nn.Module:
    return {3: nn.InstanceNorm1d, 4: nn.InstanceNorm2d, 5: nn.InstanceNorm3d}[rank](channels, affine=True)


# By name and by where the channels are: 1 for (N, C, *positions), -1 for tokens (N, T, C). Layer and RMS norm are timed over
# the channels of a token, as transformers have them, and over a whole sample of an image.
LAYERS_OF_TORCH: dict[tuple[str, int], Build] = {
    ("batch", 1): _batch_norm,
    ("batch_renorm", 1): _batch_norm,
    ("group", 1): lambda channels, rank: nn.GroupNorm(number_of_groups(channels), channels),
    ("layer", 1): lambda channels, rank: nn.LayerNorm(channels) if rank == 2 else nn.GroupNorm(1, channels),
    ("layer", -1): lambda channels, rank: nn.LayerNorm(channels),
    ("instance", 1): _instance_norm,
    ("pono", 1): lambda channels, rank: OverChannels(nn.LayerNorm(channels)),
    ("pono", -1): lambda channels, rank: nn.LayerNorm(channels),
    ("rms", -1): lambda channels, rank: nn.RMSNorm(channels, eps=1e-5),
    ("lrn", 1): lambda channels, rank: nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0),
}
SAME_IN_TORCH = ("batch", "layer", "group", "instance", "rms")
ALLOWED, ALLOWED_TO_RENORM, ALLOWED_TO_COMPILED = 1.05, 1.5, 1.2
"""The largest ratios that count as no slower: to torch.nn's layer, to its batch norm, which does less than batch renorm, and to
the compiled formula."""
LAYERS_OF_TIMM: dict[tuple[str, int], str] = {
    ("batch", 1): "BatchNormAct2d", ("group", 1): "GroupNorm", ("layer", 1): "GroupNorm1", ("layer", -1): "LayerNorm",
    ("rms", -1): "RmsNorm", ("pono", 1): "LayerNorm2d", ("evonorm_b0", 1): "EvoNorm2dB0", ("evonorm_s0", 1): "EvoNorm2dS0",
    ("frn", 1): "FilterResponseNormTlu2d",
}  # fmt: skip
BY_POSITION = ("layer", "rms")
"""Norms whose scope is "position" where the channels are last."""


def allowed_ratios(name: str, beside: Collection[str]) -> dict[str, float]:
    """By contender, of those `beside` it, the largest ratio of a norm that counts as no slower.

    Where torch.nn has the same norm, that is the measure; else the compiled formula is, too.
    """
    allowed = {TORCH: ALLOWED_TO_RENORM if name == "batch_renorm" else ALLOWED, COMPILED: ALLOWED_TO_COMPILED}
    if name in SAME_IN_TORCH and TORCH in beside:
        del allowed[COMPILED]
    return {contender: limit for contender, limit in allowed.items() if contender in beside}


def settings_of(name: str, channel_dim: int) -> dict[str, str]:
    """The settings that make a norm do what the layers beside it do."""
    return {"scope": "position"} if name in BY_POSITION and channel_dim == -1 else {}


def contenders(norm: Norm, name: str, rank: int, compiles: bool) -> tuple[dict[str, Contender], dict[str, str]]:
    """The layers to time beside `norm`, registered as `name`, by kind, and why others are left out."""
    channels, key = norm.num_features, (name, norm.channel_dim)
    found: dict[str, Contender] = {}
    left_out: dict[str, str] = {}
    if key in LAYERS_OF_TORCH and not (name == "instance" and rank == 2):
        layer = LAYERS_OF_TORCH[key](channels, rank)
        inner = layer.layer if isinstance(layer, OverChannels) else layer
        found[TORCH] = Contender(f"torch.nn.{type(inner).__name__}", layer)
    else:
        left_out[TORCH] = "has no such layer for this input"
    if key not in LAYERS_OF_TIMM or (norm.channel_dim == 1 and rank != 4):
        left_out["timm"] = "has no such layer for this input"
    elif importlib.util.find_spec("timm") is None:
        left_out["timm"] = "is not installed"
    else:
        found["timm"] = Contender(f"timm.layers.{LAYERS_OF_TIMM[key]}", _timm_layer(LAYERS_OF_TIMM[key], channels))
    if name not in FORMULAS:
        left_out[COMPILED] = "has no plain formula here"
    elif not compiles:
        left_out[COMPILED] = "is compiled with bench.compile=true"
    elif not any(map(shutil.which, COMPILERS)):
        left_out[COMPILED] = "needs a C++ compiler, and there is none"
    else:
        found[COMPILED] = Contender("torch.compile of the formula", compiled_formula(norm, name, rank))
    return found, left_out


def _timm_layer(name: str, channels: int) -> nn.Module:
    build: Callable[..., nn.Module] = getattr(importlib.import_module("timm.layers"), name)
    if name == "GroupNorm":
        return build(channels, num_groups=number_of_groups(channels))
    if name in ("LayerNorm", "LayerNorm2d", "RmsNorm"):
        return build(channels, eps=EPS)  # timm's own default is 1e-6
    return build(channels, apply_act=False) if name.startswith("BatchNormAct") else build(channels)
