"""A study: the runs of a report laid out by condition, arm and replicate, which is what every analysis reads.

In: the frame of runs and the question asked of them. Out: for each condition, arrays of shape (replicates,) by arm.
A replicate is a seed; where each seed has a split of its own, both together. This file computes no statistic and drops no run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from normlib.results.axes import Order, Places, ReportError, places
from normlib.results.columns import SEED
from normlib.results.frame import run_names
from normlib.results.record import DIVERGED, TRAINED

ACCURACY = "test.accuracy"


@dataclass(frozen=True)
class Question:
    """What is asked of the runs: the axes of the tables, the baseline of the comparisons, and what counts as equal.

    `rope` is in percentage points of accuracy; `target` a fraction, or None for 95 % of the baseline's final validation
    accuracy in each condition; `order` the order of labels along axes.
    """

    rows: str = "norm"
    columns: str = "data.batch_size"
    value: str = ACCURACY
    baseline: str = "batch"
    rope: float = 0.5
    target: float | None = None
    order: Order = field(default_factory=dict)

    def __post_init__(self) -> None:
        """ReportError for a region of equivalence or a target that cannot be."""
        if not 0 <= self.rope < math.inf:
            raise ReportError(
                f"rope is the percentage points of accuracy within which arms are equal in practice, 0 or more, got {self.rope}"
            )
        if self.target is not None and not 0 < self.target <= 1:
            raise ReportError(
                f"target is the accuracy to reach, a fraction above 0 and up to 1 (0.95 is 95 %), got {self.target}"
            )

    @property
    def percent(self) -> bool:
        """Whether the value is an accuracy, which readers get in percent and its differences in points."""
        return self.value.endswith("accuracy")

    def counts_as_equal(self, difference: float) -> bool:
        """Whether a difference of this size (a fraction, without sign) lies within the region of equivalence."""
        return self.percent and difference <= self.rope / 100


@dataclass(frozen=True)
class Condition:
    """The runs of one section and column. Arrays are of shape (replicates,), in the order of `replicates`."""

    section: str
    column: str
    runs: pd.DataFrame
    """The runs of the condition, of every status."""
    positions: Mapping[str, NDArray[np.int64]]
    """By arm: its rows in `runs`."""
    replicate: NDArray[np.int64]
    """For each row of `runs` the number of its replicate."""
    replicates: tuple[str, ...]
    """The replicates' names: seeds."""

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms that have runs here."""
        return tuple(self.positions)

    def array(self, arm: str, value: str) -> NDArray[np.float64]:
        """A measured value by replicate, (replicates,): NaN where the arm has no trained run with that value."""
        positions = self.trained(arm)
        if value not in self.runs or not len(positions):
            return np.full(len(self.replicates), math.nan)
        found = self.runs[value].to_numpy(dtype=float, na_value=math.nan)[positions]
        return self._by_replicate(found, positions)

    def array_of(self, arm: str, by_name: Mapping[str, float]) -> NDArray[np.float64]:
        """As `array`, for a value that is known by the runs' names (`frame.run_name`)."""
        positions = self.trained(arm)
        names = run_names(self.runs)[positions]
        return self._by_replicate(np.array([by_name.get(name, math.nan) for name in names], dtype=float), positions)

    def resolution(self, value: str) -> float:
        """The step of a value that comes in steps: 1 / samples of its split for an accuracy, else 0."""
        split, _, name = value.rpartition(".")
        if name != "accuracy" or f"{split}.samples" not in self.runs:
            return 0.0
        samples = min(self.runs[f"{split}.samples"].dropna(), default=0)
        return 1 / float(samples) if samples > 0 else 0.0

    def diverged(self, arm: str) -> NDArray[np.bool_]:
        """By replicate, whether a run of it diverged, (replicates,)."""
        status = self.runs["status"].to_numpy()
        broken = np.zeros(len(self.replicates), dtype=bool)
        mine = self.positions.get(arm, np.zeros(0, dtype=np.int64))
        broken[self.replicate[mine[status[mine] == DIVERGED]]] = True
        return broken

    def trained(self, arm: str) -> NDArray[np.int64]:
        """The rows in `runs` of an arm's trained runs."""
        mine = self.positions.get(arm, np.zeros(0, dtype=np.int64))
        return mine[np.isin(self.runs["status"].to_numpy()[mine], list(TRAINED))]

    def _by_replicate(self, values: NDArray[np.float64], positions: NDArray[np.int64]) -> NDArray[np.float64]:
        laid_out = np.full(len(self.replicates), math.nan)
        laid_out[self.replicate[positions]] = values
        return laid_out


@dataclass(frozen=True)
class Study:
    """All conditions of a report, section by section, with the question and the learning curves."""

    runs: pd.DataFrame
    question: Question
    curves: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By the name of the run (`frame.run_name`), the record's curves."""
    verified: bool = True
    """Whether arms of norms are paired for certain (`identity.check_paired`), or hashes must tell for each comparison."""

    @cached_property
    def places(self) -> Places:
        """Where each run belongs. ReportError for axes that are no settings of the runs."""
        return places(self.runs, self.question.rows, self.question.columns, self.question.order)

    @cached_property
    def conditions(self) -> Mapping[str, tuple[Condition, ...]]:
        """The conditions of each section, in the order of the columns. ReportError where a cell has two runs a seed."""
        return {section: self._of_section(section) for section in self.places.sections}

    def arms(self, section: str) -> tuple[str, ...]:
        """The arms of a section, in the order of the rows."""
        here = set(self.places.rows[(self.places.section == section).to_numpy()])
        return tuple(label for label in self.places.row_labels if label in here)

    def _of_section(self, section: str) -> tuple[Condition, ...]:
        inside = (self.places.section == section).to_numpy()
        columns = self.places.columns[inside]
        runs, rows = self.runs[inside], self.places.rows[inside]
        labels = (label for label in self.places.column_labels if (columns == label).any())
        return tuple(
            self._condition(section, label, runs[chosen], rows[chosen])
            for label in labels
            for chosen in [(columns == label).to_numpy()]
        )

    def _condition(self, section: str, column: str, runs: pd.DataFrame, rows: pd.Series) -> Condition:
        names, replicate = np.unique(runs[SEED].to_numpy(), return_inverse=True)
        positions = {str(arm): found for arm, found in rows.groupby(rows).indices.items()}
        condition = Condition(
            section, column, runs, {arm: positions[arm] for arm in self.arms(section) if arm in positions},
            replicate, tuple(str(name) for name in names),
        )  # fmt: skip
        for arm in condition.arms:
            if len(set(replicate[condition.trained(arm)])) < len(condition.trained(arm)):
                raise ReportError(f"a cell holds one run a seed, and {arm} has several; filter the runs to one of them")
        return condition
