"""Checks the kernels of norms that take statistics per sample against their plain formulas, and what is theirs alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

import normlib
from normlib.norms.kernels import (
    evonorm_b0,
    gate,
    global_response,
    group_norm,
    layer_norm,
    sample_moments,
    tanh,
    threshold,
    unit_length,
)  # fmt: skip
from normlib.testing import draw

C = 8
# 32,768 values: every kernel is in use, and float32 sums of 512 or 4,096 products are right to 1e-5 of the largest.
SHAPE = (8, C, 16, 32)
ROUNDING = 2e-5
Kernel = Callable[..., Tensor]


def parameter(*shape: int, seed: int = 1, offset: float = 1.0) -> Tensor:
    return draw(shape, seed=seed) * 0.3 + offset


CASES: dict[str, tuple[Kernel, Kernel, list[Tensor]]] = {
    **{
        f"group norm of {groups}": (
            lambda x, w, b, groups=groups: group_norm.normalize_groups(x, groups, w, b, 1e-5),
            lambda x, w, b, groups=groups: group_norm.group_norm_formula(x, groups, w, b, 1e-5),
            [parameter(C), parameter(C, seed=2)],
        )
        for groups in (1, 2, 4, 8)
    },
    "layer norm": (
        lambda x, w, b: layer_norm.normalize_positions(x, w, b, 1e-5),
        lambda x, w, b: layer_norm.layer_norm_formula(x.movedim(1, -1), w, b, 1e-5).movedim(-1, 1),
        [parameter(C), parameter(C, seed=2)],
    ),
    "tanh": (tanh.tanh_of, lambda x, slope: torch.tanh(slope * x), [torch.tensor([0.7])]),
    "global response": (
        partial(global_response.strengthen_by_response, eps=1e-5),
        partial(global_response.strengthen_formula, eps=1e-5),
        [parameter(C), parameter(C, seed=2)],
    ),
    "unit length": (
        partial(unit_length.scale_to_length, eps=1e-5),
        partial(unit_length.scale_to_length_formula, eps=1e-5),
        [torch.tensor([2.0])],
    ),
    "larger of": (threshold.larger_of, threshold.larger_of_formula, [parameter(C, 1, 1, offset=0.0)]),
    "evonorm b0": (
        evonorm_b0.divide_by_larger,
        evonorm_b0.divide_by_larger_formula,
        [parameter(C, 1, 1), parameter(8, C, 1, 1, seed=2), parameter(C, 1, 1, seed=3)],
    ),
    "gate": (gate.gated, gate.gated_formula, [parameter(C, 1, 1)]),
    **{
        f"moments of {groups}": (
            lambda x, groups=groups: torch.cat(sample_moments.moments_over_groups(x, groups)),
            lambda x, groups=groups: torch.cat(sample_moments.moments_formula(x, groups)),
            [],
        )
        for groups in (2, 8)
    },
}


def outcome(kernel: Kernel, x: Tensor, given: list[Tensor]) -> list[Tensor]:
    """The output and the gradients of all inputs."""
    leaves = [each.detach().clone(memory_format=torch.preserve_format).requires_grad_() for each in (x, *given)]
    y = kernel(*leaves)
    weights = draw(tuple(y.shape), seed=9).to(y.dtype)
    return [y.detach(), *torch.autograd.grad(y, leaves, weights)]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("mean", [0.0, 3.0])
def test_the_kernel_is_its_formula(case: str, layout: torch.memory_format, mean: float) -> None:
    kernel, formula, given = CASES[case]
    x = (draw(SHAPE) + mean).contiguous(memory_format=layout)
    right = outcome(formula, x.double(), [each.double() for each in given])
    for ours, expected in zip(outcome(kernel, x, given), right, strict=True):
        assert ours.shape == expected.shape
        assert (ours.double() - expected).abs().max() <= ROUNDING * expected.abs().max()
    with torch.no_grad():
        alone = kernel(x, *given)
    assert (alone.double() - right[0]).abs().max() <= ROUNDING * right[0].abs().max()
    if alone.shape == x.shape and case != "layer norm":  # below LARGE that leaves the layout to its caller
        assert alone.stride() == x.stride()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_derivatives_of_first_and_second_order(
    case: str, layout: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (evonorm_b0, gate, global_response, group_norm, layer_norm, sample_moments, tanh, unit_length):
        monkeypatch.setattr(module, "LARGE", 1)
    monkeypatch.setattr(group_norm, "MANY_GROUPS", 1)
    kernel, _, given = CASES[case]
    x = draw((2, C, 2, 3), dtype=torch.float64).contiguous(memory_format=layout).requires_grad_()
    own = [each[:2] if each.dim() == 4 else each for each in given]
    leaves = [x, *(each.double().requires_grad_() for each in own)]
    assert torch.autograd.gradcheck(kernel, leaves)
    assert torch.autograd.gradgradcheck(kernel, leaves)


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("mean", [1.0, 3.0, 7.0, 1e3])
def test_channels_last_groups_are_right_wherever_the_mean_is(groups: int, mean: float) -> None:
    """The kernel's own result stands up to a mean of about 8 spreads at 512 positions; it is off by 1e-4 at the most."""
    x = (draw((4, C, 16, 32)) + mean).contiguous(memory_format=torch.channels_last)
    y = group_norm.normalize_groups(x, groups, None, None, 1e-5)
    right = group_norm.group_norm_formula(x.double(), groups, None, None, 1e-5)
    assert (y.double() - right).abs().max() <= 1e-4 * right.abs().max()


@pytest.mark.parametrize("groups", [1, 4, 8])
def test_gradients_of_channels_last_groups_far_from_zero(groups: int) -> None:
    """At mean 1000 and spread 0.01 float32 has steps of 6e-5: the input less its mean is exact, and so are sums of its products."""
    x = (draw((32, C, 8, 16)) * 1e-2 + 1e3).contiguous(memory_format=torch.channels_last)
    given = [parameter(C), parameter(C, seed=2)]
    ours = outcome(lambda x, w, b: group_norm.normalize_groups(x, groups, w, b, 1e-5), x, given)
    doubles = [each.double() for each in given]
    right = outcome(lambda x, w, b: group_norm.group_norm_formula(x, groups, w, b, 1e-5), x.double(), doubles)
    for found, expected in zip(ours, right, strict=True):
        assert (found.double() - expected).abs().max() <= 4e-3 * expected.abs().max()


def test_half_precision_rows_sum_their_gradients_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    x, gradient = (draw((256, 16), seed=seed).bfloat16() for seed in (0, 1))
    given = [parameter(16), parameter(16, seed=2)]
    for large in (1, 2**30):  # by a function, and by casts
        monkeypatch.setattr(layer_norm, "LARGE_HALF", large)
        leaves = [each.requires_grad_() for each in given]
        found = torch.autograd.grad(layer_norm.normalize_rows(x, *leaves, 1e-5), leaves, gradient)
        exact = [each.detach().double().requires_grad_() for each in given]
        right = torch.autograd.grad(layer_norm.layer_norm_formula(x.double(), *exact, 1e-5), exact, gradient.double())
        for ours, expected in zip(found, right, strict=True):
            assert (ours.double() - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("shape", [(4, C, 3, 3), SHAPE], ids=str)
def test_a_threshold_that_is_never_active_gets_no_gradient_at_all(shape: tuple[int, ...]) -> None:
    norm = normlib.create("frn", C)
    with torch.no_grad():
        norm.tau.copy_(torch.tensor([-100.0] * 4 + [100.0] * 4))
    norm(draw(shape)).backward(gradient := draw(shape, seed=1))
    assert norm.tau.grad[:4].tolist() == [0.0] * 4
    torch.testing.assert_close(norm.tau.grad[4:], gradient.sum((0, 2, 3))[4:], rtol=1e-5, atol=1e-3)


def test_a_small_tangent_keeps_its_relative_precision() -> None:
    x = draw((1, 2**15)) * 1e-4
    y = tanh.tanh_of(x, torch.ones(1)).double()
    assert ((y - torch.tanh(x.double())).abs() <= 4e-7 * y.abs()).all()
    far = tanh.tanh_of(torch.tensor([-math.inf, -1e4, 1e4, math.inf, math.nan]).repeat(2**13), torch.ones(1))
    assert far[:4].tolist() == [-1.0, -1.0, 1.0, 1.0]
    assert far[4].isnan()
