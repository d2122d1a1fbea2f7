"""Batch normalization by the mean absolute deviation: a norm with running statistics, in a package of its own."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from normlib import Norm, register

# The standard deviation of a normal distribution in mean absolute deviations (Hoffer et al. 2018, section 4.1).
DEVIATIONS = math.sqrt(math.pi / 2)


@register(
    "l1_batch",
    statistics_over="samples and positions, per channel",
    axes=("samples", "positions"),
    paper="arXiv:1803.01814",
)
class L1BatchNorm(Norm):
    """Batch norm that divides by the mean absolute deviation, scaled to the standard deviation of a normal distribution.

    .. math:: y = \\gamma \\frac{x - \\mathrm{E}[x]}{\\sqrt{\\pi/2}\\,\\mathrm{E}|x - \\mathrm{E}[x]| + \\epsilon} + \\beta

    Axes: N and positions, per channel; at inference with running averages of both statistics.

    Shapes: (N, C, *positions) to the same, any number of positions, none too; with ``channel_dim=-1`` (N, *positions, C).

    Paper: Hoffer, Banner, Golan, Soudry 2018, "Norm matters", arXiv:1803.01814, section 4.1.

    Deviations: the running averages move by `momentum`, the weight of the new value, as in torch.nn.

    When: arithmetic without squares and roots, as on low-precision hardware.

    When not: batches of a few samples, as with batch norm.
    """

    depends_on_batch: ClassVar[bool] = True
    buffer_count: ClassVar[str] = "2C+1"
    invariances: ClassVar[frozenset[str]] = frozenset(
        {"input_scale", "input_shift", "channel_scale", "channel_shift", "batch_permutation", "channel_permutation"}
    )
    running_mean: Tensor
    running_deviation: Tensor
    num_batches_tracked: Tensor

    def __init__(
        self,
        num_features: int,
        momentum: float = 0.1,
        eps: float = 1e-5,
        affine: bool = True,
        channel_dim: int = 1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_features, eps=eps, affine=affine, channel_dim=channel_dim, device=device, dtype=dtype)
        self.momentum = momentum
        self.register_buffer("running_mean", torch.zeros(num_features, device=device, dtype=dtype))
        self.register_buffer("running_deviation", torch.ones(num_features, device=device, dtype=dtype))
        self.register_buffer("num_batches_tracked", torch.tensor(0, device=device))

    def population(self) -> tuple[Tensor, Tensor]:
        """The mean and the variance that the running averages stand for: of normal values, as in the paper."""
        return self.running_mean, self.running_deviation.square()

    def buffers_for(self, mean: Tensor | None, var: Tensor) -> dict[str, Tensor]:
        """The running averages of such a population; `evaluation.statistics` puts them in place."""
        assert mean is not None
        return {"running_mean": mean, "running_deviation": var.sqrt()}

    def transform(self, x: Tensor, guarded: bool) -> Tensor:
        if self.uses_batch_statistics:
            y = None
        else:
            y = self._standardize(x, self.running_mean.to(x.dtype), self.running_deviation.to(x.dtype))
            if not self.moves_running_statistics:
                return y
        groups = self.num_groups_of_samples(x.shape[0])  # ghost batches, where site.norm_batch_size asks for them
        count = x.shape[0] // groups * x[0, 0].numel()
        self.require_several_values(count, x, "the samples and positions of the batch", "use larger batches")
        outputs, means, deviations = [], [], []
        for part in x.tensor_split(groups):
            axes = [0, *range(2, x.dim())]
            mean = part.mean(axes)  # (C,)
            deviation = DEVIATIONS * (part - self._per_channel(mean, x)).abs().mean(axes)  # (C,)
            outputs.append(self._standardize(part, mean, deviation))
            means.append(mean.detach())
            deviations.append(deviation.detach())
        if self.moves_running_statistics:
            new = {"running_mean": torch.stack(means).mean(0), "running_deviation": torch.stack(deviations).mean(0)}
            self.move_running_statistics(new, self.momentum, guarded)
        return torch.cat(outputs) if y is None else y

    def _standardize(self, x: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
        return self.scale_and_shift((x - self._per_channel(mean, x)) / (self._per_channel(deviation, x) + self.eps))

    def _per_channel(self, statistic: Tensor, x: Tensor) -> Tensor:
        return statistic.view(1, -1, *(1,) * (x.dim() - 2))
