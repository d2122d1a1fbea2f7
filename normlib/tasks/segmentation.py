"""Semantic segmentation: one class number for each position of each sample."""

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

NOTHING_IGNORED = -100
"""What torch's cross_entropy leaves out by default; no class number is negative."""


@register("segmentation")
class Segmentation(Task):
    """One class of `num_classes` at each position: targets int64 (n, H, W), outputs (N, num_classes, H, W) as logits.

    Positions may have any number of axes. The loss is cross-entropy, the mean over positions. Positions whose target is
    `ignore_index` count nowhere. Mean IoU and Dice are computed for each class from its positions in the whole split.
    They are averaged over the classes in the targets or the predictions. IoU is intersection over union. Dice is twice
    the intersection over the sum of both, the F1 score of the class.

    Settings:
        ignore_index: the target of positions that count nowhere; null is none
    """

    targets_are_positions = True
    metrics = (
        Metric("mean_iou", "%", title="mean IoU"),
        Metric("dice", "%", title="Dice"),
        Metric("pixel_accuracy", "%"),
        Metric(LOSS, "nats", higher_is_better=False, title="cross-entropy"),
    )

    def __init__(self, ignore_index: int | None = None) -> None:
        self.ignore_index = ignore_index
        self._ignored = NOTHING_IGNORED if ignore_index is None else ignore_index

    def num_outputs(self, dataset: Dataset) -> int:
        return declared(dataset.num_classes, "num_classes", dataset, "segmentation", least=2)

    def output_shape(self, dataset: Dataset) -> tuple[int, ...]:
        return (self.num_outputs(dataset), *dataset.input_shape[1:])

    def check_samples(self, samples: Samples, dataset: Dataset, split: str) -> None:
        targets, where = samples.targets, f"task=segmentation, {split} of {type(dataset).__name__}"
        wanted = tuple(dataset.input_shape[1:])
        require(
            tuple(targets.shape[1:]) == wanted,
            f"{where}: targets have the inputs' positions, (n, {', '.join(map(str, wanted))}), got {shape_of(targets)}",
        )
        check_class_numbers(targets, self.num_outputs(dataset), where, self.ignore_index)

    def padding_target(self) -> int:
        return super().padding_target() if self.ignore_index is None else self.ignore_index

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs, targets, ignore_index=self._ignored)

    def sums(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        logits = outputs.float()
        classes = logits.shape[1]
        counted = targets != self._ignored
        pairs = targets[counted] * classes + logits.argmax(1)[counted]
        return {
            "samples": torch.tensor(len(targets), device=targets.device),
            "loss": F.cross_entropy(logits, targets, ignore_index=self._ignored, reduction="sum").double(),
            "confusion": torch.bincount(pairs, minlength=classes * classes).view(
                classes, classes
            ),  # (target, predicted)
        }

    def figures(self, sums: Mapping[str, Tensor]) -> dict[str, float]:
        confusion = sums["confusion"].double()
        right, of_targets, predicted = confusion.diagonal(), confusion.sum(1), confusion.sum(0)
        there = of_targets + predicted > 0
        both = of_targets + predicted
        return {
            "mean_iou": float((right / (both - right))[there].mean()),
            "dice": float((2 * right / both)[there].mean()),
            "pixel_accuracy": float(right.sum() / confusion.sum()),
            LOSS: float(sums["loss"] / confusion.sum()),
        }
