"""The result of fitting a run, by any of the loops: the part of a record that training makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from normlib.tasks.metric import Metric


@dataclass(frozen=True)
class Fitted:
    """Figures, curves and hashes of a trained run.

    `metrics`: by split and name, None if not finite. `metric_facts`: tables show the first. `hashes`: of the trunk, of
    the batches (one for each epoch that was fed to its end), of the schedule and of the data; empty if unknown.
    `broken`: why the run counts as diverged, or None. `state`: the network's final state. `environment`: what the
    record says of the surroundings besides the machine.
    """

    metrics: Mapping[str, Mapping[str, float | None]]
    metric_facts: Sequence[Metric]
    train_curve: Mapping[str, list[float | None]]
    validation_curve: Mapping[str, list[float | None]]
    hashes: Mapping[str, Any]
    batch_sizes: Mapping[str, int]
    environment: Mapping[str, Any]
    planned_steps: int
    steps: int
    samples: int
    seconds: float
    broken: str | None
    state: Mapping[str, Any]
