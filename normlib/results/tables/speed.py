"""Speed: steps, samples and seconds until the metric on validation first reaches a target set beforehand.

In: a study with the curves of its runs. Out: medians over replicates with order-statistic intervals, by arm and condition,
and the ratio to the baseline. A run that never reaches the target needs infinitely long; it is never dropped. A run that
diverged has not reached it, whatever its curve showed on the way: it ends without a network that scores it.
This file never interpolates between evaluations.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from normlib.results.stats import median_interval
from normlib.results.store.frame import run_names
from normlib.results.study.absence import why_none, why_unpaired
from normlib.results.study.metrics import figure
from normlib.results.study.study import Condition, Study

SHARE_OF_BASELINE = 0.95
"""Of the baseline's mean final figure on validation: the target where none is given. Where less is better, the figure is a share
of the target."""
UNITS = {"steps": "step", "samples": "samples", "seconds": "seconds"}
"""What it takes, and the key of the curves that counts it."""
Spread = tuple[float, float, float]
"""A median, and the low and high end of its interval."""
NOTHING: Spread = (math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class Speed:
    """One arm in one condition: what it takes to the target. Infinite where it is not reached, NaN where there is no figure."""

    section: str
    column: str
    arm: str
    target: float = math.nan
    """As the metric is stored: a fraction where its unit is %."""
    n: int = 0
    reached: int = 0
    steps: Spread = NOTHING
    samples: Spread = NOTHING
    seconds: Spread = NOTHING
    fewer_steps: Spread = NOTHING
    """The baseline's steps divided by the arm's, replicate by replicate."""
    fewer_seconds: Spread = NOTHING
    undefined: int = 0
    """Replicates in which neither the arm nor the baseline reached the target, so that there is no ratio."""
    steps_apart: float = math.nan
    """The widest gap between two evaluations, in steps: figures are no finer than this."""
    evaluations: int = 0
    """The most evaluations that a run had."""
    why_none: str = ""
    why_no_ratio: str = ""


def analyse(study: Study) -> tuple[Speed, ...]:
    """Every arm in every condition; empty where there is neither a target nor a baseline to derive one from."""
    if study.question.target is None and study.question.baseline not in study.places.row_labels:
        return ()
    return tuple(
        speed
        for conditions in study.conditions.values()
        for condition in conditions
        for speed in _of_condition(study, condition)
    )


def _of_condition(study: Study, condition: Condition) -> list[Speed]:
    baseline = study.question.baseline
    target = study.question.target
    if target is None:
        final = condition.array(baseline, study.question.on("validation"))
        known = final[~np.isnan(final)]
        mean = float(known.mean()) if len(known) else math.nan
        if not mean > 0:
            no_share = f"its figure, {figure(mean, study.question.facts)}, is not above 0; set one with target=..."
            why = f"no target: {baseline}, {no_share if len(known) else why_none(condition, baseline)}"
            return [Speed(condition.section, condition.column, arm, why_none=why) for arm in condition.arms]
        target = SHARE_OF_BASELINE * mean if study.question.facts.higher_is_better else mean / SHARE_OF_BASELINE
    needed = {arm: _needed(study, condition, arm, target) for arm in condition.arms}
    return [_speed(study, condition, arm, target, needed) for arm in condition.arms]


def _needed(study: Study, condition: Condition, arm: str, target: float) -> dict[str, NDArray[np.float64]]:
    """By unit, what each replicate takes to the target, (replicates,)."""
    metric = study.question.facts
    sign = 1 if metric.higher_is_better else -1
    names = run_names(condition.runs)[condition.trained(arm)]
    found: dict[str, dict[str, float]] = {unit: {} for unit in UNITS}
    for name in names:
        curve = study.curves.get(name, {}).get("validation", {})
        if metric.name not in curve:
            continue
        known = ((place, value) for place, value in enumerate(curve[metric.name]) if value is not None)
        first = next((place for place, value in known if sign * value >= sign * target), None)
        for unit, key in UNITS.items():
            found[unit][name] = math.inf if first is None else float(curve[key][first])
    lost = condition.diverged(arm)
    return {unit: np.where(lost, math.inf, condition.array_of(arm, by_id)) for unit, by_id in found.items()}


def _speed(
    study: Study, condition: Condition, arm: str, target: float, needed: Mapping[str, Mapping[str, NDArray[np.float64]]]
) -> Speed:
    mine, theirs = needed[arm], needed.get(study.question.baseline)
    n = int((~np.isnan(mine["steps"])).sum())
    if not n:
        return Speed(condition.section, condition.column, arm, target, why_none=why_none(condition, arm))
    why_no_ratio, ratios, undefined = "", {"steps": NOTHING, "seconds": NOTHING}, 0
    if theirs is None or np.isnan(theirs["steps"]).all():
        why_no_ratio = f"no {study.question.baseline}"
    elif arm != study.question.baseline:
        why_no_ratio = why_unpaired(study, condition, arm)
        if not why_no_ratio:
            ratios = {unit: median_interval(_ratios(theirs[unit], mine[unit])) for unit in ratios}
            undefined = int((np.isinf(mine["steps"]) & np.isinf(theirs["steps"])).sum())
            common = int((~np.isnan(mine["steps"]) & ~np.isnan(theirs["steps"])).sum())
            why_no_ratio = (
                "no replicate in common" if not common else "neither reaches it" if common == undefined else ""
            )
    steps_apart, evaluations = _resolution(study, condition, arm)
    return Speed(
        condition.section, condition.column, arm, target, n, int(np.isfinite(mine["steps"]).sum()),
        steps=median_interval(mine["steps"]), samples=median_interval(mine["samples"]),
        seconds=median_interval(mine["seconds"]), fewer_steps=ratios["steps"], fewer_seconds=ratios["seconds"],
        undefined=undefined, steps_apart=steps_apart, evaluations=evaluations, why_no_ratio=why_no_ratio,
    )  # fmt: skip


def _ratios(theirs: NDArray[np.float64], mine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Infinite where only the arm gets there, 0 where only the baseline does, NaN where neither does."""
    with np.errstate(invalid="ignore", divide="ignore"):  # ∞ / ∞ is the NaN that we mean
        return theirs / mine


def _resolution(study: Study, condition: Condition, arm: str) -> tuple[float, int]:
    """The widest gap between two evaluations of an arm's runs, in steps, and the most evaluations of a run."""
    names = run_names(condition.runs)[condition.trained(arm)]
    evaluated = {tuple(study.curves.get(name, {}).get("validation", {}).get("step", ())) for name in names}
    gaps = [after - before for steps in evaluated for before, after in zip((0, *steps), steps)]
    return float(max(gaps, default=math.nan)), max(map(len, evaluated), default=0)
