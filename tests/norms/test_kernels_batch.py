"""Holds the functions that normalize over the batch against their plain formulas, in every layout, type and transform."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from normlib.norms.kernels import affine, batch_moments, batch_norm, batch_renorm, known_statistics
from normlib.norms.kernels.affine import scale_and_shift, scale_and_shift_formula
from normlib.norms.kernels.batch_formulas import batch_norm_formula, measure_formula, normalize_by_formula
from normlib.norms.kernels.batch_moments import measure
from normlib.norms.kernels.batch_norm import apply_statistics, normalize_by, normalize_over_batch
from normlib.norms.kernels.batch_renorm import batch_renorm_formula

C, EPS = 6, 1e-5
SHAPES = [(2, C), (300, C), (4, C, 70), (5, C, 6, 12), (3, C, 4, 5, 6), (2, C, 3, 4, 5, 2)]
LAYOUTS = ("contiguous", "channels last", "with gaps")
# Where the values lie, and how far an output may be off in each type: at mean 1000 and spread 0.01, float32 has steps of 0.006
# spreads. bfloat16 rounds an output of 4 by up to 0.016.
PLACES = {"mean 0": (0.0, 1.0), "mean 3": (3.0, 1.0), "mean 1000": (1000.0, 0.01)}
ROUNDING = {torch.float64: (1e-7, 1e-7), torch.float32: (2e-5, 3e-2), torch.bfloat16: (2e-2, 2e-2)}


def draw(shape: tuple[int, ...], place: str = "mean 3", layout: str = "contiguous", seed: int = 0) -> Tensor:
    mean, spread = PLACES[place]
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * spread + mean
    if layout == "channels last":
        return x.movedim(1, -1).contiguous().movedim(-1, 1)
    return x.repeat_interleave(2, 0)[::2] if layout == "with gaps" else x


def parameters(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Running mean and variance (or deviation), weight and bias."""
    values = (
        torch.linspace(-1, 1, C),
        torch.linspace(0.3, 2, C),
        torch.linspace(0.5, 1.5, C),
        torch.linspace(-1, 1, C),
    )
    return tuple(value.to(dtype) for value in values)  # type: ignore[return-value]


def norm(x: Tensor, mean: Tensor, var: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return normalize_over_batch(x, mean, var, weight, bias, 0.3, EPS)


def norm_formula(x: Tensor, mean: Tensor, var: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return batch_norm_formula(x, mean, var, weight, bias, 0.3, EPS)


def renorm(x: Tensor, mean: Tensor, std: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return batch_renorm.batch_renorm(x, mean, std, weight, bias, 1.3, 0.8, EPS).y


def renorm_formula(x: Tensor, mean: Tensor, std: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return batch_renorm_formula(x, mean, std, weight, bias, 1.3, 0.8, EPS).y


def inference(x: Tensor, mean: Tensor, var: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return normalize_by(mean, var, x, weight, bias, EPS)


def inference_formula(x: Tensor, mean: Tensor, var: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return normalize_by_formula(mean, var, x, weight, bias, EPS)


def known(x: Tensor, mean: Tensor, var: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return apply_statistics(x, measure(x), weight, bias, EPS)


def known_formula(x: Tensor, mean: Tensor, var: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return batch_norm_formula(x, None, None, weight, bias, 0.0, EPS)


def affine_step(x: Tensor, mean: Tensor, var: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return scale_and_shift(x, weight, bias)


def affine_formula(x: Tensor, mean: Tensor, var: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return scale_and_shift_formula(x, weight, bias)


Step = Callable[..., Tensor]
STEPS: dict[str, tuple[Step, Step]] = {
    "batch norm": (norm, norm_formula),
    "batch renorm": (renorm, renorm_formula),
    "known statistics": (known, known_formula),
    "given statistics": (inference, inference_formula),
    "scale and shift": (affine_step, affine_formula),
}
each = pytest.mark.parametrize("step", STEPS)


def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small inputs take the ways of large ones, and of those that are not exact enough at first."""
    limits = {
        "LARGE": 1,
        "LONG": 1,
        "LARGE_ROWS": 1,
        "FEW_VALUES": 1,
        "MANY_VALUES": 4,
        "WIDE": 2 * C,
        "FEW_HALVES": {},
    }
    for module in (batch_moments, batch_norm, batch_renorm, known_statistics, affine):
        for limit, value in limits.items():
            if hasattr(module, limit):
                monkeypatch.setattr(module, limit, value)


def results(step: Step, x: Tensor, values: tuple[Tensor, ...], gradient: Tensor) -> list[Tensor]:
    """Output, gradients to x, weight and bias, and what became of the running statistics."""
    mean, var, weight, bias = (value.clone() for value in values)
    leaves = [x.detach().clone(memory_format=torch.preserve_format), weight, bias]
    if x.stride() != leaves[0].stride():
        leaves[0] = x.detach()
    leaves = [leaf.requires_grad_() for leaf in leaves]
    y = step(leaves[0], mean, var, *leaves[1:])
    assert y.dtype is x.dtype and y.shape == x.shape
    return [y.detach(), *torch.autograd.grad(y, leaves, gradient), mean, var]


@each
@pytest.mark.parametrize("size", ["small", "large"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ROUNDING, ids=str)
def test_the_kernel_gives_what_the_formula_gives(
    step: str, size: str, layout: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The formula in float64, at the same rounded input."""
    if size == "large":
        large(monkeypatch)
    kernel, formula = STEPS[step]
    exact = torch.float64 if dtype is torch.float64 else torch.float32
    for shape in SHAPES:
        for place in PLACES:
            if dtype is torch.bfloat16 and place == "mean 1000":
                continue  # whose steps are of 4
            x = draw(shape, place, layout).to(dtype)
            gradient = draw(shape, "mean 0", seed=1).to(dtype)
            values = parameters(exact)
            found = results(kernel, x, values, gradient)
            right = results(formula, x.double(), tuple(value.double() for value in values), gradient.double())
            if layout != "with gaps":
                assert found[0].stride() == x.stride()
            far = place == "mean 1000"
            tolerance = ROUNDING[dtype][far]
            for what, one, other in zip(("y", "x", "weight", "bias", "mean", "var"), found, right, strict=True):
                # The sums over the batch are of up to 500 terms, and the gradient at spread 0.01 is some 100 times as large. With
                # given statistics, or none, an output at mean 1000 is itself about 1000.
                at_all = max(float(other.abs().max()), 1.0)
                largest = (one.double() - other).abs().max().item() / at_all
                assert largest <= tolerance, f"{what} at {shape}, {place}: {largest}"


@each
@pytest.mark.parametrize("size", ["small", "large"])
@pytest.mark.parametrize("layout", LAYOUTS[:2])
def test_second_gradients(step: str, size: str, layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batch renorm with bounds that hold r and d for any input, for finite differences must not see them move."""
    if size == "large":
        large(monkeypatch)
    mean, var, weight, bias = parameters()
    x = draw((3, C, 2, 2), layout=layout).requires_grad_()

    def run(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        if step == "batch renorm":
            held = (torch.full_like(mean, 0.7), torch.full_like(mean, -0.4))
            values = iter(held)
            return batch_renorm.batch_renorm(x, mean, var, weight, bias, 3.0, 5.0, EPS, lambda _: next(values)).y
        return STEPS[step][0](x, mean.clone(), var.clone(), weight, bias)

    inputs = (x, weight.requires_grad_(), bias.requires_grad_())
    assert torch.autograd.gradcheck(run, inputs) and torch.autograd.gradgradcheck(run, inputs)


@each
@pytest.mark.parametrize("layout", LAYOUTS[:2])
def test_under_torch_func(step: str, layout: str) -> None:
    """An ensemble, each member with a state of its own, and its gradients: the single ones."""
    kernel, formula = STEPS[step]
    members = [tuple(value + 0.1 * index for value in parameters()) for index in range(3)]
    stacked = tuple(torch.stack(values) for values in zip(*members, strict=True))
    x = draw((4, C, 5, 3), layout=layout)

    def loss(x: Tensor, weight: Tensor, mean: Tensor, var: Tensor, bias: Tensor) -> Tensor:
        return kernel(x, mean, var, weight, bias).sin().sum()

    mean, var, weight, bias = (value.clone() for value in stacked)
    y = torch.func.vmap(kernel, (None, 0, 0, 0, 0))(x, mean, var, weight, bias)
    gradients = torch.func.vmap(torch.func.grad(loss, (0, 1)), (None, 0, 0, 0, 0))(x, weight, *stacked[:2], bias)
    for index, member in enumerate(members):
        single = results(formula, x, member, torch.ones_like(x))
        torch.testing.assert_close(y[index], single[0])
        torch.testing.assert_close(mean[index], single[4])
        torch.testing.assert_close(var[index], single[5])
        leaf, weight_leaf = x.clone().requires_grad_(), member[2].clone().requires_grad_()
        of_one = torch.autograd.grad(
            formula(leaf, member[0].clone(), member[1].clone(), weight_leaf, member[3]).sin().sum(), (leaf, weight_leaf)
        )
        for found, right in zip(gradients, of_one, strict=True):
            torch.testing.assert_close(found[index], right)


class Layer(torch.nn.Module):
    def __init__(self, step: str) -> None:
        super().__init__()
        self.step = STEPS[step][0]
        mean, var, weight, bias = parameters(torch.float32)
        self.register_buffer("mean", mean)
        self.register_buffer("var", var)
        self.weight, self.bias = torch.nn.Parameter(weight), torch.nn.Parameter(bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.step(x, self.mean, self.var, self.weight, self.bias)


@each
@pytest.mark.parametrize("layout", LAYOUTS[:2])
def test_compiled(step: str, layout: str) -> None:
    """At mean 1000, where the kernel that a backend without a compiler would call is off by more."""
    torch.compiler.reset()  # else all tests together reach the limit of recompilations
    eager, shape = Layer(step), (4, C, 20, 20)
    compiled: Any = torch.compile(copy.deepcopy(eager), fullgraph=True, backend="aot_eager")
    for place in ("mean 3", "mean 1000"):
        x = draw(shape, place, layout).float()
        leaf, other = x.clone().requires_grad_(), x.clone().requires_grad_()
        y, right = compiled(leaf), eager(other)
        tolerance = {"rtol": 1e-4, "atol": 2e-2 if place == "mean 1000" else 1e-4}
        torch.testing.assert_close(y, right, **tolerance)
        y.sin().sum().backward(), right.sin().sum().backward()
        torch.testing.assert_close(leaf.grad, other.grad, rtol=5e-2, atol=0.1 * float(other.grad.abs().max()))
    for one, other in zip(compiled.buffers(), eager.buffers(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning", "ignore::torch.jit.TracerWarning")
@each
def test_traced(step: str) -> None:
    """Neither a choice that values made nor a running average stands still in the trace."""
    layer, exact = Layer(step), Layer(step).double()
    traced = torch.jit.trace(layer, draw((4, C, 5, 3)).float(), check_trace=False)
    assert "PythonOp" not in str(traced.inlined_graph) and "^" not in str(traced.inlined_graph), "cannot be saved"
    exact(draw((4, C, 5, 3)).float().double())
    x = draw((4, C, 5, 3), "mean 1000").float()
    torch.testing.assert_close(traced(x).double(), exact(x.double()), rtol=1e-5, atol=3e-2)
    for one, other in zip(traced.buffers(), exact.buffers(), strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-5, atol=1e-5)


@each
def test_on_meta_and_fake_tensors(step: str) -> None:
    for layout in LAYOUTS:
        x = draw((4, C, 5, 3), layout=layout).float()
        y = Layer(step).to("meta")(x.to("meta"))
        assert y.is_meta and y.shape == x.shape
        with FakeTensorMode(allow_non_fake_inputs=True) as mode:
            fake = Layer(step)(mode.from_tensor(x))
            assert fake.shape == x.shape and fake.dtype is x.dtype


def test_the_gradient_is_that_of_the_statistics_before_they_moved() -> None:
    """Evaluation, then training, then the backward pass of the evaluation."""
    for shape in ((8, C), (8, C, 20, 20)):
        mean, var, weight, bias = parameters()
        x = draw(shape, "mean 0").requires_grad_()
        weight.requires_grad_()
        expected = torch.autograd.grad(inference_formula(x, mean.clone(), var.clone(), weight, bias).sum(), (x, weight))
        y = inference(x, mean, var, weight, bias)
        norm(x.detach() * 3 + 2, mean, var, weight, bias)
        for found, right in zip(torch.autograd.grad(y.sum(), (x, weight)), expected, strict=True):
            torch.testing.assert_close(found, right)


def test_a_second_pass_and_a_loaded_state_leave_the_backward_pass_of_the_first() -> None:
    mean, var, weight, bias = parameters()
    x = draw((8, C)).requires_grad_()
    y = norm(x, mean, var, weight, bias)
    norm(x.detach(), mean, var, weight, bias)
    mean.zero_(), var.fill_(1)
    y.sum().backward()


def test_without_gradients_the_values_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    for kernel, _ in STEPS.values():
        for grow in (False, True):
            if grow:
                large(monkeypatch)
            x, values = draw((5, C, 6, 12)).float(), parameters(torch.float32)
            with_gradients = results(kernel, x, values, torch.ones_like(x))[0]
            with torch.no_grad():
                torch.testing.assert_close(kernel(x, *(value.clone() for value in values)), with_gradients)
        monkeypatch.undo()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bounds_are_exact_in_the_layers_type(dtype: torch.dtype) -> None:
    """As numbers and as tensors. A bound of 1.1 in float32 is 2e-8 beside that in float64."""
    mean, std, weight, bias = parameters(dtype)
    x = draw((50, C), "mean 3").to(dtype) * 9
    for bounds in ((1.1, 0.3), (torch.tensor(1.1, dtype=torch.float64), torch.tensor(0.3, dtype=torch.float64))):
        out = batch_renorm.batch_renorm(x, mean, std, weight, bias, *bounds, 0.0)
        assert (out.wanted_r > 1.1).all() and (out.wanted_d > 0.3).any()
        exact = batch_renorm_formula(
            x.double(), mean.double(), std.double(), weight.double(), bias.double(), 1.1, 0.3, 0.0
        )
        torch.testing.assert_close(out.y.double(), exact.y, rtol=0, atol=1e-14 if dtype is torch.float64 else 5e-6)
        for found, right in zip(out[1:], exact[1:], strict=True):
            torch.testing.assert_close(found.double(), right, rtol=1e-13 if dtype is torch.float64 else 1e-5, atol=0)


def test_statistics_stand_where_the_values_are() -> None:
    """Over the limits of the ways, at mean 1000 and spread 0.01: the mean within one of float32's steps, outputs to 1e-4."""
    for shape in ((9, 3), (33, 3), (131, 3), (1000, 3), (4099, 3), (70_000, 3), (8, 40, 64, 64)):
        for layout in LAYOUTS:
            x = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 0.01 + 1000
            x = x.float() if layout != "channels last" else x.float().movedim(1, -1).contiguous().movedim(-1, 1)
            x = x.repeat_interleave(2, 0)[::2] if layout == "with gaps" else x
            found, right = measure(x), measure_formula(x.double())
            assert (found.mean.double() - right.mean).abs().max() <= 6.2e-5, (shape, layout)
            assert (found.var.double() / right.var - 1).abs().max() <= 1e-4, (shape, layout)
            y = normalize_over_batch(x, None, None, None, None, 0.0, EPS)
            exact = batch_norm_formula(x.double(), None, None, None, None, 0.0, EPS)
            assert (y - exact).abs().max() <= 1e-4, (shape, layout)
