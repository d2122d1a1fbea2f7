"""Checks that norms can be differentiated and traced in the ways beside plain backward passes, whichever kernel serves.

Inputs are small and large, contiguous and channels last, since these choose the kernel.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad

import normlib
from normlib.norms import norms

NAMES = sorted(entry.name for entry in norms.entries() if entry.cls.slot in ("norm", "site"))  # type: ignore[attr-defined]
SHAPES = ((2, 4, 3, 3), (2, 8, 64, 64))  # the second is above every limit from which own backward passes serve
FORMATS = (torch.contiguous_format, torch.channels_last)
everywhere = pytest.mark.parametrize("memory_format", FORMATS, ids=str)
sizes = pytest.mark.parametrize("shape", SHAPES, ids=str)
each = pytest.mark.parametrize("name", NAMES)


def build(name: str, shape: tuple[int, ...]) -> Any:
    settings: dict[str, Any] = {"schedule": None} if name == "batch_renorm" else {}
    return normlib.create(name, shape[1], **settings)


def images(shape: tuple[int, ...], memory_format: torch.memory_format) -> Tensor:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    return x.contiguous(memory_format=memory_format)


@each
@sizes
@everywhere
def test_forward_mode_gives_the_product_that_backward_mode_gives(name: str, shape: Any, memory_format: Any) -> None:
    """u·(Jv) forward and (u·J)v backward. Sums of 65,536 float32 products of order one, whose own order is 256."""
    x, norm = images(shape, memory_format), build(name, shape)
    u, v = images(shape, memory_format).roll(1, 0), images(shape, memory_format).roll(3, 2)
    with forward_ad.dual_level():
        tangent = forward_ad.unpack_dual(norm(forward_ad.make_dual(x, v))).tangent
        forwards = (u * tangent).sum(dtype=torch.float64)
    leaf = x.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(build(name, shape)(leaf), leaf, u)
    torch.testing.assert_close(forwards, (gradient * v).sum(dtype=torch.float64), rtol=1e-4, atol=1e-2)


@each
@sizes
@everywhere
def test_many_gradients_at_once_are_the_single_ones(name: str, shape: Any, memory_format: Any) -> None:
    """As vectorized Jacobians take them. Both by float32 kernels that add up in different orders."""
    x, norm = images(shape, memory_format).requires_grad_(), build(name, shape)
    y = norm(x)
    directions = torch.stack([images(shape, memory_format).roll(shift, 2) for shift in (0, 1)])
    inputs = (x, *norm.parameters())

    def gradients(direction: Tensor, **options: bool) -> tuple[Tensor, ...]:
        return torch.autograd.grad(y, inputs, direction, retain_graph=True, **options)

    for many in (gradients(directions, is_grads_batched=True), torch.func.vmap(gradients)(directions)):
        for index, direction in enumerate(directions):
            for found, expected in zip(many, gradients(direction), strict=True):
                torch.testing.assert_close(found[index], expected, rtol=1e-3, atol=2e-3)


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace.*:DeprecationWarning", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("name", ["group", "rms"])  # one that looks at values, one with a backward pass of its own
def test_a_traced_norm_keeps_no_choice_that_values_made(name: str) -> None:
    """Traced near zero, used at mean 100 and spread 1, where float32 itself has steps of 8e-6: both take the exact way."""
    x, norm = images(SHAPES[1], torch.channels_last), build(name, SHAPES[1]).eval()
    traced = torch.jit.trace(norm, x, check_trace=False)
    torch.testing.assert_close(traced(x + 100), norm(x + 100), rtol=1e-3, atol=1e-3)
    assert "PythonOp" not in str(traced.inlined_graph) and "^" not in str(traced.inlined_graph), "cannot be saved"


@pytest.mark.parametrize("name", ["batch", "batch_renorm", "evonorm_b0", "instance"])
@pytest.mark.parametrize("shape", [(3, 4, 5), (2, 8, 64, 64)], ids=str)
def test_weighed_statistics_have_gradients(name: str, shape: tuple[int, ...]) -> None:
    """Through the sample's own moments too: against a difference quotient in float64, of steps of 1e-6."""
    norm = (
        normlib.create(name, shape[1], track_running_stats=True) if name == "instance" else build(name, shape)
    ).double()
    norm.eval()
    norm.own_weight = 0.5
    norm.statistics = "weighed"
    x = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    leaf, direction = x.clone().requires_grad_(), x.roll(1, 2)

    def loss(inputs: Tensor) -> Tensor:
        return norm(inputs).sin().sum()

    (gradient,) = torch.autograd.grad(loss(leaf), leaf)
    with torch.no_grad():
        quotient = (loss(x + 1e-6 * direction) - loss(x - 1e-6 * direction)) / 2e-6
    torch.testing.assert_close((gradient * direction).sum(), quotient, rtol=1e-5, atol=1e-4)
