"""The question that a report answers: the axes, the metric, the baseline, and which differences count as equal.

In: what a user says. Out: a `Question`, which the frame of runs completes. Computes no statistic.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field

import pandas as pd

from normlib.results.store.columns import UNKNOWN_SPLIT
from normlib.results.study.axes import Order, ReportError
from normlib.results.study.metrics import SPLITS, difference_unit, metric_of, metric_of_value, scale, with_unit
from normlib.tasks.metric import Metric

POINTS = 0.5
"""The default rope in points, for a metric in %: arms within it are equal in practice."""
NO_METRIC = Metric("metric")
"""The metric of a study without runs."""


@dataclass(frozen=True)
class Question:
    """The question of a report.

    `metric`: the facts of the metric to compare, its name among the runs' metrics, or None for their main one. `value`:
    its column; "" is the metric on the test split, or on validation if no run has it on test. `higher_is_better`: the
    metric's direction, if its name does not say it. `rope`: differences up to this are equal in practice, in the
    metric's unit (points if that is %). None is 0.5 points if the unit is %, and no difference otherwise. `target`: the
    figure to reach, a fraction if the unit is %; None takes it from the baseline (tables/speed.py). `order`: the order
    of labels along axes.
    """

    rows: str = "norm"
    columns: str = "data.batch_size"
    metric: Metric | str | None = None
    higher_is_better: bool | None = None
    value: str = ""
    baseline: str = "batch"
    rope: float | None = None
    target: float | None = None
    order: Order = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises ReportError for an impossible rope or target."""
        if self.rope is not None and not 0 <= self.rope < math.inf:
            raise ReportError(
                f"rope is the difference within which arms are equal in practice, at least 0, in the metric's unit (points where that "
                f"is %), got {self.rope}"
            )
        check_target(self.target, self.metric if isinstance(self.metric, Metric) else None)

    def asked_of(self, runs: pd.DataFrame) -> Question:
        """The same, with the metric and its column taken from the runs. Raises ReportError if the runs do not say them."""
        metric = self.metric
        if not isinstance(metric, Metric):
            by_value = self.value and metric is None
            metric = metric_of_value(runs, self.value) if by_value else metric_of(runs, metric, self.higher_is_better)
        columns = [f"{split}.{metric.name}" for split in SPLITS]
        there = (column for column in columns if column in runs and runs[column].notna().any())
        return dataclasses.replace(self, metric=metric, value=self.value or next(there, columns[0]))

    @property
    def facts(self) -> Metric:
        """The facts of the metric. A study fills them in; without runs there are none."""
        return self.metric if isinstance(self.metric, Metric) else NO_METRIC

    def on(self, split: str) -> str:
        """The column of the metric on another split.

        Figures that were made elsewhere have no known split and count as "test".
        """
        if split == "test" and self.value.startswith(f"{UNKNOWN_SPLIT}."):
            return self.value
        return f"{split}.{self.facts.name}"

    @property
    def region(self) -> float | None:
        """Differences up to this are equal in practice, in the unit of stored figures. None if no difference is."""
        if self.rope is not None:
            return self.rope / scale(self.facts)
        return POINTS / 100 if self.facts.percent else None

    @property
    def region_words(self) -> str:
        """The largest difference that is equal in practice, with its unit: "0.5 points"."""
        return with_unit(f"{(self.region or 0.0) * scale(self.facts):g}", difference_unit(self.facts))

    def counts_as_equal(self, difference: float) -> bool:
        """Whether a difference of this size (as stored, without sign) is inside the rope."""
        return self.region is not None and difference <= self.region


def check_target(target: float | None, metric: Metric | None) -> None:
    """Raises ReportError for a target that no run could reach."""
    if target is None:
        return
    if metric is not None and metric.percent and not 0 < target <= 1:
        raise ReportError(
            f"target is the {metric.title} to reach, a fraction above 0 and up to 1 (0.95 is 95 %), got {target}"
        )
    if not math.isfinite(target):
        raise ReportError(f"target is the figure of the metric to reach, a finite number, got {target}")
