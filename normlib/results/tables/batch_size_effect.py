"""What the batch size does to an arm: slope and area of its metric over log2(batch size), and how small it may get.

In: a study whose columns are batch sizes. Out: figures by section and arm, each with its paired test against the
baseline. Batch sizes are ordered conditions, one curve a replicate. This file knows no other axis.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from normlib.results.stats import areas, mean_interval, slopes
from normlib.results.store.columns import BATCH_SIZES
from normlib.results.study.absence import why_none, why_unpaired
from normlib.results.study.study import Condition, Study
from normlib.results.tables.against_baseline import Against, against_baseline
from normlib.tasks.metric import Metric

TOLERANCE = 0.01
"""An arm stays with its best as long as its mean is within one point of it or, where the metric's unit is not %, one percent."""


@dataclass(frozen=True)
class Effect:
    """One arm in one section, in the unit that the metric is stored in; NaN where there is no figure."""

    section: str
    arm: str
    n: int = 0
    """Replicates that have every batch size."""
    slope: float = math.nan
    """Mean change of the metric a doubling of the batch, with the half-width of its 95 % t interval."""
    slope_half_width: float = math.nan
    area: float = math.nan
    """Mean metric over log2(batch size), likewise."""
    area_half_width: float = math.nan
    smallest_batch: str = ""
    """The smallest batch size that stays within `TOLERANCE` of the arm's best mean, going down from the best."""
    slope_against: Against | None = None
    area_against: Against | None = None
    why_none: str = ""


def analyse(study: Study) -> tuple[Effect, ...]:
    """Every arm of every section with two batch sizes or more; empty where the columns are another setting."""
    if study.question.columns not in BATCH_SIZES:
        return ()
    return tuple(
        effect
        for section, conditions in study.conditions.items()
        if len(conditions) > 1 and all(0 < _size(condition) < math.inf for condition in conditions)
        for effect in _of_section(study, section, conditions)
    )


def _of_section(study: Study, section: str, conditions: Sequence[Condition]) -> list[Effect]:
    sizes = [_size(condition) for condition in conditions]
    arms, baseline, metric = study.arms(section), study.question.baseline, study.question.facts
    value = study.question.on("test")
    curves = _curves(conditions, arms, value)
    missing = {arm: _missing(conditions, arm, curve) for arm, curve in curves.items()}
    complete = [arm for arm in arms if not missing[arm]]
    by_kind = {}
    for kind, figure in (("slope", slopes), ("area", areas)):
        values = {arm: figure(curves[arm], sizes) for arm in complete}
        # A figure is a weighted sum of the metric's values, so its rounding is theirs times the length of the weights.
        step = float(np.linalg.norm(figure(np.eye(len(sizes)), sizes))) * max(
            c.resolution(value, metric) for c in conditions
        )
        unpaired = {arm: _unpaired(study, conditions, arm) for arm in complete if baseline in complete}
        by_kind[kind] = (values, step, against_baseline(values, baseline, unpaired, step))
    effects = []
    for arm in arms:
        if missing[arm]:
            effects.append(Effect(section, arm, why_none=missing[arm]))
            continue
        (slope_values, slope_step, slope_against), (area_values, area_step, area_against) = by_kind.values()
        slope = mean_interval(slope_values[arm], resolution=slope_step)
        area = mean_interval(area_values[arm], resolution=area_step)
        effects.append(Effect(
            section, arm, int(slope.n), float(slope.mean), float(slope.half_width), float(area.mean),
            float(area.half_width), _smallest(conditions, curves[arm], metric), slope_against.get(arm), area_against.get(arm),
            "" if slope.n else "no replicate has every batch size",
        ))  # fmt: skip
    return effects


def _size(condition: Condition) -> float:
    try:
        return float(condition.column)
    except ValueError:
        return math.nan


def _missing(conditions: Sequence[Condition], arm: str, curve: NDArray[np.float64]) -> str:
    """Why an arm lacks batch sizes, and which; empty where it has figures at all."""
    reasons: dict[str, list[str]] = {}
    for condition, values in zip(conditions, curve.T, strict=True):
        if np.isnan(values).all():
            reasons.setdefault(why_none(condition, arm), []).append(condition.column)
    everywhere = [reason for reason, columns in reasons.items() if len(columns) == len(conditions)]
    return "; ".join(everywhere or [f"{reason} at {', '.join(columns)}" for reason, columns in reasons.items()])


def _curves(conditions: Sequence[Condition], arms: Sequence[str], value: str) -> dict[str, NDArray[np.float64]]:
    """The values of each arm, (replicates, conditions), over the replicates of all conditions."""
    names = sorted({name for condition in conditions for name in condition.replicates})
    place = {name: number for number, name in enumerate(names)}
    curves = {arm: np.full((len(names), len(conditions)), math.nan) for arm in arms}
    for number, condition in enumerate(conditions):
        rows = [place[name] for name in condition.replicates]
        for arm, curve in curves.items():
            curve[rows, number] = condition.array(arm, value)
    return curves


def _unpaired(study: Study, conditions: Sequence[Condition], arm: str) -> str:
    reasons = (why_unpaired(study, condition, arm) for condition in conditions)
    return next((f"not paired: {reason}" for reason in reasons if reason), "")


def _smallest(conditions: Sequence[Condition], curve: NDArray[np.float64], metric: Metric) -> str:
    """Going down from the batch size with the best mean, the last before the mean leaves the tolerance."""
    order = np.argsort([_size(condition) for condition in conditions])
    means = np.nanmean(curve, axis=0)[order] * (1 if metric.higher_is_better else -1)
    place = best = int(np.argmax(means))
    tolerance = TOLERANCE * (1 if metric.percent else abs(means[best]))
    while place > 0 and means[place - 1] >= means[best] - tolerance:
        place -= 1
    return conditions[order[place]].column
