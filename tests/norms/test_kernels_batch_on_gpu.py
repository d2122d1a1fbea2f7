"""Checks which kernels run where the batch is on a GPU, without one: the device test is patched, and the CPU computes.

Bytes and launches of the operations called, forward and backward, against those of torch's own layer.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from normlib.norms.kernels import affine, batch_moments, batch_norm, batch_renorm, known_statistics
from normlib.norms.kernels.affine import scale_and_shift
from normlib.norms.kernels.batch_norm import apply_statistics, measure, normalize_by, normalize_over_batch
from normlib.norms.kernels.renorm_coefficients import CODE, coefficients, coefficients_formula
from tests.norms.moved_bytes import MovedBytes

C, EPS = 8, 1e-5
SHAPES = [(64, C), (16, C, 40), (8, C, 12, 12), (4, C, 6, 6, 6)]
TYPES = (torch.float32, torch.bfloat16, torch.float16)
everywhere = pytest.mark.parametrize("shape", SHAPES, ids=str)
layouts = pytest.mark.parametrize("layout", ["contiguous", "channels last"])
types = pytest.mark.parametrize("dtype", TYPES, ids=str)
SMALL = 64 * C * 4  # bytes of a few dozen tensors (C,), which no pass over the input costs


@pytest.fixture(autouse=True)
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (batch_moments, batch_norm, batch_renorm, known_statistics):
        monkeypatch.setattr(module, "is_on_gpu", lambda x: True)
        if hasattr(module, "may_read_values"):
            monkeypatch.setattr(module, "may_read_values", lambda x: False)
    # CUDA's kernel takes statistics of half precision in float32; the CPU's has to be told so by other means.
    kernel = batch_moments._kernel

    def in_float32(x: Tensor, *rest: object) -> tuple[Tensor, ...]:
        return tuple(found.to(torch.promote_types(x.dtype, torch.float32)) for found in kernel(x, *rest))  # type: ignore[arg-type]

    monkeypatch.setattr(batch_moments, "_kernel", in_float32)


def draw(shape: tuple[int, ...], layout: str, dtype: torch.dtype) -> Tensor:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    return x.movedim(1, -1).contiguous().movedim(-1, 1) if layout == "channels last" else x


def parameters() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return torch.zeros(C), torch.ones(C), torch.ones(C, requires_grad=True), torch.zeros(C, requires_grad=True)


def moved(step: Callable[..., Tensor], x: Tensor) -> tuple[MovedBytes, MovedBytes]:
    """What the forward and the backward pass move."""
    leaf, given = x.detach().requires_grad_(), parameters()
    with MovedBytes() as forward:
        y = step(leaf, *given)
    gradient = torch.ones_like(y)
    with MovedBytes() as backward:
        torch.autograd.grad(y, (leaf, *given[2:]), gradient)
    return forward, backward


def torchs_own(x: Tensor, training: bool) -> tuple[MovedBytes, MovedBytes]:
    return moved(lambda x, *given: F.batch_norm(x, *given, training, 0.1, EPS), x)


@everywhere
@layouts
@types
def test_no_more_bytes_than_torch(shape: tuple[int, ...], layout: str, dtype: torch.dtype) -> None:
    x = draw(shape, layout, dtype)
    steps: dict[str, tuple[Callable[..., Tensor], bool]] = {
        "training": (lambda x, *given: normalize_over_batch(x, *given, 0.1, EPS), True),
        "evaluation": (lambda x, mean, var, *given: normalize_by(mean, var, x, *given, EPS), False),
        "own statistics": (lambda x, mean, var, *given: apply_statistics(x, measure(x), *given, EPS), True),
        "renorm": (lambda x, *given: batch_renorm.batch_renorm(x, *given, 3.0, 5.0, EPS).y, True),
        "scale and shift": (lambda x, mean, var, *given: scale_and_shift(x, *given), False),
    }
    for name, (step, training) in steps.items():
        for ours, theirs in zip(moved(step, x), torchs_own(x, training), strict=True):
            assert ours.bytes <= theirs.bytes + SMALL, (name, ours.operations, theirs.operations)


@layouts
@types
def test_batch_renorm_launches_six_kernels_at_most(layout: str, dtype: torch.dtype) -> None:
    x = draw((8, C, 12, 12), layout, dtype)
    for bounds in ((3.0, 5.0), (torch.tensor(3.0), torch.tensor(5.0))):
        forward, backward = moved(lambda x, *given, b=bounds: batch_renorm.batch_renorm(x, *given, *b, EPS).y, x)
        assert forward.launches <= 6, forward.operations
        assert backward.launches <= 6, backward.operations


def test_the_counter_sees_what_was_wrong() -> None:
    """A cast to float32 and a shift ahead of the kernel, as on a CPU, are counted."""
    x = draw((8, C, 12, 12), "channels last", torch.bfloat16)
    cast = moved(lambda x, *given: F.batch_norm(x.float() - 1, *given, True, 0.1, EPS).to(x.dtype), x)
    for ours, theirs in zip(cast, torchs_own(x, True), strict=True):
        assert ours.bytes > theirs.bytes + SMALL


def test_the_operation_of_a_gpu_is_the_formula() -> None:
    own_mean, own_var, mean, std, weight = (
        torch.rand(C, generator=torch.Generator().manual_seed(0)) + 0.1 for _ in range(5)
    )
    for scale, shift in ((weight, mean), (weight, None), (None, None)):
        for bounds in ((1.5, 0.2), (torch.tensor(1.5), 0.2), (torch.tensor(1.5), torch.tensor(0.2))):
            arguments = (own_mean, own_var, mean, std, scale, shift, *bounds, EPS)
            for found, right in zip(coefficients(*arguments), coefficients_formula(*arguments), strict=True):
                torch.testing.assert_close(found, right)


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_the_code_of_the_one_kernel_is_the_formula(tmp_path: Path) -> None:
    """Compiled for the CPU: the compiler of a GPU takes the same text. Within bounds, at both of them, and for what is not a number."""
    names = ["own_std", "wanted_r", "wanted_d", "r", "d", "scale", "shift"]
    call = ", ".join([*(f"in[{index}]" for index in range(9)), *(f"out[{index}]" for index in range(7))])
    source = tmp_path / "kernel.cpp"
    source.write_text(
        f'#include <cmath>\n{CODE}\nextern "C" void run(const double* in, double* out) {{ renorm_coefficients<double>({call}); }}\n'
    )
    subprocess.run(["g++", "-shared", "-fPIC", "-O1", "-o", tmp_path / "kernel.so", source], check=True, timeout=60)
    run = ctypes.CDLL(str(tmp_path / "kernel.so")).run
    for own_mean, own_var in ((0.3, 1.1), (5.0, 90.0), (-5.0, 0.001), (float("nan"), 1.0), (0.0, float("nan"))):
        inputs = (own_mean, own_var, 0.2, 0.9, 1.5, -0.5, 1.7, 0.6, 1e-5)
        out = (ctypes.c_double * 7)()
        run((ctypes.c_double * 9)(*inputs), out)
        tensors = (torch.tensor([value], dtype=torch.float64) for value in inputs[:6])
        right = coefficients_formula(*tensors, *inputs[6:])
        for name, found, expected in zip(names, out, right, strict=True):
            torch.testing.assert_close(torch.tensor([found], dtype=torch.float64), expected, equal_nan=True, msg=name)


def test_the_affine_step_is_a_kernel() -> None:
    assert affine.calls_kernels(torch.ones(2, C))
