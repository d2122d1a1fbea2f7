"""Checks a norm's input, mask and width, and sets the memory format of its output. Computes no norm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def refuse_input(norm: Any, x: Tensor) -> None:
    """Raise an error that says what is wrong with an input of `norm`: its type or its shape."""
    name = type(norm).__name__
    if not x.is_floating_point():
        raise TypeError(
            f"{name} takes real floating numbers, but got {x.dtype}, whose statistics would be rounded or lose a part; "
            "convert the input first, as in x.float()"
        )
    layout = "(N, C, *positions)" if norm.channel_dim == 1 else "(N, *positions, C)"
    message = (
        f"{name} takes {layout} with C = num_features = {norm.num_features}, but got shape {tuple(x.shape)}; "
        f"build it with the input's number of channels, or set channel_dim={-norm.channel_dim} if they are in that dimension"
    )
    if x.dim() and x.shape[0] == norm.num_features:
        message += ", or give a single sample a batch dimension: x.unsqueeze(0)"
    raise ValueError(message)


def valid_positions(norm: Any, x: Tensor, mask: Tensor) -> Tensor:
    """Check `mask` (N, *positions) for the input `x` of `norm`, and return it as (N, 1, *positions)."""
    name = type(norm).__name__
    if not norm.takes_mask:
        raise ValueError(
            f"{name} takes no mask, so padding would enter its statistics; call it without one, or use a norm that "
            "takes one: `takes_mask` says so"
        )
    expected = x.shape[:1] + (x.shape[2:] if norm.channel_dim == 1 else x.shape[1:-1])
    if mask.dtype is not torch.bool or mask.shape != expected:
        raise ValueError(
            f"{name} takes a mask (N, *positions) of type torch.bool, True where a position is valid: for an input of shape "
            f"{tuple(x.shape)} that is {tuple(expected)}, but got shape {tuple(mask.shape)} of type {mask.dtype}; "
            "make it with a comparison such as `positions < lengths[:, None]`"
        )
    return mask.unsqueeze(1)


def one_width(name: str, num_features: int | Sequence[int]) -> int:
    """The number of channels. As torch.nn's `normalized_shape` it may be a tuple or list of one number."""
    if isinstance(num_features, int):
        return num_features
    if len(num_features) != 1:
        raise ValueError(
            f"{name} scales and shifts each channel, so its shape is one number of channels, as in {name}(8) or {name}((8,)); got "
            f"{tuple(num_features)}: for statistics over all dimensions of a sample take {name}(channels) with scope='sample'"
        )
    return num_features[0]


def require_scope(scope: str) -> None:
    """Raise ValueError if `scope` is neither scope of layer norm and RMS norm."""
    if scope not in ("sample", "position"):
        raise ValueError(
            f'scope is "sample" (over channels and positions) or "position" (over channels), got {scope!r}'
        )


def autocasts(x: Tensor) -> bool:
    """Whether autocast is on for the device of `x`."""
    device = "cpu" if x.is_cpu else x.device.type  # reading the name of a device takes as long as a small kernel
    return device != "meta" and torch.is_autocast_enabled(device)


def laid_out_like(x: Tensor, y: Tensor) -> Tensor:
    """`y` in the memory format of `x`. If `x` has gaps or overlaps, in the order of its dimensions.

    The strides of dimensions of size 1 mean nothing, and torch's own kernels set them in other ways. They are left
    alone. Otherwise a convolution behind the norm could choose another kernel than behind torch's norm.
    """
    if all(ours == theirs for ours, theirs, size in zip(y.stride(), x.stride(), x.shape) if size > 1):
        return y
    target = torch.empty_like(x)
    return y if y.stride() == target.stride() else target.copy_(y)
