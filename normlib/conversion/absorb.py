"""The arithmetic of folding: scaling and shifting a layer's output per channel gives another layer of the same kind.

In: a layer, and a norm's scale and shift, computed in float64. The layer's weight and bias change in place. They become
new Parameters, so that whoever shared the old ones keeps them. This file finds no layers.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from normlib.conversion.describe import HARMLESS
from normlib.conversion.description import Description

TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
ABSORBING: tuple[type[nn.Module], ...] = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, *TRANSPOSED)
# Subclasses whose forward only pads the input, or computes the same in other words.
ABSORBING_BY_NAME = {("timm", "Conv2dSame"), ("timm", "Linear")}


def absorbs(layer: nn.Module) -> bool:
    """Whether the layer's output is linear in its weight and bias, with a channel for each output of the weight.

    A subclass may be built in another way and have further methods. It may not replace methods, and neither may the
    layer itself.
    """
    known = next((cls for cls in type(layer).__mro__ if _is_known(cls)), None)
    if known is None or replaces_method(layer):
        return False
    between = type(layer).__mro__[: type(layer).__mro__.index(known)]
    if any(hasattr(known, name) and not HARMLESS.fullmatch(name) for cls in between for name in vars(cls)):
        return False  # hasattr: torch.nn.Module has __getattr__, too
    kept = layer._parameters  # not one that a parametrization computes
    return "bias" in kept and kept.get("weight") is not None and not any(is_lazy(p) for p in layer.parameters())


def replaces_method(module: nn.Module) -> bool:
    """Whether the module itself replaces a method that it computes with, as in `module.forward = ...`."""
    methods = {name for name in vars(module) if callable(getattr(type(module), name, None))}
    return bool(methods - {"train"})  # `normlib.freeze_statistics` replaces that


def _is_known(cls: type) -> bool:
    return cls in ABSORBING or (cls.__module__.partition(".")[0], cls.__name__) in ABSORBING_BY_NAME


def channels_of(layer: Any) -> int:
    """How many channels the layer's output has."""
    return int(layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels)


def scale_and_shift(norm: Description) -> tuple[Tensor, Tensor]:
    """What the norm does to each channel with its running statistics: y = scale * x + shift, in float64."""
    state = {name: tensor.detach().double() for name, tensor in norm.state.items() if tensor.is_floating_point()}
    std = state["running_std"] if "running_std" in state else (state["running_var"] + (norm.eps or 0.0)).sqrt()
    scale = state.get("weight", torch.ones_like(std)) / std
    return scale, state.get("bias", torch.zeros_like(std)) - state["running_mean"] * scale


def absorb(layer: Any, scale: Tensor, shift: Tensor) -> None:
    """Make the layer's output scale * output + shift."""
    weight = layer.weight.detach().double()
    if isinstance(layer, TRANSPOSED):  # (in, out / groups, *kernel), the inputs of a group side by side
        grouped = weight.unflatten(0, (layer.groups, -1))  # (groups, in / groups, out / groups, *kernel)
        by_output = scale.view(layer.groups, 1, -1, *(1,) * (weight.dim() - 2))
        new_weight = (grouped * by_output).flatten(0, 1)
    else:  # (out, ...)
        new_weight = weight * scale.view(-1, *(1,) * (weight.dim() - 1))
    new_bias = shift if layer.bias is None else layer.bias.detach().double() * scale + shift
    trained = layer.weight.requires_grad
    layer.bias = nn.Parameter(new_bias.to(layer.weight.dtype), requires_grad=trained)
    layer.weight = nn.Parameter(new_weight.to(layer.weight.dtype), requires_grad=trained)
