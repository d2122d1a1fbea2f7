"""What the batch size does to an arm: slope and area of its metric over log2(batch size), and how small the batch may get.

Batch sizes are ordered conditions, one curve a replicate. Slopes and areas are compared with the baseline's, pair by pair.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from normlib.results.stats import Interval, areas, mean_interval, slopes
from normlib.results.store.columns import BATCH_SIZES
from normlib.results.study.absence import why_none, why_unpaired
from normlib.results.study.metrics import difference_unit, title, with_half_width
from normlib.results.study.study import Condition, Study
from normlib.results.tables.against_baseline import NOT_COMPARED, Against, against_baseline, against_columns
from normlib.results.tables.divergence import divergence_notes
from normlib.results.tables.table import Column, Row, Table, register_table
from normlib.tasks.metric import Metric

TOLERANCE = 0.01
"""An arm stays with its best while its mean is within one point of it or, where the metric's unit is not %, within one percent."""
SLOPE_DECIMALS = 2
"""A slope is a difference spread over several doublings, so it takes one decimal more."""


@dataclass(frozen=True)
class Effect:
    """One arm in one section, in the unit that the metric is stored in; NaN where there is no figure."""

    section: str
    arm: str
    n: int = 0
    """Replicates that have every batch size."""
    slope_per_doubling: float = math.nan
    """Mean change of the metric when the batch doubles, with the half-width of its 95 % t interval."""
    slope_half_width: float = math.nan
    area: float = math.nan
    """Mean metric over log2(batch size), likewise."""
    area_half_width: float = math.nan
    smallest_batch: str = ""
    """The smallest batch size that stays within `TOLERANCE` of the arm's best mean, going down from the best."""
    why_none: str = ""
    slope_against: Against = NOT_COMPARED
    area_against: Against = NOT_COMPARED


@register_table(
    "batch_size_effect",
    "What the batch size does",
    "The effect of the batch size as one number for each norm.",
    order=40,
)
def batch_size_effect_tables(study: Study) -> list[Table]:
    """A table for each section with two batch sizes or more; none where the columns are another setting."""
    if study.question.columns not in BATCH_SIZES:
        return []
    tables = []
    for section, conditions in study.conditions.items():
        sizes = pd.to_numeric([condition.column for condition in conditions], errors="coerce")
        if len(sizes) > 1 and all((sizes > 0) & (sizes < math.inf)):
            tables.append(_table(study, section, _effects(study, section, conditions, sizes)))
    return tables


def _effects(study: Study, section: str, conditions: Sequence[Condition], sizes: NDArray[np.float64]) -> list[Effect]:
    arms, baseline, metric = study.arms(section), study.question.baseline, study.question.facts
    value = study.question.on("test")
    names = sorted(
        {name for condition in conditions for name in condition.replicates}, key=float if study.looks else str
    )
    row_of = {name: row for row, name in enumerate(names)}
    curves = {arm: np.full((len(names), len(conditions)), math.nan) for arm in arms}  # (replicates, conditions)
    for place, condition in enumerate(conditions):
        rows = [row_of[name] for name in condition.replicates]
        for arm, curve in curves.items():
            curve[rows, place] = condition.array(arm, value)
    missing = {arm: _missing(conditions, arm, curve) for arm, curve in curves.items()}
    whole = {arm: curve for arm, curve in curves.items() if not missing[arm]}
    unpaired = {arm: _unpaired(study, conditions, arm) for arm in whole if baseline in whole}

    def summary(weigh: Callable[..., NDArray[np.float64]]) -> dict[str, tuple[Interval, Against]]:
        """By arm, the mean of a weighted sum of the metric's values, and its difference to the baseline's."""
        values = {arm: weigh(curve, sizes) for arm, curve in whole.items()}
        # A sum's rounding is that of the values times the length of the weights.
        step = float(np.linalg.norm(weigh(np.eye(len(sizes)), sizes)))
        step *= max(condition.resolution(value, metric) for condition in conditions)
        against = against_baseline(values, baseline, unpaired, step, study.looks)
        return {
            arm: (mean_interval(own, resolution=step), against.get(arm, NOT_COMPARED)) for arm, own in values.items()
        }

    slope_of, area_of = summary(slopes), summary(areas)
    effects = []
    for arm in arms:
        if missing[arm]:
            effects.append(Effect(section, arm, why_none=missing[arm]))
            continue
        (slope, slope_against), (area, area_against) = slope_of[arm], area_of[arm]
        effects.append(Effect(
            section, arm, int(slope.n), float(slope.mean), float(slope.half_width), float(area.mean),
            float(area.half_width), conditions[_smallest(sizes, curves[arm], metric)].column,
            "" if slope.n else "no replicate has every batch size", slope_against, area_against,
        ))  # fmt: skip
    return effects


def _missing(conditions: Sequence[Condition], arm: str, curve: NDArray[np.float64]) -> str:
    """Why an arm lacks batch sizes, and which; empty where it has figures at all."""
    reasons: dict[str, list[str]] = {}
    for condition, values in zip(conditions, curve.T, strict=True):
        if np.isnan(values).all():
            reasons.setdefault(why_none(condition, arm), []).append(condition.column)
    everywhere = [reason for reason, columns in reasons.items() if len(columns) == len(conditions)]
    return "; ".join(everywhere or [f"{reason} at {', '.join(columns)}" for reason, columns in reasons.items()])


def _unpaired(study: Study, conditions: Sequence[Condition], arm: str) -> str:
    reasons = (why_unpaired(study, condition, arm) for condition in conditions)
    return next((f"not paired: {reason}" for reason in reasons if reason), "")


def _smallest(sizes: NDArray[np.float64], curve: NDArray[np.float64], metric: Metric) -> int:
    """Going down from the batch size with the best mean, the place of the last one before the mean leaves the tolerance."""
    order = np.argsort(sizes)
    means = np.nanmean(curve, axis=0)[order] * (1 if metric.higher_is_better else -1)
    place = best = int(np.argmax(means))
    tolerance = TOLERANCE * (1 if metric.percent else abs(means[best]))
    while place > 0 and means[place - 1] >= means[best] - tolerance:
        place -= 1
    return int(order[place])


def _table(study: Study, section: str, effects: list[Effect]) -> Table:
    baseline, metric = study.question.baseline, study.question.facts
    unit, within = difference_unit(metric), f"{100 * TOLERANCE:g} {'point' if metric.percent else '%'}"

    def mean(value: float, half_width: float, decimals: int = 1, sign: bool = False) -> str:
        return with_half_width(value, half_width, metric, sign, decimals)

    def slope(row: Row) -> str:
        return mean(row.slope_per_doubling, row.slope_half_width, SLOPE_DECIMALS, sign=True)

    gains = "above" if metric.higher_is_better else "below"
    notes = [
        f"Slope: the line fitted to the {metric.title} over log2(batch size) by least squares, seed by seed. {gains.capitalize()} 0 "
        "the arm gains from larger batches. Mean ± half-width of its 95 % t interval over the n seeds that have every batch size.",
        f"Area: the mean {metric.title} over log2(batch size), by trapezoids.",
        f"Smallest batch within {within}: going down from the arm's best batch size, the last one at which its mean is within "
        f"{within} of its best. It compares an arm with itself, not with other arms.",
    ]
    if family := sum(effect.slope_against.n > 0 for effect in effects):
        kind, test = "t interval", "exact two-sided sign-flip test"
        if study.looks:
            kind, test = "interval over all looks", "two-sided, over all looks at the seeds"
        notes.append(
            f"− that of {baseline}: mean difference, seed by seed, with its 95 % {kind}. p: {test}, "
            f"corrected by Holm's method over the slopes and over the areas ({family} each)."
        )
    elif not any(effect.arm == baseline and not effect.why_none for effect in effects):
        notes.append(f"Nothing is compared: {baseline}, the baseline, has no figure here.")
    if any(effect.slope_against.clear or effect.area_against.clear for effect in effects):
        notes.append(f"Bold: differs from {baseline} by p and by interval.")
    if any(effect.why_none for effect in effects):
        notes.append(
            "An arm that lacks a batch size has no slope and no area: over fewer batch sizes they could not be compared."
        )
    return Table(
        name="batch_size_effect",
        title=f"Effect of the batch size on {title(study.question.on('test'), metric)}" + (f", {section}" if section else ""),
        columns=(
            Column(study.question.rows, "arm", label=True),
            Column("slope", "slope_per_doubling", slope, f"{unit} a doubling".strip()),
            *against_columns("slope", baseline, lambda row: row.slope_against, metric, "", SLOPE_DECIMALS),
            Column("area", "area", lambda row: mean(row.area, row.area_half_width), metric.unit),
            *against_columns("area", baseline, lambda row: row.area_against, metric, unit),
            Column("n", "n"),
            Column(f"smallest batch within {within}", "smallest_batch"),
        ),
        rows=effects,
        notes=(*notes, *divergence_notes(study.conditions[section])),
    )  # fmt: skip
