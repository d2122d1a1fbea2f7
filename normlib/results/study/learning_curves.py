"""Learning curves: the metric on validation and the training loss along the run, by arm, over the replicates.

In: a study with the curves of its runs. Out: for each arm of a condition, arrays over evaluation points. A diverged run
keeps the figure of its broken network from where it stopped, as in the tables. Otherwise the curve would show only the
survivors. Nothing is smoothed or interpolated, and no run is dropped.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from normlib.results.stats import mean_interval
from normlib.results.store.frame import run_names
from normlib.results.store.record import DIVERGED
from normlib.results.study.study import Condition, Study


@dataclass(frozen=True)
class Curve:
    """One arm in one condition, over evaluation points (points,) and points of the training loss (train points,)."""

    steps: NDArray[np.float64]
    """Optimizer steps done, (points,)."""
    samples: NDArray[np.float64]
    """Training samples seen, repeats counted, (points,)."""
    seconds: NDArray[np.float64]
    """Seconds of training, mean over the runs that reached the point, (points,)."""
    mean: NDArray[np.float64]
    """Mean of the metric on validation over replicates, as it is stored, (points,)."""
    half_width: NDArray[np.float64]
    """Half the width of its 95 % t interval, (points,). NaN with fewer than two replicates."""
    n: NDArray[np.int64]
    """Replicates at the point, (points,)."""
    diverged: NDArray[np.int64]
    """How many runs have diverged by then, (points,)."""
    train_steps: NDArray[np.float64]
    """Optimizer steps done, (train points,)."""
    train_loss: NDArray[np.float64]
    """Mean training loss since the previous point, over the runs that reached this one, (train points,)."""


def learning_curves(study: Study, section: str, column: str) -> dict[str, Curve]:
    """The curves of the arms of one condition, in the order of the rows. Arms without a curve are left out.

    Raises KeyError for a section that the study does not have. Empty for a column that the section does not have.
    """
    conditions = (condition for condition in study.conditions[section] if condition.column == column)
    return {
        arm: curve
        for condition in conditions
        for arm in condition.arms
        for curve in [_curve(study, condition, arm)]
        if curve is not None
    }


def _curve(study: Study, condition: Condition, arm: str) -> Curve | None:
    metric, value = study.question.facts, study.question.on("validation")
    if value not in condition.runs:
        return None
    rows = condition.trained(arm)
    own = [study.curves.get(name, {}) for name in run_names(condition.runs)[rows]]
    runs = condition.runs.iloc[rows]
    diverged = (runs["status"] == DIVERGED).to_numpy()
    validation, train = ([curve.get(part, {}) for curve in own] for part in ("validation", "train"))
    steps, train_steps = _grid(validation, diverged), _grid(train, diverged)
    figures = _laid_out(validation, metric.name, steps)  # (runs, points)
    if not np.isfinite(figures).any():
        return None
    last, final = (runs[name].to_numpy(dtype=float, na_value=math.nan)[:, np.newaxis] for name in ("steps", value))
    figures = np.where((steps > last) & diverged[:, np.newaxis], final, figures)
    interval = mean_interval(condition.by_replicate(figures, rows), resolution=condition.resolution(value, metric))
    return Curve(
        steps=steps,
        samples=mean_interval(_laid_out(validation, "samples", steps)).mean,
        seconds=mean_interval(_laid_out(validation, "seconds", steps)).mean,
        mean=interval.mean, half_width=interval.half_width, n=interval.n,
        diverged=((steps >= last) & diverged[:, np.newaxis]).sum(axis=0),
        train_steps=train_steps, train_loss=mean_interval(_laid_out(train, "loss", train_steps)).mean,
    )  # fmt: skip


def _grid(curves: Sequence[Mapping[str, Any]], diverged: NDArray[np.bool_]) -> NDArray[np.float64]:
    """All steps at which a run has a point. Steps of diverged runs count only if there are no others."""
    whole = [curve for curve, broken in zip(curves, diverged, strict=True) if not broken] or curves
    return np.array(sorted({step for curve in whole for step in curve.get("step", ())}), dtype=float)


def _laid_out(curves: Sequence[Mapping[str, Any]], key: str, steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """One key of each run's curve on common steps, (runs, points). NaN if a run has no such point or no figure."""
    by_step = [dict(zip(curve.get("step", ()), curve.get(key, ()))) for curve in curves]
    values = [[known.get(step) for step in steps.tolist()] for known in by_step]
    return np.array(values, dtype=float).reshape(len(curves), len(steps))  # None becomes NaN
