"""The factor and the shift of batch renorm in each channel: about eight small steps on a CPU, one kernel on a GPU.

In: the statistics of a batch and the running ones, all (C,). Out: the correction, and scale and shift. Nothing here
reads the input of the norm.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

Bound = float | Tensor  # of rank 0
StopGradient = Callable[[Tensor], Tensor]


class Correction(NamedTuple):
    """r and d as the statistics want them, and as they are used, all (C,)."""

    wanted_r: Tensor
    wanted_d: Tensor
    r: Tensor
    d: Tensor


class Coefficients(NamedTuple):
    """The batch's deviation, r and d before and after clipping, and what replaces weight and bias, all (C,)."""

    std: Tensor
    wanted_r: Tensor
    wanted_d: Tensor
    r: Tensor
    d: Tensor
    scale: Tensor
    shift: Tensor


def coefficients(
    batch_mean: Tensor,
    batch_var: Tensor,
    mean: Tensor,
    std: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    r_max: Bound,
    d_max: Bound,
    eps: float,
) -> Coefficients:
    """The same as `coefficients_formula`, in one launch on CUDA."""
    (r_bound, r_max), (d_bound, d_max) = (
        (bound, 0.0) if isinstance(bound, Tensor) else (None, bound) for bound in (r_max, d_max)
    )
    found = torch.ops.normlib.renorm_coefficients(
        batch_mean, batch_var, mean, std, weight, bias, r_bound, d_bound, r_max, d_max, eps
    )
    return Coefficients(*found)


def correction(
    batch_mean: Tensor,
    batch_std: Tensor,
    mean: Tensor,
    std: Tensor,
    r_max: Bound,
    d_max: Bound,
    stop_gradient: StopGradient | None = None,
) -> Correction:
    """r and d of `batch_renorm`, from the statistics of a batch and the running ones.

    They are computed apart, because Inductor (torch 2.13, CPU) miscompiles them stacked in one tensor.
    """
    wanted_r, wanted_d = batch_std / std, (batch_mean - mean) / std
    clamp: Any = torch.clamp  # its type hints allow tensors or numbers, not both
    r, d = clamp(wanted_r, 1 / r_max, r_max), clamp(wanted_d, -d_max, d_max)
    if stop_gradient is not None:
        r, d = stop_gradient(r), stop_gradient(d)
    return Correction(wanted_r, wanted_d, r, d)


def coefficients_formula(
    batch_mean: Tensor,
    batch_var: Tensor,
    mean: Tensor,
    std: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    r_max: Bound,
    d_max: Bound,
    eps: float,
    stop_gradient: StopGradient | None = None,
) -> Coefficients:
    """The coefficients in steps that autograd and every transform of torch can follow."""
    batch_std = (batch_var + eps).sqrt()
    wanted_r, wanted_d, r, d = correction(batch_mean, batch_std, mean, std, r_max, d_max, stop_gradient)
    scale, shift = (r, d) if weight is None else (weight * r, weight * d if bias is None else bias.addcmul(weight, d))
    if weight is None and bias is not None:
        shift = shift + bias
    return Coefficients(batch_std, wanted_r, wanted_d, r, d, scale, shift)


# In the language of torch.cuda.jiterator: tensors first, then numbers, then outputs. A NaN passes the bounds.
CODE = """
template <typename T>
void renorm_coefficients(T batch_mean, T batch_var, T mean, T std, T weight, T bias, T r_max, T d_max, T eps,
                         T& batch_std, T& wanted_r, T& wanted_d, T& r, T& d, T& scale, T& shift) {
  batch_std = ::sqrt(batch_var + eps);
  wanted_r = batch_std / std;
  wanted_d = (batch_mean - mean) / std;
  r = wanted_r < 1 / r_max ? 1 / r_max : wanted_r > r_max ? r_max : wanted_r;
  d = wanted_d < -d_max ? -d_max : wanted_d > d_max ? d_max : wanted_d;
  scale = weight * r;
  shift = bias + weight * d;
}
"""


@cache
def _launcher(bounds_are_tensors: bool) -> Callable[..., Any]:
    numbers = {"eps": 0.0} if bounds_are_tensors else {"r_max": 1.0, "d_max": 0.0, "eps": 0.0}
    launcher: Callable[..., Any] = torch.cuda.jiterator._create_multi_output_jit_fn(CODE, num_outputs=7, **numbers)
    return launcher


@cache
def _compiles(device: torch.device) -> bool:
    """Whether there is a compiler for the GPU at run time.

    Without one the steps are launched one by one, with the same result.
    """
    one = torch.ones(1, device=device)
    try:
        _launcher(False)(one, one, one, one, one, one, r_max=1.0, d_max=0.0, eps=0.0)
    except RuntimeError:
        return False
    return True


def _by_formula(
    batch_mean: Tensor,
    batch_var: Tensor,
    mean: Tensor,
    std: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    r_bound: Tensor | None,
    d_bound: Tensor | None,
    r_max: float,
    d_max: float,
    eps: float,
) -> tuple[Tensor, ...]:
    bounds = (r_max if r_bound is None else r_bound, d_max if d_bound is None else d_bound)
    return tuple(coefficients_formula(batch_mean, batch_var, mean, std, weight, bias, *bounds, eps))


def _by_one_kernel(*arguments: Any) -> tuple[Tensor, ...]:
    batch_mean, batch_var, mean, std, weight, bias, r_bound, d_bound, r_max, d_max, eps = arguments
    if not _compiles(batch_mean.device):
        return _by_formula(*arguments)
    tensors = [batch_mean, batch_var, mean, std]
    tensors += [torch.ones_like(mean) if weight is None else weight, torch.zeros_like(mean) if bias is None else bias]
    if r_bound is None and d_bound is None:
        return tuple(_launcher(False)(*tensors, r_max=r_max, d_max=d_max, eps=eps))
    for bound, number in ((r_bound, r_max), (d_bound, d_max)):
        tensors.append(torch.full_like(mean, number) if bound is None else bound.to(mean))
    return tuple(_launcher(True)(*tensors, eps=eps))


_library = torch.library.Library("normlib", "FRAGMENT")
_library.define(
    "renorm_coefficients(Tensor batch_mean, Tensor batch_var, Tensor mean, Tensor std, Tensor? weight, Tensor? bias, "
    "Tensor? r_bound, Tensor? d_bound, float r_max, float d_max, float eps) "
    "-> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)"
)
_library.impl("renorm_coefficients", _by_formula, "CompositeExplicitAutograd")
_library.impl("renorm_coefficients", _by_one_kernel, "CUDA")
