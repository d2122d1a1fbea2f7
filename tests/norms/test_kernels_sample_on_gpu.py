"""Checks which kernels run where a sample is on a GPU, without one: the device test is patched, and the CPU computes.

Bytes moved by the operations called, forward and backward, against those of torch's own.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from normlib.norms.kernels import batch_moments, group_norm, layer_norm
from normlib.norms.kernels.group_norm import normalize_groups
from normlib.norms.kernels.layer_norm import normalize_positions, normalize_rows
from normlib.testing import draw
from tests.norms.moved_bytes import MovedBytes

C, EPS = 8, 1e-5
SHAPE = (8, C, 12, 12)
SMALL = 64 * C * 8 * 4  # bytes of a few dozen tensors (N, C), which no pass over the input costs
HALF = pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
LAYOUTS = pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)


@pytest.fixture(autouse=True)
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (batch_moments, group_norm, layer_norm):
        monkeypatch.setattr(module, "is_on_gpu", lambda x: True)
    for module in (group_norm, layer_norm):
        monkeypatch.setattr(module, "may_read_values", lambda x: False)


def moved(step: Callable[..., Tensor], x: Tensor, dtype: torch.dtype) -> int:
    """The bytes that forward and backward move, with weights of `dtype`."""
    leaves = [x.detach().requires_grad_(), *(torch.ones(C, dtype=dtype, requires_grad=True) for _ in range(2))]
    with MovedBytes() as forward:
        y = step(*leaves)
    assert y.dtype is x.dtype
    gradient = torch.ones_like(y)
    with MovedBytes() as backward:
        torch.autograd.grad(y, leaves, gradient)
    return forward.bytes + backward.bytes


@LAYOUTS
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("groups", [1, 4, C])
def test_one_type_goes_straight_to_torchs_kernel(groups: int, dtype: torch.dtype, layout: torch.memory_format) -> None:
    x = draw(SHAPE).to(dtype).contiguous(memory_format=layout)
    ours = moved(lambda x, w, b: normalize_groups(x, groups, w, b, EPS), x, dtype)
    assert ours <= moved(lambda x, w, b: torch.group_norm(x, groups, w, b, EPS), x, dtype)
    rows = draw((64, C)).to(dtype)
    ours = moved(lambda x, w, b: normalize_rows(x, w, b, EPS), rows, dtype)
    assert ours <= moved(lambda x, w, b: torch.layer_norm(x, (C,), w, b, EPS), rows, dtype)


@LAYOUTS
@HALF
def test_half_precision_beside_float32_weights_is_not_cast(dtype: torch.dtype, layout: torch.memory_format) -> None:
    """Casting `x`, the result and both gradients moves 30 times the bytes of `x`, the two kernels 15."""
    x = draw(SHAPE).to(dtype).contiguous(memory_format=layout)
    steps: list[Callable[..., Tensor]] = [
        lambda x, w, b: normalize_groups(x, 4, w, b, EPS),
        lambda x, w, b: normalize_positions(x, w, b, EPS),
    ]
    for step in steps:
        size = x.numel() * x.element_size()
        assert moved(step, x, torch.float32) <= 15 * size + SMALL


@HALF
def test_half_precision_beside_float32_weights_is_right(dtype: torch.dtype) -> None:
    """Twice rounded to half precision: bfloat16 has 8 bits."""
    x, w, b = draw(SHAPE).to(dtype), draw((C,), seed=1), draw((C,), seed=2)
    right = torch.group_norm(x.double(), 4, w.double(), b.double(), EPS)
    torch.testing.assert_close(normalize_groups(x, 4, w, b, EPS).double(), right, rtol=2**-6, atol=2**-6)
    right = torch.layer_norm(x.double().movedim(1, -1), (C,), w.double(), b.double(), EPS).movedim(-1, 1)
    torch.testing.assert_close(normalize_positions(x, w, b, EPS).double(), right, rtol=2**-6, atol=2**-6)
