"""Checks the choice of kernels: where a quick one is not exact enough, another takes over and nothing is counted twice."""

from __future__ import annotations

import pytest
import torch

import normlib
from normlib.norms.kernels import batch_norm, group_norm
from normlib.norms.kernels.batch_moments import measure_in_parts

SHAPE = (8, 16, 12, 12)


def images(offset: float, seed: int = 0) -> torch.Tensor:
    x = torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + offset
    return x.float().contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("offset", [0.0, 7.0, 9.0, 1e3])
def test_running_statistics_move_once_whichever_kernel_serves(offset: float) -> None:
    """On either side of the limit of 8 spreads. Float32 rounds the sum of 1,152 values near `offset` to 1e-6 of it."""
    x = images(offset)
    norm, expected = normlib.BatchNorm(16), torch.nn.BatchNorm2d(16).double()
    norm(x), expected(x.double())
    torch.testing.assert_close(norm.running_mean.double(), expected.running_mean, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(norm.running_var.double(), expected.running_var, rtol=1e-5, atol=1e-6)
    assert int(norm.num_batches_tracked) == 1


def test_the_quick_kernels_serve_near_zero_only(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    shifted, kernel = batch_norm.measure_shifted, group_norm.channels_last_group_norm
    monkeypatch.setattr(batch_norm, "measure_shifted", lambda *a: calls.append("shifted") or shifted(*a))
    monkeypatch.setattr(group_norm, "channels_last_group_norm", lambda *a: calls.append("group") or kernel(*a))
    normlib.BatchNorm(16)(images(1.0)), normlib.GroupNorm(16)(images(1.0))
    assert calls == ["group"]
    normlib.BatchNorm(16)(images(100.0)), normlib.GroupNorm(16)(images(100.0))
    assert calls == ["group", "shifted", "group", "group"]


@pytest.mark.parametrize("rows", [40, 131, 1152, 4099])
@pytest.mark.parametrize("length", [8, 100])
def test_parts_give_the_statistics_of_the_whole(rows: int, length: int) -> None:
    """Near zero, as far as float32 goes, with a rest and without."""
    x = torch.randn(rows, 5, generator=torch.Generator().manual_seed(0)) + 1
    measured = measure_in_parts(x, length)
    torch.testing.assert_close(measured.mean.double(), x.double().mean(0), rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(measured.var.double(), x.double().var(0, correction=0), rtol=2e-6, atol=0)


def test_what_is_not_finite_is_not_near_zero() -> None:
    ones, near = torch.ones(3, 1), group_norm._are_near_zero
    assert near(ones * 2, ones, 10**9) and not near(ones * 2.1, ones, 10**9)
    assert near(ones * 6, ones, 1000) and not near(ones * 7, ones, 1000), "farther where few values are added up"
    for value in (float("nan"), float("inf")):
        assert not near(torch.tensor([[0.0, value]]), torch.ones(1, 2), 1000)


@pytest.mark.parametrize("name", ["batch", "batch_renorm", "group", "layer", "instance", "pono"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_half_precision_keeps_its_statistics_and_gradients_in_float32(name: str, layout: torch.memory_format) -> None:
    """Against float64 at the same rounded input: bfloat16 has 8 bits, so an output of 4 is rounded by up to 0.008."""
    x = images(3.0).bfloat16().contiguous(memory_format=layout)
    norm, exact = normlib.create(name, 16), normlib.create(name, 16).double()
    results = []
    for layer, at in ((norm, x), (exact, x.double())):
        leaf = at.detach().requires_grad_()
        y = layer(leaf)
        weights = images(0.0, seed=1).bfloat16().to(at.dtype).contiguous(memory_format=layout)
        y.backward(weights)
        results.append((y.detach(), leaf.grad, layer.weight.grad))
    (y, to_x, to_weight), (right_y, right_to_x, right_to_weight) = results
    assert y.dtype is torch.bfloat16 and y.stride() == x.stride() and to_weight.dtype is torch.float32
    torch.testing.assert_close(y.double(), right_y, rtol=2**-8, atol=2**-8)
    torch.testing.assert_close(to_x.double(), right_to_x, rtol=2**-7, atol=2**-6)
    # The sum of 1,152 products of order one, each rounded to float32 if at all: far below what bfloat16 statistics would give.
    torch.testing.assert_close(to_weight.double(), right_to_weight, rtol=1e-3, atol=2e-2)
    for buffer, right in zip(norm.buffers(), exact.buffers()):
        torch.testing.assert_close(buffer.double(), right.double(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["group", "instance", "layer"])
def test_second_derivatives_on_channels_last(name: str) -> None:
    norm = normlib.create(name, 4, **({"scope": "position"} if name == "layer" else {})).double()
    x = torch.randn(2, 4, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
    assert torch.autograd.gradgradcheck(norm, (x,))


def test_second_derivatives_where_statistics_over_channels_stay_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("normlib.norms.kernels.layer_norm.LARGE", 1)
    norm = normlib.LayerNorm(4, scope="position").double()
    x = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(norm, (x,)) and torch.autograd.gradgradcheck(norm, (x,))
