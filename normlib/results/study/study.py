"""A study: the runs of a report by condition, arm and replicate. Every analysis reads it.

In: the frame of runs and the question about them. Out: for each condition, arrays of shape (replicates,) by arm. The
runs fill in what the question leaves open about its metric. A replicate is a seed, or seed and split together if each
seed has its own split. This file computes no statistic and drops no run.
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

from normlib.results.store.columns import CONTROL, LOOKS, SEED, STEP
from normlib.results.store.frame import run_names
from normlib.results.store.looks import planned_looks
from normlib.results.store.record import DIVERGED, TRAINED
from normlib.results.study.axes import Places, ReportError, places
from normlib.results.study.comparison import Comparison
from normlib.results.study.identity import has_hashes
from normlib.results.study.pairing import paired
from normlib.results.study.question import Question
from normlib.results.study.tuning import TUNED, Choices
from normlib.tasks.metric import Metric


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
    """For each row of `runs`, the number of its replicate."""
    replicates: tuple[str, ...]
    """The names of the replicates: their seeds."""

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms that have runs here."""
        return tuple(self.positions)

    def array(self, arm: str, value: str) -> NDArray[np.float64]:
        """A measured value by replicate, (replicates,). NaN if the arm has no trained run with that value."""
        positions = self.trained(arm)
        if value not in self.runs or not len(positions):
            return np.full(len(self.replicates), math.nan)
        found = self.runs[value].to_numpy(dtype=float, na_value=math.nan)[positions]
        return self.by_replicate(found, positions)

    def array_of(self, arm: str, by_name: Mapping[str, float]) -> NDArray[np.float64]:
        """As `array`, for a value given by the runs' names (`frame.run_name`)."""
        positions = self.trained(arm)
        names = run_names(self.runs)[positions]
        return self.by_replicate(np.array([by_name.get(name, math.nan) for name in names], dtype=float), positions)

    def first(self, seeds: int) -> Condition:
        """The same with only the runs of the seeds below `seeds`."""
        inside = pd.to_numeric(self.runs[SEED]).to_numpy() < seeds
        place = np.cumsum(inside) - 1
        names, replicate = np.unique(self.runs[SEED].to_numpy()[inside], return_inverse=True)
        positions = {arm: place[rows[inside[rows]]] for arm, rows in self.positions.items() if inside[rows].any()}
        return Condition(
            self.section, self.column, self.runs[inside], positions, replicate, tuple(str(name) for name in names)
        )

    def resolution(self, value: str, metric: Metric) -> float:
        """The step of a metric's values: its step / samples of the split, or 0 for a continuous metric.

        For figures that were made elsewhere, it is in the column `measured.step`.
        """
        split, _, _ = value.rpartition(".")
        if f"{split}.{STEP}" in self.runs:
            return float(self.runs[f"{split}.{STEP}"].max())
        if not metric.step or f"{split}.samples" not in self.runs:
            return 0.0
        samples = min(self.runs[f"{split}.samples"].dropna(), default=0)
        return metric.step / float(samples) if samples > 0 else 0.0

    def diverged(self, arm: str) -> NDArray[np.bool_]:
        """By replicate, whether one of its runs diverged, (replicates,)."""
        status = self.runs["status"].to_numpy()
        broken = np.zeros(len(self.replicates), dtype=bool)
        mine = self.positions.get(arm, np.zeros(0, dtype=np.int64))
        broken[self.replicate[mine[status[mine] == DIVERGED]]] = True
        return broken

    def trained(self, arm: str) -> NDArray[np.int64]:
        """The rows in `runs` of an arm's trained runs."""
        mine = self.positions.get(arm, np.zeros(0, dtype=np.int64))
        return mine[np.isin(self.runs["status"].to_numpy()[mine], list(TRAINED))]

    def by_replicate(self, values: NDArray[np.float64], positions: NDArray[np.int64]) -> NDArray[np.float64]:
        """Values of some rows of `runs`, (rows, ...), by replicate, (replicates, ...). NaN if a replicate has none."""
        laid_out = np.full((len(self.replicates), *values.shape[1:]), math.nan)
        laid_out[self.replicate[positions]] = values
        return laid_out


@dataclass(frozen=True)
class Study:
    """All conditions of a report, section by section, with the question and the learning curves."""

    runs: pd.DataFrame
    question: Question
    curves: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The records' curves by run name (`frame.run_name`)."""
    view: str = ""
    """Which view of tuned runs this is, "tuned" or "fixed". "" if nothing was tuned."""
    heading: str = ""
    """One sentence that describes the view."""
    choices: Choices | None = None
    """What the trials chose, for its table."""

    def __post_init__(self) -> None:
        """Let the runs fill in what the question leaves open. Raises ReportError if they do not say it."""
        if len(self.runs):
            object.__setattr__(self, "question", self.question.asked_of(self.runs))

    @property
    def verified(self) -> bool:
        """Whether arms of norms are sure to be paired (`identity.check_paired`).

        Tuned runs have different values, so the hashes decide for each comparison.
        """
        return self.view != TUNED

    @cached_property
    def comparisons(self) -> tuple[Comparison, ...]:
        """Every arm against the baseline in every condition. Empty if the baseline is not a row."""
        return tuple(paired(self))

    @cached_property
    def hashed(self) -> bool:
        """Whether runs have hashes.

        Without any, runs of one seed count as pairs, and every table says that this is not verified.
        """
        return has_hashes(self.runs)

    @cached_property
    def looks(self) -> tuple[int, ...]:
        """The numbers of seeds at which looks are taken. () if the number of seeds was fixed ahead.

        If any run was made with looks, all are judged that way, which is right whatever ended the sweep. Raises
        ReportError if seeds are not numbers.
        """
        planned = planned_looks(self.runs[LOOKS]) if LOOKS in self.runs else ()
        if planned and pd.to_numeric(self.runs[SEED], errors="coerce").isna().any():
            raise ReportError("the seeds of runs with looks must be numbers: 0, 1, 2, and so on")
        return planned

    @cached_property
    def places(self) -> Places:
        """Where each run belongs. Raises ReportError for axes that are not settings of the runs."""
        return places(self.runs, self.question.rows, self.question.columns, self.question.order)

    @cached_property
    def conditions(self) -> Mapping[str, tuple[Condition, ...]]:
        """The conditions of each section, in the order of the columns.

        Raises ReportError if a cell has two runs of one seed.
        """
        return {section: self._of_section(section) for section in self.places.sections}

    @cached_property
    def controls(self) -> frozenset[str]:
        """The rows that are a control: the baseline a second time, which shows the noise and is not a method."""
        if CONTROL not in self.runs:
            return frozenset()
        control = self.runs[CONTROL].fillna(False).astype(bool)
        return frozenset(str(label) for label, all_are in control.groupby(self.places.rows).all().items() if all_are)

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
                raise ReportError(
                    f"a cell holds one run per seed, but {arm} has several; filter the runs to one of them"
                )
        return condition
