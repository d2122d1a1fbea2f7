"""What came of fitting a run, by whichever loop: the part of a record that training makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from normlib.tasks.metric import Metric


@dataclass(frozen=True)
class Fitted:
    """Figures, curves and hashes of a run that was trained.

    `metrics`: by split and name, None where not finite. `metric_facts`: the first is what tables show. `hashes`: of the trunk, of
    the batches (one for each epoch that was fed to its end), of the schedule and of the data; empty where nothing is known.
    `broken`: why the run counts as diverged, None where it does not. `state`: the network's final state. `environment`: what the
    record says of the surroundings beside the machine.
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
