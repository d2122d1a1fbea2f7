"""Batch renormalization: batch norm, corrected towards its running averages."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from normlib.norms import register
from normlib.norms._parts import require_batch, split, transform_parts
from normlib.norms._renorm_schedule import schedule_from
from normlib.norms._running import move_towards
from normlib.norms.base import Norm
from normlib.norms.kernels.batch_norm import apply_statistics, measure, normalize_by
from normlib.norms.kernels.inspection import statistics_dtype
from normlib.norms.kernels.masked import Standardized
from normlib.norms.kernels.synchronized import joins_other_processes
from normlib.norms.pool import DeviationPool, Pool


@register(
    "batch_renorm",
    statistics_over="samples and positions, per channel, corrected towards running averages",
    axes=("samples", "positions"),
    paper="arXiv:1702.03275",
)
class BatchRenorm(Norm):
    """Batch norm whose output is corrected, within bounds, towards that of its running averages.

    .. math:: y = \\gamma \\left(\\frac{x - \\mu_B}{\\sigma_B} r + d\\right) + \\beta, \\quad
        r = \\mathrm{clip}_{[1/r_{max}, r_{max}]}\\frac{\\sigma_B}{\\sigma}, \\quad d = \\mathrm{clip}_{[-d_{max}, d_{max}]}\\frac{\\mu_B - \\mu}{\\sigma}

    with r and d held constant in the gradient; :math:`\\sigma_B^2 = \\epsilon + \\mathrm{Var}_B[x]`; the running averages
    :math:`\\mu, \\sigma` are those from before the batch. At inference :math:`y = \\gamma (x - \\mu)/\\sigma + \\beta`.

    Axes: N and positions, per channel. `momentum` is the weight of the new value (the paper's alpha, 0.01).
    `schedule="steps"` keeps r_max = 1, d_max = 0 for `warmup` steps and then raises them linearly, d_max up to step
    `d_ramp_end`, r_max up to step `r_ramp_end` (by default 5,000, 25,000 and 40,000, the paper's); "fraction" counts in
    fractions of the run instead (0.05, 0.25 and 0.4, the same in a run of 100,000 steps) and needs `set_total_steps`;
    None applies the full bounds from the first step. The clock is the buffer `num_batches_tracked`.

    Shapes: (N, C, *positions) to the same, any number of positions, none too; with ``channel_dim=-1`` (N, *positions, C).

    Paper: Ioffe 2017, "Batch Renormalization", arXiv:1702.03275, algorithm 1; the schedule is that of section 4.

    Deviations: with `norm_batch_size` B set, statistics and corrections in training are those of floor(N / B) consecutive groups of
    samples, as equal as possible, so that none is smaller than B unless N is; the running averages take the mean over the groups, of
    their means and of their deviations; at inference there are no groups. With a mask they take what the valid values give, and
    groups without any do not count. With `sync` the statistics in training are those of one batch of all processes, as in
    batch norm. Under float16 or autocast (with `guard`, always) a batch that is not finite does not enter the running averages.

    When: in place of batch norm at small batches, or where samples of a batch resemble one another.

    When not: at batches of one or two samples, where norms per sample do better, or in runs too short for its averages to settle.
    """

    depends_on_batch: ClassVar[bool] = True
    takes_half: ClassVar[bool] = True
    takes_mask: ClassVar[bool] = True
    needs: ClassVar[str] = "batches with two values a channel or more"
    buffer_count: ClassVar[str] = "2C+1"
    invariances: ClassVar[frozenset[str]] = frozenset({"batch_permutation", "channel_permutation"})
    constant_in_gradient: ClassVar[str] = "r and d"
    running_mean: Tensor
    running_std: Tensor
    num_batches_tracked: Tensor
    clipped: Tensor
    times_clipped: Tensor
    times_counted: Tensor
    is_r: Tensor
    ramp: Tensor

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
        guard: bool = False,
        sync: bool = False,
        channel_dim: int = 1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_features, eps=eps, affine=affine, channel_dim=channel_dim, device=device, dtype=dtype)
        if r_max < 1 or d_max < 0:
            raise ValueError(
                f"batch renorm needs r_max >= 1 and d_max >= 0 (1 and 0 are batch norm), got r_max={r_max} and d_max={d_max}"
            )
        self.r_max, self.d_max, self.momentum, self.guard, self.sync = r_max, d_max, momentum, guard, sync
        self.schedule = schedule_from(schedule, warmup, d_ramp_end, r_ramp_end)
        self.register_buffer("running_mean", torch.zeros(num_features, device=device, dtype=dtype))
        self.register_buffer("running_std", torch.ones(num_features, device=device, dtype=dtype))
        self.register_buffer("num_batches_tracked", torch.tensor(0, device=device))
        # Which channels' r and d are clipped: in the last batch, how often so far, out of how many batches.
        self.register_buffer("clipped", torch.zeros(2, num_features, dtype=torch.bool, device=device), persistent=False)
        self.register_buffer(
            "times_clipped", torch.zeros(2, num_features, dtype=torch.long, device=device), persistent=False
        )
        self.register_buffer("times_counted", torch.tensor(0, device=device), persistent=False)
        self.register_buffer("is_r", torch.tensor([[True], [False]], device=device), persistent=False)
        self.set_total_steps(None)

    def set_total_steps(self, total_steps: int | None) -> None:
        self.total_steps = total_steps
        in_steps = self.schedule.in_steps(total_steps)
        self.start = None if in_steps is None else in_steps.start
        ramp = torch.zeros(3, 2, 1) if in_steps is None else torch.tensor(in_steps.ramp(self.r_max, self.d_max))
        self.register_buffer("ramp", ramp.to(self.num_batches_tracked.device), persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        super()._apply(fn, recurse)
        self.set_total_steps(self.total_steps)  # in float32 again, where `fn` was half()
        return self

    def population(self) -> tuple[Tensor, Tensor]:
        return self.running_mean, self.running_std.square() - self.eps

    def buffers_for(self, mean: Tensor | None, var: Tensor) -> dict[str, Tensor]:
        assert mean is not None
        return {"running_mean": mean, "running_std": (var + self.eps).sqrt()}

    def pool(self) -> Pool:
        return DeviationPool(self.eps, self.num_groups_of_samples)

    def bounds(self) -> Tensor:
        """r_max and d_max in force at the present step, of shape (2, 1)."""
        if self.start is None:
            raise RuntimeError(
                "batch renorm's schedule is in fractions of the run, but the run's length is not known; "
                'call set_total_steps(n) before training, or use schedule="steps" or schedule=None'
            )
        first, gain, last = self.ramp.unbind()
        return (
            last
            if self.schedule.kind is None
            else (first + gain * (self.num_batches_tracked - self.start)).clamp(first, last)
        )

    @property
    def takes_part_when_empty(self) -> bool:
        return joins_other_processes(self)

    def transform(self, x: Tensor, guarded: bool) -> Tensor:
        if self.sync and joins_other_processes(self):
            return transform_parts(self, x.to(statistics_dtype(x)), None, guarded)
        if x.dim() == 3 and not x.is_contiguous():
            return self.transform(x.unsqueeze(2), guarded).squeeze(2)  # channels_last needs (N, C, H, W)
        by_batch, moves = self.uses_batch_statistics, self.moves_running_statistics
        y = None if by_batch else self.by_running_statistics(x, moves)
        if y is not None and not moves:
            return y
        weight, bias = self.parameters_as(x)
        mu, sigma = (buffer.to(statistics_dtype(x)) for buffer in (self.running_mean, self.running_std))
        groups = self.num_groups_of_samples(x.shape[0])
        require_batch(self, x, groups)
        outputs, means, deviations = [], [], []
        for part in split(x, groups):
            measured = measure(part)
            means.append(measured.mean)
            deviations.append((measured.var + self.eps).sqrt())
            if by_batch:
                r, d = self._correction(means[-1] - mu, deviations[-1], sigma)
                scale, shift = (
                    (r, d) if weight is None or bias is None else (weight * r, torch.addcmul(bias, weight, d))
                )
                outputs.append(apply_statistics(part, measured, scale, shift, self.eps))
        if moves:
            new = (
                (means[0], deviations[0])
                if groups == 1
                else (torch.stack(means).mean(0), torch.stack(deviations).mean(0))
            )
            move_towards(
                {self.running_mean: new[0], self.running_std: new[1]},
                self.num_batches_tracked,
                self.momentum,
                guarded or self.guard,
            )
        return y if y is not None else outputs[0] if groups == 1 else torch.cat(outputs)

    def transform_masked(self, x: Tensor, mask: Tensor, guarded: bool) -> Tensor:
        return transform_parts(self, x, mask, guarded)

    def corrected(self, part: Standardized) -> Tensor:
        mean, sigma_batch = part.mean.detach().flatten(), (part.var.detach().flatten() + self.eps).sqrt()
        mu, sigma = self.running_mean.to(mean.dtype), self.running_std.to(mean.dtype)
        r, d = (each.view_as(part.mean) for each in self._correction(mean - mu, sigma_batch, sigma))
        return torch.addcmul(d, part.x_hat, r)

    def running_values(self, mean: Tensor, var: Tensor, counts: Tensor) -> dict[Tensor, Tensor]:
        return {self.running_mean: mean, self.running_std: (var + self.eps).sqrt()}

    def by_running_statistics(self, x: Tensor, moves: bool) -> Tensor:
        weight, bias = self.parameters_as(x)
        dtype = statistics_dtype(x)
        mu, sigma = self.running_mean.to(dtype, copy=moves), self.running_std.to(dtype)
        return normalize_by(mu, sigma.square(), x, weight, bias, eps=0.0)  # eps is inside sigma

    def _correction(self, mean_difference: Tensor, sigma_batch: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """r and d of each channel; in training, counts the clipped ones."""
        wanted = torch.stack((sigma_batch, mean_difference)) / sigma  # (2, C)
        greatest = self.bounds().to(wanted.dtype)
        clipped = wanted.clamp(torch.where(self.is_r, 1 / greatest, -greatest), greatest)
        if self.training:
            self.clipped.copy_(wanted != clipped)
            self.times_clipped.add_(self.clipped)
            self.times_counted.add_(1)
        r, d = self.held_constant(clipped).unbind()
        return r, d

    def report(self) -> dict[str, float]:
        """The bounds in force, and the share of clipped channels in the last training batch and on average since the layer was built."""
        r_max, d_max = (math.nan, math.nan) if self.start is None else self.bounds().flatten().tolist()
        last = self.clipped.float().mean(1).tolist()
        mean = (self.times_clipped.double().mean(1) / self.times_counted.clamp(min=1)).tolist()
        names = ("r_max", "d_max", "clipped_r", "clipped_d", "mean_clipped_r", "mean_clipped_d")
        return dict(zip(names, (r_max, d_max, *last, *mean), strict=True))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, momentum={self.momentum}, r_max={self.r_max}, d_max={self.d_max}, schedule={self.schedule.kind!r}"
