"""The base class of tasks: the targets it takes, its loss, how many outputs the network has, and its metrics.

In: a dataset, and later its samples and a network's outputs. Out: refusals, losses and figures. A task trains nothing
and knows neither norms nor models.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from normlib.data.dataset import DataError
from normlib.tasks.metric import Metric

if TYPE_CHECKING:
    from normlib.data.dataset import Dataset, Samples

LOSS = "loss"


class Task(abc.ABC):
    """What is learned. The constructor's arguments are the task's settings.

    Tables show the first of `metrics` unless `metric=` names another. The loss is one of them, under the name "loss".
    Figures are computed from sums over a split, so a split may be evaluated in parts of any size.
    """

    metrics: tuple[Metric, ...]
    targets_are_positions = False
    """Whether targets have the inputs' positions. Then mirrored or shifted images have mirrored or shifted targets."""

    def metrics_on(self, dataset: Dataset) -> tuple[Metric, ...]:
        """The metrics that have a meaning on these data."""
        return self.metrics

    @abc.abstractmethod
    def num_outputs(self, dataset: Dataset) -> int:
        """The outputs of the network's last layer. DataError if the dataset does not say."""

    def output_shape(self, dataset: Dataset) -> tuple[int, ...]:
        """The shape of the network's output for one sample."""
        return (self.num_outputs(dataset),)

    @abc.abstractmethod
    def check_samples(self, samples: Samples, dataset: Dataset, split: str) -> None:
        """Refuse targets of another type, shape or range than the task takes. Raises DataError with the fix."""

    def prepare(self, train: Samples) -> None:  # noqa: B027 - most tasks need no constants
        """Compute constants from the training split, such as the mean of the targets."""

    @abc.abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """What training minimizes: a scalar, the mean over the batch."""

    @abc.abstractmethod
    def sums(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """What is added up over the batches of a split: tensors of fixed shapes, in float64 or int64."""

    @abc.abstractmethod
    def figures(self, sums: Mapping[str, Tensor]) -> dict[str, float]:
        """The metrics, by name, from the sums over a whole split."""

    def padding_target(self) -> int:
        """The target at positions outside an image. DataError if the task has no value for them."""
        raise DataError(
            "data.crop shifts images against a border of zeros, and this task has targets at every position: set "
            "task.ignore_index to the number that such positions get, or data.crop=0"
        )


def require(holds: bool, rule: str) -> None:
    """Raise DataError with the rule unless it holds."""
    if not holds:
        raise DataError(rule)


def declared(value: int | None, name: str, dataset: Dataset, task: str, least: int) -> int:
    """A fact that a task needs from a dataset. DataError if the dataset does not declare it."""
    who = type(dataset).__name__
    require(
        value is not None, f"task={task} needs to know {name}, which {who} does not declare: set {name} on the dataset"
    )
    assert value is not None
    require(value >= least, f"task={task}: {name} of {who} is at least {least}, got {value}")
    return value


def check_class_numbers(targets: Tensor, num_classes: int, where: str, ignored: int | None = None) -> None:
    """Refuse targets that are not class numbers from 0 to below `num_classes`, except `ignored`. DataError."""
    require(
        targets.dtype == torch.int64,
        f"{where}: targets are class numbers, int64, got {str(targets.dtype).removeprefix('torch.')}"
        + ("; real targets are for task=regression" if targets.is_floating_point() else "; convert them with .long()"),
    )
    counted = targets if ignored is None else targets[targets != ignored]
    if counted.numel():
        low, high = int(counted.min()), int(counted.max())
        require(
            low >= 0 and high < num_classes,
            f"{where}: class numbers go from 0 to num_classes - 1 = {num_classes - 1}, got {low} to {high}; number the classes "
            "from 0, or declare the right num_classes",
        )


def shape_of(tensor: Tensor) -> str:
    """The shape, in words for a message."""
    return "(" + ", ".join(map(str, tensor.shape)) + ")"
