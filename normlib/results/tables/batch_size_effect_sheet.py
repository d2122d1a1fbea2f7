"""The effect of the batch size in words: slopes, areas and the smallest batch size that does no harm.

In: a study. Out: `Sheet`s. This file never computes a statistic.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from normlib.results.study.metrics import bracketed, difference_unit, figure, title
from normlib.results.study.study import Study
from normlib.results.tables.against_baseline import Against, difference_cell, p_cell
from normlib.results.tables.batch_size_effect import TOLERANCE, Effect, analyse
from normlib.results.tables.divergence import divergence_notes
from normlib.results.tables.sheet import EMPTY, Cell, Line, Sheet
from normlib.tasks.metric import Metric

SLOPE_DECIMALS = 2
"""A slope is a share of a difference over several doublings."""


def sheets(study: Study) -> list[Sheet]:
    """A sheet a section: slopes, areas and smallest batch sizes."""
    by_section: dict[str, list[Effect]] = {}
    for effect in analyse(study):
        by_section.setdefault(effect.section, []).append(effect)
    return [_sheet(study, section, effects) for section, effects in by_section.items()]


def _sheet(study: Study, section: str, effects: Sequence[Effect]) -> Sheet:
    baseline, metric = study.question.baseline, study.question.facts
    unit = difference_unit(metric)
    return Sheet(
        name="batch_size_effect",
        title=f"Effect of the batch size on {title(study.question.on('test'), metric)}" + (f", {section}" if section else ""),
        header=(
            study.question.rows, bracketed("slope", f"{unit} a doubling".strip()), f"slope − that of {baseline}",
            "p of the slope (Holm)", bracketed("area", metric.unit), bracketed(f"area − that of {baseline}", unit),
            "p of the area (Holm)", "n", f"smallest batch within {_tolerance(metric)}",
        ),
        lines=tuple(Line(effect.arm, _cells(effect, metric)) for effect in effects),
        notes=(*_notes(study, effects), *divergence_notes(study.conditions[section])),
        tidy=tuple(map(_tidy, effects)),
        in_terminal=False,
    )  # fmt: skip


def _tolerance(metric: Metric) -> str:
    return f"{100 * TOLERANCE:g} point" if metric.percent else f"{100 * TOLERANCE:g} %"


def _cells(effect: Effect, metric: Metric) -> tuple[Cell, ...]:
    if effect.why_none:
        return (Cell(effect.arm), Cell(effect.why_none), *[Cell(EMPTY)] * 7)
    slope = figure(effect.slope, metric, sign=True, decimals=SLOPE_DECIMALS, width=effect.slope_half_width)
    slope_width = (
        ""
        if effect.n < 2
        else f" ± {figure(effect.slope_half_width, metric, decimals=SLOPE_DECIMALS, width=effect.slope_half_width)}"
    )
    area_width = "" if effect.n < 2 else f" ± {figure(effect.area_half_width, metric, width=effect.area_half_width)}"
    return (
        Cell(effect.arm),
        Cell(slope + slope_width, effect.slope),
        difference_cell(effect.slope_against, metric, SLOPE_DECIMALS), p_cell(effect.slope_against),
        Cell(figure(effect.area, metric, width=effect.area_half_width) + area_width, effect.area),
        difference_cell(effect.area_against, metric), p_cell(effect.area_against),
        Cell(str(effect.n), float(effect.n)),
        Cell(effect.smallest_batch, float(effect.smallest_batch)),
    )  # fmt: skip


def _notes(study: Study, effects: Sequence[Effect]) -> tuple[str, ...]:
    baseline, metric = study.question.baseline, study.question.facts
    gains = "above" if metric.higher_is_better else "below"
    notes = [
        f"Slope: least squares of the {metric.title} over log2(batch size), seed by seed; {gains} 0 the arm gains from "
        "larger batches. Mean ± half-width of its 95 % t interval over the n seeds that have every batch size.",
        f"Area: the mean {metric.title} over log2(batch size), by trapezoids.",
        f"Smallest batch within {_tolerance(metric)}: going down from the arm's best batch size, the last one at which its "
        f"mean is within {_tolerance(metric)} of the best. Its own best: it says nothing of other arms.",
    ]
    compared = [each for effect in effects for each in (effect.slope_against, effect.area_against) if each and each.n]
    if compared:
        family = sum(bool(effect.slope_against and effect.slope_against.n) for effect in effects)
        notes.append(
            f"− that of {baseline}: mean difference, seed by seed, with its 95 % t interval. p: exact "
            f"two-sided sign-flip test after Holm's correction, over the {family} slopes and over the {family} areas."
        )
    elif not any(effect.arm == baseline and not effect.why_none for effect in effects):
        notes.append(f"Nothing is compared: {baseline}, the baseline, has no figure here.")
    if any(each.clear for each in compared):
        notes.append(f"Bold: differs from {baseline} by p and by interval.")
    if any(effect.why_none for effect in effects):
        notes.append("An arm that lacks a batch size has no slope and no area: over other batch sizes they are others.")
    return tuple(notes)


def _tidy(effect: Effect) -> Mapping[str, object]:
    line: dict[str, object] = {
        "section": effect.section, "arm": effect.arm, "n": effect.n, "slope_per_doubling": effect.slope,
        "slope_half_width": effect.slope_half_width, "area": effect.area, "area_half_width": effect.area_half_width,
        "smallest_batch": effect.smallest_batch, "why_none": effect.why_none,
    }  # fmt: skip
    for kind, against in (("slope", effect.slope_against), ("area", effect.area_against)):
        figures = dataclasses.asdict(against or Against())
        figures["too_few"] = str(figures["too_few"]).lower()
        line |= {f"{kind}_against_{key}": value for key, value in figures.items()}
    return line
