"""Batch renormalization: batch norm, corrected towards its running averages."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from normlib.norms import register
from normlib.norms._over_batch import move_towards, require_batch, shift_and_measure, split
from normlib.norms.base import Norm

# When the bounds start to move, and when d and r reach their maxima: in steps (the paper's), and as the same shares of a
# run of 100,000 steps.
TINY = 1e-6  # steps; a ramp that ends where it starts is a jump at the next step
SCHEDULES = {"steps": (5_000.0, 25_000.0, 40_000.0), "fraction": (0.05, 0.25, 0.4)}


@register("batch_renorm", statistics_over="samples and positions, per channel, corrected towards running averages", paper="arXiv:1702.03275")
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

    Deviations: with `norm_batch_size` set, statistics and corrections are those of groups of samples. Under float16 or
    autocast (with `guard`, always) a batch that is not finite does not enter the running averages.
    """

    depends_on_batch: ClassVar[bool] = True
    running_mean: Tensor
    running_std: Tensor
    num_batches_tracked: Tensor
    clipped: Tensor
    clipped_sum: Tensor
    clipped_count: Tensor

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
        channel_dim: int = 1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_features, eps=eps, affine=affine, channel_dim=channel_dim, device=device, dtype=dtype)
        if r_max < 1 or d_max < 0:
            raise ValueError(f"batch renorm needs r_max >= 1 and d_max >= 0 (1 and 0 are batch norm), got r_max={r_max} and d_max={d_max}")
        self.r_max, self.d_max, self.momentum, self.guard, self.schedule = r_max, d_max, momentum, guard, schedule
        self.times = _times(schedule, warmup, d_ramp_end, r_ramp_end)
        self.total_steps: int | None = None
        self.register_buffer("running_mean", torch.zeros(num_features, device=device, dtype=dtype))
        self.register_buffer("running_std", torch.ones(num_features, device=device, dtype=dtype))
        self.register_buffer("num_batches_tracked", torch.tensor(0, device=device))
        # Shares of channels whose r, whose d is clipped: in the last batch, and summed over batches.
        self.register_buffer("clipped", torch.zeros(2, device=device), persistent=False)
        self.register_buffer("clipped_sum", torch.zeros(2, device=device), persistent=False)
        self.register_buffer("clipped_count", torch.tensor(0, device=device), persistent=False)

    def set_total_steps(self, total_steps: int) -> None:
        self.total_steps = total_steps

    def bounds(self) -> tuple[Tensor | float, Tensor | float]:
        """r_max and d_max in force at the present step."""
        if self.schedule is None:
            return self.r_max, self.d_max
        start, d_end, r_end = self.times
        if self.schedule == "fraction":
            if self.total_steps is None:
                raise RuntimeError(
                    "batch renorm's schedule is in fractions of the run, but the run's length is not known; "
                    'call set_total_steps(n) before training, or use schedule="steps" or schedule=None'
                )
            start, d_end, r_end = start * self.total_steps, d_end * self.total_steps, r_end * self.total_steps
        steps = self.num_batches_tracked - start
        r_max = (steps * ((self.r_max - 1) / max(r_end - start, TINY)) + 1).clamp(1, self.r_max)
        return r_max, (steps * (self.d_max / max(d_end - start, TINY))).clamp(0, self.d_max)

    def transform(self, x: Tensor, guarded: bool) -> Tensor:
        if x.dim() == 3 and not x.is_contiguous():
            return self.transform(x.unsqueeze(2), guarded).squeeze(2)  # channels_last needs (N, C, H, W)
        weight, bias = self.parameters_as(x)
        mu, sigma = self.running_mean.to(x.dtype), self.running_std.to(x.dtype)
        by_batch, moves = self.uses_batch_statistics, self.moves_running_statistics
        if not by_batch and not moves:
            return F.batch_norm(x, mu, sigma.square(), weight, bias, False, 0.0, 0.0)  # eps is inside sigma
        groups = self.num_groups_of_samples(x.shape[0])
        require_batch(self, x, groups)
        outputs, means, deviations = [], [], []
        for part in split(x, groups):
            part, mean, var = shift_and_measure(part)
            sigma_batch = (var + self.eps).sqrt()
            if by_batch:
                r, d = self._correction(mean, sigma_batch, mu, sigma)
                scale, shift = (r, d) if weight is None or bias is None else (weight * r, torch.addcmul(bias, weight, d))
                outputs.append(F.batch_norm(part, None, None, scale, shift, True, 0.0, self.eps))
            means.append(mean)
            deviations.append(sigma_batch)
        if by_batch:
            y = outputs[0] if groups == 1 else torch.cat(outputs)
        else:
            y = F.batch_norm(x, mu.clone(), sigma.square(), weight, bias, False, 0.0, 0.0)
        if moves:
            new = (means[0], deviations[0]) if groups == 1 else (torch.stack(means).mean(0), torch.stack(deviations).mean(0))
            move_towards(dict(zip((self.running_mean, self.running_std), new)), self.num_batches_tracked, self.momentum, guarded or self.guard)
        return y

    def _correction(self, mean: Tensor, sigma_batch: Tensor, mu: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        """r and d of each channel; in training, counts the clipped ones."""
        r_max, d_max = self.bounds()
        wanted_r, wanted_d = sigma_batch / sigma, (mean - mu) / sigma
        r, d = wanted_r.clamp(1 / r_max, r_max), wanted_d.clamp(-d_max, d_max)  # type: ignore[arg-type]
        if self.training:
            clipped = torch.stack((wanted_r != r, wanted_d != d)).mean(1, dtype=self.clipped.dtype)
            self.clipped.copy_(clipped)
            self.clipped_sum.add_(clipped)
            self.clipped_count.add_(1)
        return r, d

    def report(self) -> dict[str, float]:
        """The bounds in force, and the share of clipped channels in the last training batch and on average since the layer was built."""
        known = self.schedule != "fraction" or self.total_steps is not None
        r_max, d_max = self.bounds() if known else (math.nan, math.nan)
        last, mean = self.clipped.tolist(), (self.clipped_sum / self.clipped_count.clamp(min=1)).tolist()
        return {
            "r_max": float(r_max), "d_max": float(d_max),
            "clipped_r": last[0], "clipped_d": last[1], "mean_clipped_r": mean[0], "mean_clipped_d": mean[1],
        }  # fmt: skip

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, momentum={self.momentum}, r_max={self.r_max}, d_max={self.d_max}, schedule={self.schedule!r}"


def _times(schedule: str | None, warmup: float | None, d_ramp_end: float | None, r_ramp_end: float | None) -> tuple[float, float, float]:
    """The schedule's three times, its own defaults where none is given."""
    given = (warmup, d_ramp_end, r_ramp_end)
    if schedule is None:
        if any(time is not None for time in given):
            raise ValueError("warmup, d_ramp_end and r_ramp_end are times of a schedule, but schedule=None has none; leave them out or choose a schedule")
        return 0.0, 0.0, 0.0
    if schedule not in SCHEDULES:
        raise ValueError(f"schedule is one of {sorted(SCHEDULES)} or None, got {schedule!r}")
    start, d_end, r_end = (default if time is None else float(time) for time, default in zip(given, SCHEDULES[schedule]))
    if not 0 <= start <= min(d_end, r_end):
        raise ValueError(f"a schedule needs 0 <= warmup <= d_ramp_end and warmup <= r_ramp_end, got {start:g}, {d_end:g} and {r_end:g} ({schedule})")
    if schedule == "fraction" and max(d_end, r_end) > 1:
        raise ValueError(f'schedule="fraction" counts in fractions of the run, at most 1, but got {start:g}, {d_end:g} and {r_end:g}; for steps use schedule="steps"')
    return start, d_end, r_end
