"""Speed: steps, samples and seconds until the metric on validation first reaches a target that was set beforehand.

Medians over replicates with order-statistic intervals, and their ratios to the baseline. A run that never reaches the target
counts as taking infinitely long. So does a run that diverged, whatever its curve showed on the way: it ends without a network
that scores the target. Nothing is interpolated between evaluations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from normlib.results.plots.learning_curves import learning_curves
from normlib.results.stats import median_interval
from normlib.results.store.frame import run_names
from normlib.results.study.absence import why_none, why_unpaired
from normlib.results.study.metrics import EMPTY, figure, scale, with_unit
from normlib.results.study.study import Condition, Study
from normlib.results.tables.divergence import divergence_notes
from normlib.results.tables.table import Column, Row, Table, register_table

SHARE_OF_BASELINE = 0.95
"""Where no target is given, it is this share of the baseline's mean final figure on validation. Where less is better, that figure
is this share of the target."""
UNITS = {"steps": "step", "samples": "samples", "seconds": "seconds"}
"""What training takes, and the key of the curves that counts it."""
RATIOS = ("steps", "seconds")
"""Those that are compared with the baseline's."""
_EXAMPLE = {True: "target=0.9 (a fraction)", False: "target=..."}
"""By whether the metric's unit is %."""
LOST = "they count as not reaching the target, whatever they showed on the way"


class Spread(NamedTuple):
    """A median with the low and the high end of its interval."""

    median: float = math.nan
    low: float = math.nan
    high: float = math.nan

    def __str__(self) -> str:
        """Such as "320 (160 to ∞)"; without the interval where n is too small for one."""
        median, low, high = (
            EMPTY if math.isnan(each) else "∞" if math.isinf(each) else f"{each:,.0f}" if each >= 100 else f"{each:.3g}"
            for each in self
        )
        return median if low == EMPTY else f"{median} ({low} to {high})"


NOTHING = Spread()


@dataclass(frozen=True)
class Speed:
    """What one arm in one condition takes to the target: infinite where it does not reach it, NaN where there is no figure."""

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
    undefined_ratios: int = 0
    """Replicates in which neither the arm nor the baseline reached the target, so that there is no ratio."""
    steps_apart: float = math.nan
    """The widest gap between two evaluations, in steps: figures are no finer than this."""
    evaluations: int = 0
    """The most evaluations that a run had."""
    why_none: str = ""
    why_no_ratio: str = ""


@register_table(
    "speed",
    "Speed",
    "How soon a target is reached that was set beforehand. Never reaching it counts as infinite.",
    plots=[learning_curves],
    order=50,
)
def speed_tables(study: Study) -> list[Table]:
    """A table a section; one that says what is missing where there is neither a target nor a baseline to derive one from."""
    question = study.question
    if question.on("validation") not in study.runs:
        return []
    if question.target is None and question.baseline not in study.places.row_labels:
        note = (
            f"There is no speed without a target. None was set, and none follows from the baseline, since {question.baseline!r} is "
            f"none of the rows. Set one with {_EXAMPLE[question.facts.percent]}, or choose baseline=..."
        )
        return [Table(name="speed", title=f"Speed to {question.facts.title}", notes=(note,))]
    return [
        _table(study, section, [speed for condition in conditions for speed in _speeds(study, condition)])
        for section, conditions in study.conditions.items()
    ]


def _speeds(study: Study, condition: Condition) -> list[Speed]:
    metric, baseline, target = study.question.facts, study.question.baseline, study.question.target
    if target is None:
        final = condition.array(baseline, study.question.on("validation"))
        known = final[~np.isnan(final)]
        mean = float(known.mean()) if len(known) else math.nan
        if not mean > 0:
            no_share = f"its figure, {figure(mean, metric)}, is not above 0; set one with target=..."
            why = f"no target: {baseline}, {no_share if len(known) else why_none(condition, baseline)}"
            return [Speed(condition.section, condition.column, arm, why_none=why) for arm in condition.arms]
        target = SHARE_OF_BASELINE * mean if metric.higher_is_better else mean / SHARE_OF_BASELINE
    needed = {arm: _needed(study, condition, arm, target) for arm in condition.arms}
    return [_speed(study, condition, arm, target, needed) for arm in condition.arms]


def _needed(study: Study, condition: Condition, arm: str, target: float) -> dict[str, NDArray[np.float64]]:
    """By unit, what each replicate takes to the target, (replicates,)."""
    metric = study.question.facts
    sign = 1 if metric.higher_is_better else -1
    found: dict[str, dict[str, float]] = {unit: {} for unit in UNITS}
    for name, curve in _validation(study, condition, arm).items():
        values = curve.get(metric.name)
        if values is None:
            continue
        reached = (place for place, each in enumerate(values) if each is not None and sign * each >= sign * target)
        first = next(reached, None)
        for unit, key in UNITS.items():
            found[unit][name] = math.inf if first is None else float(curve[key][first])
    lost = condition.diverged(arm)
    return {unit: np.where(lost, math.inf, condition.array_of(arm, by_name)) for unit, by_name in found.items()}


def _speed(
    study: Study, condition: Condition, arm: str, target: float, needed: Mapping[str, Mapping[str, NDArray[np.float64]]]
) -> Speed:
    baseline, mine = study.question.baseline, needed[arm]
    there = ~np.isnan(mine["steps"])
    if not there.any():
        return Speed(condition.section, condition.column, arm, target, why_none=why_none(condition, arm))
    theirs = needed.get(baseline, {})
    ratios, undefined, why_no_ratio = dict.fromkeys(RATIOS, NOTHING), 0, ""
    if not theirs or np.isnan(theirs["steps"]).all():
        why_no_ratio = f"no {baseline}"
    elif arm != baseline and not (why_no_ratio := why_unpaired(study, condition, arm)):
        with np.errstate(invalid="ignore", divide="ignore"):  # ∞ / ∞, where neither gets there, is the NaN that we mean
            ratios = {unit: Spread(*median_interval(theirs[unit] / mine[unit])) for unit in RATIOS}
        undefined = int((np.isinf(mine["steps"]) & np.isinf(theirs["steps"])).sum())
        common = int((there & ~np.isnan(theirs["steps"])).sum())
        why_no_ratio = "no replicate in common" if not common else "neither reaches it" if common == undefined else ""
    evaluated = {tuple(curve.get("step", ())) for curve in _validation(study, condition, arm).values()}
    gaps = (after - before for steps in evaluated for before, after in zip((0, *steps), steps))
    steps, samples, seconds = (Spread(*median_interval(mine[unit])) for unit in UNITS)
    return Speed(
        condition.section, condition.column, arm, target, int(there.sum()), int(np.isfinite(mine["steps"]).sum()),
        steps, samples, seconds, ratios["steps"], ratios["seconds"], undefined,
        float(max(gaps, default=math.nan)), max(map(len, evaluated), default=0), why_no_ratio=why_no_ratio,
    )  # fmt: skip


def _validation(study: Study, condition: Condition, arm: str) -> dict[str, Any]:
    """The curves on validation of an arm's trained runs, by the run's name."""
    names = run_names(condition.runs)[condition.trained(arm)]
    return {name: study.curves.get(name, {}).get("validation", {}) for name in names}


def _table(study: Study, section: str, speeds: list[Speed]) -> Table:
    question, metric = study.question, study.question.facts

    def no_ratio(row: Row) -> str:
        return EMPTY if row.arm == question.baseline else row.why_no_ratio

    def spread(heading: str, field: str, instead: Callable[[Row], str] = lambda row: "") -> Column:
        return Column(
            heading, lambda row: getattr(row, field).median, lambda row: instead(row) or str(getattr(row, field))
        )

    return Table(
        name="speed",
        title=f"Speed to {metric.title}" + (f", {section}" if section else ""),
        columns=(
            Column(question.columns, "column", label=True),
            Column(question.rows, "arm", label=True),
            Column("target", "target", lambda row: figure(row.target, metric), metric.unit, always=True),
            Column("reached", lambda row: row.reached / row.n, lambda row: f"{row.reached}/{row.n}"),
            *(spread(unit, unit) for unit in UNITS),
            *(spread(f"times fewer {unit} than {question.baseline}", f"fewer_{unit}", no_ratio) for unit in RATIOS),
        ),
        rows=speeds,
        notes=(*_notes(study, speeds), *divergence_notes(study.conditions[section], LOST)),
    )


def _notes(study: Study, speeds: Sequence[Speed]) -> list[str]:
    question, metric = study.question, study.question.facts
    share, above = f"{100 * SHARE_OF_BASELINE:g} %", "above" if metric.higher_is_better else "below"
    final = f"mean final {metric.title} on validation of {question.baseline} in the same condition"
    target = f"{share} of the {final}" if metric.higher_is_better else f"the figure of which the {final} is {share}"
    target += f" (target=null; {_EXAMPLE[metric.percent]} sets another)"
    if question.target is not None:
        asked = with_unit(f"{scale(metric) * question.target:g}", metric.unit)
        target = f"{asked} {metric.title} on validation, set beforehand (target={question.target:g})"
    notes = [
        f"Target: {target}. Steps, samples and seconds are those of training up to the first evaluation at or {above} it.",
        "Median over replicates with its 95 % interval from order statistics, which takes 6 replicates or more. ∞: not reached. "
        "Reached k/n: k of n replicates got there; the others count as ∞.",
        f"Times fewer: {question.baseline} / arm, replicate by replicate, and the median over replicates. Below 1 the arm takes more.",
    ]
    if undefined := sum(speed.undefined_ratios for speed in speeds):
        notes.append(f"Where neither gets there, there is no ratio; the medians leave out {undefined} such pairs.")
    most = max((speed.evaluations for speed in speeds), default=0)
    if most == 1:
        notes.append(
            "Runs were evaluated only once, at their end, so a run that got there shows its full length. evaluation.points=20 "
            "evaluates 20 times."
        )
    elif most:
        gaps = sorted({speed.steps_apart for speed in speeds if speed.steps_apart == speed.steps_apart})
        apart = f"{gaps[0]:g}" if len(gaps) == 1 else f"{gaps[0]:g} to {gaps[-1]:g}, by condition"
        notes.append(f"Evaluations are {apart} steps apart: figures are no finer than that.")
    return notes
