"""Checks on precision: what comes in float32 or less is as right as its type can hold, far from zero and near overflow too.

Every check holds the norm against itself in float64. For a method on weights the weights take the input's part.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from normlib.norms.base import Norm
from normlib.testing.requirements import ROUNDING, accepted, require, require_close
from normlib.testing.subject import LAYOUTS, Subject, draw, subject

# Far from zero float32 rounds the input itself. From the rounded input a result can be right, but intermediate results, such
# as the mean, are rounded likewise: as much as some such roundings of the input would change the output is allowed. The norms
# here take up to 6, torch's batch norm on channels_last 10 and its group norm there 9,000.
INPUT_ROUNDINGS = 8
HALF_A_UNIT = 2.0**-24  # of float32, relative
# Two units in the last place at values from 1 to 2, and a scale that brings values of up to 3 near the largest there is (65,504),
# or, where that is beyond any use, far beyond where squares overflow in half precision.
HALVES = {torch.float16: (2e-3, 2e4), torch.bfloat16: (1.6e-2, 1e6)}


def check_precision(norm: str | type[Norm], **settings: Any) -> None:
    """Float32 agrees with float64, at mean 1000 and spread 0.01 too, in every memory format, forward and backward."""
    of = subject(norm, **settings)
    if of.cls.slot == "weight":
        return _precision_of_weights(of)
    c = of.channels
    for shape in ((64, c), (8, c, 16, 16), (4, c, 6, 6, 6), (16, c, 24, 24)):
        for layout in (torch.contiguous_format, *([LAYOUTS[len(shape)]] if len(shape) in LAYOUTS else [])):
            for offset, spread in ((0.0, 1.0), (1e3, 1e-2)):
                x = (draw(shape) * spread + offset).contiguous(memory_format=layout)
                got = _output_and_gradient(of.build(), x)
                if got is None:
                    continue
                right = _output_and_gradient(of.build().double(), x.double())
                near = _output_and_gradient(of.build().double(), _rounded_once_more(x))
                assert right is not None and near is not None
                for what, *values in zip(("output", "gradient"), got, right, near, strict=True):
                    _require_right(f"{what}, mean {offset:g}, spread {spread:g}, shape {shape}, {layout}", *values)
    return None


def check_half(norm: str | type[Norm], **settings: Any) -> None:
    """float16 and bfloat16 come out as they came in, with statistics in float32, and nothing overflows; float64 stays float64."""
    of = subject(norm, **settings)
    if of.cls.slot == "weight":
        return _half_weights(of)
    for dtype, (tolerance, largest) in HALVES.items():
        for scale in (1.0, largest):
            x = (draw(of.images).clamp(-3, 3) * scale).to(dtype)
            y = of.build()(x)
            require(y.dtype is dtype, f"{dtype} became {y.dtype}")
            require_close(y, of.build().double()(x.double()), tolerance, f"{dtype} at values up to {3 * scale:g}")
            converted = of.build().to(dtype)(x)
            require(converted.dtype is dtype, f"{dtype} became {converted.dtype} where the parameters are of that type")
            require_close(converted, y, tolerance, f"parameters in {dtype} too, values up to {3 * scale:g}")
    x = draw(of.images, dtype=torch.float64)
    require(of.build().double()(x).dtype is torch.float64, "float64 does not stay float64")
    require(of.build()(x).dtype is torch.float64, "float64 does not stay float64 where the parameters are float32")
    return None


def check_autocast(norm: str | type[Norm], **settings: Any) -> None:
    """Under autocast the input's type comes out, and nothing is computed in less than float32."""
    of = subject(norm, **settings)
    if of.cls.slot == "weight":
        return _autocast_weights(of)
    for dtype, tolerance in ((torch.float32, ROUNDING), *((dtype, HALVES[dtype][0]) for dtype in HALVES)):
        for scale in (1.0, HALVES.get(dtype, (0.0, 1e6))[1]):
            x = (draw(of.images).clamp(-3, 3) * scale).to(dtype)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                y = of.build()(x)
            require(y.dtype is dtype, f"{dtype} became {y.dtype} under autocast")
            expected = of.build().double()(x.double())
            require_close(y, expected, tolerance, f"{dtype} at values up to {3 * scale:g} under autocast")
    return None


def _output_and_gradient(norm: Norm, x: Tensor) -> tuple[Tensor, Tensor] | None:
    """The output at `x` and the gradient of a fixed weighting of it; None where the norm refuses `x`."""
    x = x.detach().requires_grad_()
    y = accepted(norm, x)
    if y is None:
        return None
    (gradient,) = torch.autograd.grad(y, x, draw(tuple(x.shape), seed=1).to(x.dtype))
    return y.detach(), gradient


def _rounded_once_more(x: Tensor) -> Tensor:
    return x.double() * (1 + HALF_A_UNIT * draw(tuple(x.shape), seed=2).sign().double())


def _require_right(what: str, got: Tensor, right: Tensor, near: Tensor) -> None:
    """`got` is `right` but for rounding, or for as much as some roundings of the input (`near` took one) make of it."""
    scale = right.abs().max().clamp(min=1e-30)
    allowed = max(ROUNDING, INPUT_ROUNDINGS * float(((near - right) / scale).abs().max()))
    require_close(got / scale, right / scale, allowed, f"float32 against float64: {what}")


def _layer(of: Subject, values: Tensor, dtype: torch.dtype) -> Any:
    """A layer that a method on weights works on, with these values as its weights."""
    network: Any = of.network(positions=values.dim() - 2)
    layer: nn.Module = network.layer.to(dtype)
    with torch.no_grad():
        originals = [parameter for parameter in layer.parameters() if parameter.shape == values.shape]
        require(
            bool(originals),
            f"the layer has no parameter of its weight's shape {tuple(values.shape)} once the norm has entered",
        )
        originals[0].copy_(values)
    return layer


def _precision_of_weights(of: Subject) -> None:
    for positions in (0, 1, 2):
        for offset, spread in ((0.0, 1.0), (1e3, 1e-2)):
            values = draw((of.channels, of.channels, *(3,) * positions)) * spread + offset
            got = _layer(of, values, torch.float32).weight
            right = _layer(of, values.double(), torch.float64).weight.detach()
            near = _layer(of, _rounded_once_more(values), torch.float64).weight.detach()
            _require_right(
                f"weights of mean {offset:g}, spread {spread:g}, shape {tuple(values.shape)}", got, right, near
            )


def _half_weights(of: Subject) -> None:
    for dtype, (tolerance, largest) in HALVES.items():
        for scale in (1.0, largest):
            values = (draw((of.channels, of.channels, 3, 3)).clamp(-3, 3) * scale).to(dtype)
            got = _layer(of, values, dtype).weight
            require(got.dtype is dtype, f"weights in {dtype} became {got.dtype}")
            expected = _layer(of, values.double(), torch.float64).weight
            require_close(got, expected, tolerance, f"weights in {dtype}, values up to {3 * scale:g}")


def _autocast_weights(of: Subject) -> None:
    values = draw((of.channels, of.channels, 3, 3))
    expected = _layer(of, values, torch.float32).weight
    layer = _layer(of, values, torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = layer.weight
    require_close(got, expected, ROUNDING, "weights in float32 under autocast against those without")
