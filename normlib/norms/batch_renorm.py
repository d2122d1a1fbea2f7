"""Batch renormalization: batch norm, corrected towards its running averages."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from normlib.norms import register
from normlib.norms._clip_counts import ClipCounts
from normlib.norms._renorm_schedule import schedule_from
from normlib.norms.kernels.batch_norm import normalize_by
from normlib.norms.kernels.batch_renorm import batch_renorm
from normlib.norms.kernels.inspection import is_recomputing, may_be_recomputed, value_before_update
from normlib.norms.kernels.renorm_coefficients import correction
from normlib.norms.moments import MomentsNorm, merge_moments
from normlib.norms.running import Statistics, per_channel


@register(
    "batch_renorm",
    statistics_over="samples and positions, per channel, corrected towards running averages",
    axes=("samples", "positions"),
    paper="arXiv:1702.03275",
)
class BatchRenorm(MomentsNorm):
    r"""Batch norm whose output is corrected, within bounds, towards what its running averages would give.

    .. math:: y = \gamma \left(\frac{x - \mu_B}{\sigma_B} r + d\right) + \beta, \quad
        r = \mathrm{clip}_{[1/r_{max}, r_{max}]}\frac{\sigma_B}{\sigma}, \quad d = \mathrm{clip}_{[-d_{max}, d_{max}]}\frac{\mu_B - \mu}{\sigma}

    with r and d held constant in the gradient, and :math:`\sigma_B^2 = \epsilon + \mathrm{Var}_B[x]`. The running
    averages :math:`\mu, \sigma` are those from before the batch. At inference :math:`y = \gamma (x - \mu)/\sigma +
    \beta`.

    Axes: N and positions, per channel. `momentum` is the weight of the new value (the paper's alpha, 0.01).
    `schedule="steps"` keeps r_max = 1 and d_max = 0 for `warmup` steps. Then it raises them linearly, d_max up to step
    `d_ramp_end` and r_max up to step `r_ramp_end`. The defaults are the paper's 5,000, 25,000 and 40,000.
    `schedule="fraction"` counts in fractions of the run instead and needs `set_total_steps`. Its defaults are 0.05,
    0.25 and 0.4, the same in a run of 100,000 steps. `schedule=None` applies the full bounds from the first step. The
    clock is the buffer `num_batches_tracked`.

    Shapes: (N, C, *positions) to the same, with any number of positions or none. With ``channel_dim=-1``
    (N, *positions, C).

    Paper: Ioffe 2017, "Batch Renormalization", arXiv:1702.03275, algorithm 1. The schedule is that of section 4.

    Deviations: With `norm_batch_size` B set, statistics and corrections in training are those of floor(N / B)
    consecutive groups of samples. The groups are as equal as possible, so none is smaller than B unless N is. The
    running averages take the mean over the groups, of their means and of their deviations. At inference there are no
    groups. With a mask, the running averages take what the valid values give, and groups without any do not count. With
    `sync`, the statistics in training are those of one batch of all processes, as in batch norm. Under float16 or
    autocast, and always with `guard`, a batch that is not finite does not enter the running averages.

    When: In place of batch norm at small batches, or where samples of a batch resemble one another.

    When not: At batches of one or two samples, where norms per sample do better, or in runs that are too short for its
    averages to settle.

    Settings:
        r_max: largest correction of the scale; 1 is none
        d_max: largest correction of the mean, in standard deviations; 0 is none
        schedule: what warmup and the ramps count in: steps, or fractions of the run; null has the full bounds from
            the first step
        warmup: how long it is plain batch norm; null is 5,000 steps or 0.05 of the run
        d_ramp_end: when d_max is reached; null is step 25,000 or 0.25 of the run
        r_ramp_end: when r_max is reached; null is step 40,000 or 0.4 of the run
        momentum: weight of the new batch in the running averages, the paper's alpha
    """

    averages_batches: ClassVar[bool] = True  # its corrections pull the network towards these
    takes_half: ClassVar[bool] = True
    needs: ClassVar[str] = "batches with at least two values a channel"
    invariances: ClassVar[frozenset[str]] = frozenset({"batch_permutation", "channel_permutation"})
    constant_in_gradient: ClassVar[str] = "r and d"

    def __init__(
        self,
        num_features: int,
        r_max: float = 3.0,
        d_max: float = 5.0,
        schedule: Literal["steps", "fraction"] | None = "steps",
        warmup: float | None = None,
        d_ramp_end: float | None = None,
        r_ramp_end: float | None = None,
        momentum: float = 0.01,
        eps: float = 1e-5,
        affine: bool = True,
        bias: bool = True,
        guard: bool = False,
        sync: bool = False,
        channel_dim: int = 1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            num_features, {"mean": 0.0, "std": 1.0}, momentum=momentum, guard=guard, sync=sync, eps=eps, affine=affine,
            bias=bias, channel_dim=channel_dim, device=device, dtype=dtype,
        )  # fmt: skip
        if r_max < 1 or d_max < 0:
            raise ValueError(
                f"batch renorm needs r_max >= 1 and d_max >= 0 (1 and 0 are batch norm), got r_max={r_max} and d_max={d_max}"
            )
        self.r_max, self.d_max = r_max, d_max
        self.schedule = schedule_from(schedule, warmup, d_ramp_end, r_ramp_end)
        self.set_total_steps(None)
        self.clip_counts = ClipCounts(num_features, device)

    def set_total_steps(self, total_steps: int | None) -> None:
        self.total_steps = total_steps
        self._in_steps = self.schedule.in_steps(total_steps)

    def bounds(self) -> tuple[float | Tensor, float | Tensor]:
        """r_max and d_max in force at the present step. They are tensors if the step cannot be read now."""
        if self._in_steps is None:
            raise RuntimeError(
                "batch renorm's schedule is in fractions of the run, but the run's length is not known; "
                'call set_total_steps(n) before training, or use schedule="steps" or schedule=None'
            )
        return self._in_steps.bounds(value_before_update(self.num_batches_tracked), self.r_max, self.d_max)

    def from_moments(self, mean: Tensor, var: Tensor) -> Statistics:
        return {"mean": mean, "std": (var + self.eps).sqrt()}

    def combine(self, one: Statistics, other: Statistics, share: float) -> Statistics:
        variances = (each["std"].square() - self.eps for each in (one, other))
        return self.from_moments(*merge_moments(one["mean"], next(variances), other["mean"], next(variances), share))

    def running(self, x: Tensor) -> dict[str, Any]:
        running = super().running(x)
        return running | dict(zip(("r_max", "d_max"), self.bounds())) if self.uses_batch_statistics else running

    def normalize(self, x: Tensor, mean: Tensor, std: Tensor) -> Tensor:  # type: ignore[override]
        return (x - per_channel(mean, x)) / per_channel(std, x)

    def normalize_by_running(self, x: Tensor, running: Statistics) -> Tensor:
        var = running["std"].square()  # with eps inside
        return normalize_by(running["mean"], var, x, *self.parameters_as(x), eps=0.0)

    def normalize_by_measured(self, x: Tensor, statistics: Statistics, running: Statistics) -> Tensor:
        mean, std = statistics["mean"].detach(), statistics["std"].detach()
        bounds = running["r_max"], running["d_max"]
        renormalized = correction(mean, std, running["mean"], running["std"], *bounds, self.stop_gradient)
        self._count(renormalized.wanted_r, renormalized.wanted_d, running)
        y = self.normalize(x, **statistics) * per_channel(renormalized.r, x) + per_channel(renormalized.d, x)
        return self.scale_and_shift(y)

    def measure_and_normalize(self, x: Tensor, running: Statistics) -> tuple[Tensor, Statistics]:
        weight, bias = self.parameters_as(x)
        # Set only where finite differences have put their own in its place.
        stop_gradient = self.__dict__.get("stop_gradient")
        bounds = running["r_max"], running["d_max"]
        renormalized = batch_renorm(x, running["mean"], running["std"], weight, bias, *bounds, self.eps, stop_gradient)
        self._count(renormalized.wanted_r, renormalized.wanted_d, running)
        return renormalized.y, {"mean": renormalized.mean, "std": renormalized.std}

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        if mask is not None or not self.training or not self._is_simple(x) or may_be_recomputed():
            return super().forward(x, mask)
        mean, std = self._buffers["running_mean"], self._buffers["running_std"]
        weight, bias, momentum = self._parameters["weight"], self._parameters["bias"], self.momentum
        assert mean is not None and std is not None and momentum is not None
        r_max, d_max = self.bounds()
        stop_gradient = self.__dict__.get("stop_gradient")
        renormalized = batch_renorm(x, mean, std, weight, bias, r_max, d_max, self.eps, stop_gradient)
        self.clip_counts.add(renormalized.wanted_r, renormalized.wanted_d, r_max, d_max)
        self.num_batches_tracked.add_(1)
        mean.lerp_(renormalized.mean, momentum)
        std.lerp_(renormalized.std, momentum)
        return renormalized.y

    def _count(self, wanted_r: Tensor, wanted_d: Tensor, running: Statistics) -> None:
        if self._moves() and not is_recomputing():
            self.clip_counts.add(wanted_r, wanted_d, running["r_max"], running["d_max"])

    def reset_parameters(self) -> None:
        super().reset_parameters()
        self.clip_counts.reset()

    def report(self) -> dict[str, float]:
        """The bounds in force, and the share of clipped channels: in the last training batch, and on average so far."""
        r_max, d_max = (math.nan, math.nan) if self._in_steps is None else map(float, self.bounds())
        return {"r_max": r_max, "d_max": d_max, **self.clip_counts.shares()}

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, r_max={self.r_max}, d_max={self.d_max}, schedule={self.schedule.kind!r}"
