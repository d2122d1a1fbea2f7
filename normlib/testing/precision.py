"""Checks on precision: float32 and less are as accurate as their type allows, also far from zero and near overflow.

Every check compares the norm with itself in float64. For a method on weights, the weights are the input.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from normlib.norms.base import Norm
from normlib.testing.requirements import ROUNDING, accepted, require, require_close
from normlib.testing.subject import LAYOUTS, Subject, draw, subject

# Far from zero, float32 rounds the input itself and intermediate results such as the mean. So the error may be as large as the
# effect of this many such roundings of the input. normlib's norms need up to 6, torch's batch norm on channels_last 10, and
# torch's group norm there 9,000.
INPUT_ROUNDINGS = 8
HALF_A_UNIT = 2.0**-24  # of float32, relative
# The tolerance is two units in the last place at values from 1 to 2. The scale brings values of up to 3 near the largest
# float16 (65,504). For bfloat16, whose largest is beyond any use, it goes far beyond where squares overflow in float16.
HALVES = {torch.float16: (2e-3, 2e4), torch.bfloat16: (1.6e-2, 1e6)}


def check_precision(norm: str | type[Norm], **settings: Any) -> None:
    """Float32 agrees with float64, also at mean 1000 and spread 0.01, in every memory format, forward and backward."""
    tested = subject(norm, **settings)
    if tested.cls.slot == "weight":
        return _precision_of_weights(tested)
    c = tested.channels
    for shape in ((64, c), (8, c, 16, 16), (4, c, 6, 6, 6), (16, c, 24, 24)):
        for layout in (torch.contiguous_format, *([LAYOUTS[len(shape)]] if len(shape) in LAYOUTS else [])):
            for offset, spread in ((0.0, 1.0), (1e3, 1e-2)):
                x = (draw(shape) * spread + offset).contiguous(memory_format=layout)
                got = _output_and_gradient(tested.build(), x)
                if got is None:
                    continue
                right = _output_and_gradient(tested.build().double(), x.double())
                near = _output_and_gradient(tested.build().double(), _rounded_once_more(x))
                assert right is not None and near is not None
                for what, *values in zip(("output", "gradient"), got, right, near, strict=True):
                    _require_right(f"{what}, mean {offset:g}, spread {spread:g}, shape {shape}, {layout}", *values)
    return None


def check_half(norm: str | type[Norm], **settings: Any) -> None:
    """float16 and bfloat16 keep their type, with statistics in float32, and nothing overflows; float64 stays float64."""
    tested = subject(norm, **settings)
    if tested.cls.slot == "weight":
        return _half_weights(tested)
    for dtype, (tolerance, largest) in HALVES.items():
        for scale in (1.0, largest):
            x = (draw(tested.images).clamp(-3, 3) * scale).to(dtype)
            y = tested.build()(x)
            require(y.dtype is dtype, f"{dtype} became {y.dtype}")
            require_close(y, tested.build().double()(x.double()), tolerance, f"{dtype} at values up to {3 * scale:g}")
            converted = tested.build().to(dtype)(x)
            require(converted.dtype is dtype, f"{dtype} became {converted.dtype} with parameters of that type")
            require_close(converted, y, tolerance, f"parameters in {dtype} too, values up to {3 * scale:g}")
    x = draw(tested.images, dtype=torch.float64)
    require(tested.build().double()(x).dtype is torch.float64, "float64 does not stay float64")
    require(tested.build()(x).dtype is torch.float64, "float64 does not stay float64 if the parameters are float32")
    return None


def check_autocast(norm: str | type[Norm], **settings: Any) -> None:
    """Under autocast the output has the input's type, and nothing is computed in less than float32."""
    tested = subject(norm, **settings)
    if tested.cls.slot == "weight":
        return _autocast_weights(tested)
    for dtype, tolerance in ((torch.float32, ROUNDING), *((dtype, HALVES[dtype][0]) for dtype in HALVES)):
        for scale in (1.0, HALVES.get(dtype, (0.0, 1e6))[1]):
            x = (draw(tested.images).clamp(-3, 3) * scale).to(dtype)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                y = tested.build()(x)
            require(y.dtype is dtype, f"{dtype} became {y.dtype} under autocast")
            expected = tested.build().double()(x.double())
            require_close(y, expected, tolerance, f"{dtype} at values up to {3 * scale:g} under autocast")
    return None


def _output_and_gradient(norm: Norm, x: Tensor) -> tuple[Tensor, Tensor] | None:
    """The output at `x` and the gradient of a fixed weighting of it. None if the norm refuses `x`."""
    x = x.detach().requires_grad_()
    y = accepted(norm, x)
    if y is None:
        return None
    (gradient,) = torch.autograd.grad(y, x, draw(tuple(x.shape), seed=1).to(x.dtype))
    return y.detach(), gradient


def _rounded_once_more(x: Tensor) -> Tensor:
    return x.double() * (1 + HALF_A_UNIT * draw(tuple(x.shape), seed=2).sign().double())


def _require_right(what: str, got: Tensor, right: Tensor, near: Tensor) -> None:
    """`got` equals `right` except for rounding, or for what some roundings of the input change (`near` has one)."""
    scale = right.abs().max().clamp(min=1e-30)
    allowed = max(ROUNDING, INPUT_ROUNDINGS * float(((near - right) / scale).abs().max()))
    require_close(got / scale, right / scale, allowed, f"float32 against float64: {what}")


def _layer(tested: Subject, values: Tensor, dtype: torch.dtype) -> Any:
    """A layer with these weights, for a method on weights."""
    network: Any = tested.network(positions=values.dim() - 2)
    layer: nn.Module = network.layer.to(dtype)
    with torch.no_grad():
        originals = [parameter for parameter in layer.parameters() if parameter.shape == values.shape]
        require(
            bool(originals),
            f"the layer has no parameter of its weight's shape {tuple(values.shape)} once the norm has entered",
        )
        originals[0].copy_(values)
    return layer


def _precision_of_weights(tested: Subject) -> None:
    for positions in (0, 1, 2):
        for offset, spread in ((0.0, 1.0), (1e3, 1e-2)):
            values = draw((tested.channels, tested.channels, *(3,) * positions)) * spread + offset
            got = _layer(tested, values, torch.float32).weight
            right = _layer(tested, values.double(), torch.float64).weight.detach()
            near = _layer(tested, _rounded_once_more(values), torch.float64).weight.detach()
            _require_right(
                f"weights of mean {offset:g}, spread {spread:g}, shape {tuple(values.shape)}", got, right, near
            )


def _half_weights(tested: Subject) -> None:
    for dtype, (tolerance, largest) in HALVES.items():
        for scale in (1.0, largest):
            values = (draw((tested.channels, tested.channels, 3, 3)).clamp(-3, 3) * scale).to(dtype)
            got = _layer(tested, values, dtype).weight
            require(got.dtype is dtype, f"weights in {dtype} became {got.dtype}")
            expected = _layer(tested, values.double(), torch.float64).weight
            require_close(got, expected, tolerance, f"weights in {dtype}, values up to {3 * scale:g}")


def _autocast_weights(tested: Subject) -> None:
    values = draw((tested.channels, tested.channels, 3, 3))
    expected = _layer(tested, values, torch.float32).weight
    layer = _layer(tested, values, torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = layer.weight
    require_close(got, expected, ROUNDING, "weights in float32 under autocast against without")
