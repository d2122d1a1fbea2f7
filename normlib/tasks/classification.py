"""Classification: one class number for each sample."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from normlib.tasks import register
from normlib.tasks.metric import Metric
from normlib.tasks.task import LOSS, Task, check_class_numbers, declared, require, shape_of

if TYPE_CHECKING:
    from normlib.data.dataset import Dataset, Samples

CONFIDENCE_BINS = 15
"""As in arXiv:1706.04599, section 5, and torchmetrics' default."""


@register("classification")
class Classification(Task):
    """One class of `num_classes` for each sample: targets int64 (n,), outputs (N, num_classes) as logits.

    The loss is cross-entropy. `label_smoothing` (arXiv:1512.00567) applies in training only, so the loss in tables has
    none. The calibration error is the mean distance of confidence and accuracy over 15 bins of equal width, weighted by
    their samples (arXiv:1706.04599, equation 3). The Brier score is the mean squared distance of the probabilities from
    the truth, summed over classes (Brier 1950), from 0 to 2.

    Settings:
        label_smoothing: share of the target that is spread over all classes, in training only (arXiv:1512.00567)
    """

    metrics = (
        Metric("accuracy", "%", step=1.0),
        Metric("calibration_error", "%", higher_is_better=False),
        Metric("brier_score", higher_is_better=False, title="Brier score"),
        Metric(LOSS, "nats", higher_is_better=False, title="cross-entropy"),
    )

    def __init__(self, label_smoothing: float = 0.0) -> None:
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"task.label_smoothing is a share, from 0 to below 1, got {label_smoothing}")
        self.label_smoothing = label_smoothing

    def num_outputs(self, dataset: Dataset) -> int:
        return declared(dataset.num_classes, "num_classes", dataset, "classification", least=2)

    def check_samples(self, samples: Samples, dataset: Dataset, split: str) -> None:
        targets, where = samples.targets, f"task=classification, {split} of {type(dataset).__name__}"
        hint = ""
        if targets.dim() == 2 and targets.shape[1] == self.num_outputs(dataset):
            hint = "; one-hot targets become class numbers with targets.argmax(1)"
        elif targets.dim() > 1:
            hint = "; targets at every position are for task=segmentation"
        require(
            targets.dim() == 1, f"{where}: targets are (n,), one class number a sample, got {shape_of(targets)}{hint}"
        )
        check_class_numbers(targets, self.num_outputs(dataset), where)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs, targets, label_smoothing=self.label_smoothing)

    def sums(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        logits = outputs.float()
        probabilities = logits.softmax(1)  # (N, C)
        confidence, predicted = probabilities.max(1)
        right = (predicted == targets).double()
        # Bins are closed above, as in the paper.
        edges = torch.linspace(0, 1, CONFIDENCE_BINS + 1, device=logits.device)
        in_bin = F.one_hot(
            (torch.bucketize(confidence, edges) - 1).clamp(0, CONFIDENCE_BINS - 1), CONFIDENCE_BINS
        ).double()
        truth = F.one_hot(targets, logits.shape[1])
        return {
            "samples": torch.tensor(len(targets), device=logits.device),
            "loss": F.cross_entropy(logits, targets, reduction="sum").double(),
            "right": right.sum(),
            "squared": (probabilities - truth).square().sum().double(),
            "bin_right": right @ in_bin,  # (bins,)
            "bin_confidence": confidence.double() @ in_bin,
        }

    def figures(self, sums: Mapping[str, Tensor]) -> dict[str, float]:
        samples = sums["samples"].double()
        return {
            "accuracy": float(sums["right"] / samples),
            "calibration_error": float((sums["bin_right"] - sums["bin_confidence"]).abs().sum() / samples),
            "brier_score": float(sums["squared"] / samples),
            LOSS: float(sums["loss"] / samples),
        }
