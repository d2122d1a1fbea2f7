"""Regression: real targets for each sample."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from normlib.tasks import register
from normlib.tasks.metric import Metric
from normlib.tasks.task import LOSS, Task, declared, require, shape_of

if TYPE_CHECKING:
    from normlib.data.dataset import Dataset, Samples

SMALLEST_DEVIATION = 1e-8
"""Below this deviation, the targets of the training split count as constant and are not divided by it."""


@register("regression")
class Regression(Task):
    """`num_targets` real numbers for each sample: targets float (n, num_targets), outputs (N, num_targets).

    The network learns targets that are standardized by mean and deviation of the training split. The loss is the mean
    squared error of these. RMSE is in the targets' own unit, over all targets together. R² is the explained share of
    the variance of the split's targets, averaged over targets. 1 is best, 0 is as good as their mean, and there is no
    lower bound.
    """

    metrics = (
        Metric("rmse", higher_is_better=False, title="RMSE"),
        Metric("r2", title="R²"),
        Metric(LOSS, higher_is_better=False, title="mean squared error of standardized targets"),
    )

    def __init__(self) -> None:
        self.mean = torch.zeros(1)
        self.deviation = torch.ones(1)

    def num_outputs(self, dataset: Dataset) -> int:
        return declared(dataset.num_targets, "num_targets", dataset, "regression", least=1)

    def check_samples(self, samples: Samples, dataset: Dataset, split: str) -> None:
        targets, where = samples.targets, f"task=regression, {split} of {type(dataset).__name__}"
        require(
            targets.is_floating_point(),
            f"{where}: targets are real numbers, got {str(targets.dtype).removeprefix('torch.')}; convert them with .float(), or "
            "use task=classification for class numbers",
        )
        wanted = self.num_outputs(dataset)
        require(
            targets.dim() == 2 and targets.shape[1] == wanted,
            f"{where}: targets are (n, num_targets) = (n, {wanted}), got {shape_of(targets)}"
            + ("; one target a sample is targets.unsqueeze(1)" if targets.dim() == 1 else ""),
        )
        require(bool(targets.isfinite().all()), f"{where}: targets hold NaN or infinities; leave such samples out")

    def prepare(self, train: Samples) -> None:
        targets = train.targets.double()
        self.mean = targets.mean(0).float()  # (num_targets,)
        deviation = targets.std(0, correction=0)
        self.deviation = torch.where(deviation > SMALLEST_DEVIATION, deviation, torch.ones_like(deviation)).float()

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.mse_loss(outputs.float(), (targets - self.mean) / self.deviation)

    def sums(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        # The mean of the training split is subtracted from targets, so that sums of squares keep their digits.
        centred = (targets - self.mean).double()
        error = outputs.double() * self.deviation.double() - centred  # (N, num_targets)
        return {
            "samples": torch.tensor(len(targets), device=targets.device),
            "squared_error": error.square().sum(0),
            "scaled_error": (error / self.deviation.double()).square().sum(),
            "total": centred.sum(0),
            "total_squared": centred.square().sum(0),
        }

    def figures(self, sums: Mapping[str, Tensor]) -> dict[str, float]:
        samples, error = sums["samples"].double(), sums["squared_error"]
        spread = sums["total_squared"] - sums["total"].square() / samples  # (num_targets,), around the split's mean
        return {
            "rmse": float((error.sum() / (samples * len(error))).sqrt()),
            "r2": float((1 - error / spread).mean()),
            LOSS: float(sums["scaled_error"] / (samples * len(error))),
        }
