"""Speed to a target in words: medians with intervals, how many got there, and the ratios to the baseline.

In: a study. Out: `Sheet`s. This file never computes a statistic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from normlib.results.study.metrics import bracketed, figure, scale, with_unit
from normlib.results.study.question import Question
from normlib.results.study.study import Study
from normlib.results.tables.divergence import divergence_notes
from normlib.results.tables.sheet import EMPTY, Cell, Line, Sheet, number, sorted_by
from normlib.results.tables.speed import SHARE_OF_BASELINE, Speed, analyse
from normlib.results.tables.wording import amount_with_interval
from normlib.tasks.metric import Metric


def sheets(study: Study) -> list[Sheet]:
    """A sheet a section, or one that says why there is none."""
    question = study.question
    if question.on("validation") not in study.runs:
        return []
    if question.target is None and question.baseline not in study.places.row_labels:
        note = (
            f"Without a target there is no speed: none was set, and the baseline, {question.baseline!r}, is none of the rows, "
            f"so that none follows from it. Set one with {_example(question.facts)}, or choose baseline=..."
        )
        return [Sheet("speed", f"Speed to {question.facts.title}", (), (), (note,), in_terminal=False)]
    by_section: dict[str, list[Speed]] = {}
    for speed in analyse(study):
        by_section.setdefault(speed.section, []).append(speed)
    return [_sheet(study, section, speeds) for section, speeds in by_section.items()]


def _sheet(study: Study, section: str, speeds: Sequence[Speed]) -> Sheet:
    question = study.question
    return Sheet(
        name="speed",
        title=f"Speed to {question.facts.title}" + (f", {section}" if section else ""),
        header=(
            question.columns, question.rows, bracketed("target", question.facts.unit), "reached", "steps", "samples", "seconds",
            f"times fewer steps than {question.baseline}", f"times fewer seconds than {question.baseline}",
        ),
        lines=tuple(Line(speed.arm, _cells(speed, question)) for speed in speeds),
        notes=(
            *_notes(study, speeds),
            *divergence_notes(
                study.conditions[section], "they count as not reaching the target, whatever they showed on the way"
            ),
        ),
        tidy=tuple(map(_tidy, speeds)),
        num_labels=2,
        in_terminal=False,
    )  # fmt: skip


def _cells(speed: Speed, question: Question) -> tuple[Cell, ...]:
    baseline = question.baseline
    labels = (Cell(speed.column, number(speed.column)), Cell(speed.arm))
    target = Cell(figure(speed.target, question.facts), sorted_by(speed.target))
    if speed.why_none:
        return (*labels, target, Cell(speed.why_none), *[Cell(EMPTY)] * 5)
    takes = (
        Cell(amount_with_interval(*spread), sorted_by(spread[0]))
        for spread in (speed.steps, speed.samples, speed.seconds)
    )
    if speed.why_no_ratio or speed.arm == baseline:
        ratios = [Cell(EMPTY if speed.arm == baseline else speed.why_no_ratio)] * 2
    else:
        ratios = [
            Cell(amount_with_interval(*spread), sorted_by(spread[0]))
            for spread in (speed.fewer_steps, speed.fewer_seconds)
        ]
    return (*labels, target, Cell(f"{speed.reached}/{speed.n}", speed.reached / speed.n), *takes, *ratios)


def _notes(study: Study, speeds: Sequence[Speed]) -> tuple[str, ...]:
    question = study.question
    metric = question.facts
    share, above = f"{100 * SHARE_OF_BASELINE:g} %", "above" if metric.higher_is_better else "below"
    final = f"mean final {metric.title} on validation of {question.baseline} in the same condition"
    if question.target is not None:
        asked = with_unit(f"{scale(metric) * question.target:g}", metric.unit)
        target = f"{asked} {metric.title} on validation, set beforehand (target={question.target:g})"
    elif metric.higher_is_better:
        target = f"{share} of the {final} (target=null; {_example(metric)} sets another)"
    else:
        target = f"the figure of which the {final} is {share} (target=null; {_example(metric)} sets another)"
    notes = [
        f"Target: {target}. Steps, samples and seconds of training to the first evaluation at or {above} it.",
        "Median over replicates with its 95 % interval from order statistics, which takes 6 replicates or more. ∞: not reached. "
        "Reached k/n: k of n replicates got there; the others count as ∞.",
        f"Times fewer: the median over replicates of {question.baseline} / arm, replicate by replicate; below 1 the arm takes "
        "more.",
    ]
    undefined = sum(speed.undefined for speed in speeds)
    if undefined:
        notes.append(
            f"Where neither gets there, there is no ratio; so it is in {undefined} pairs, which the medians leave out."
        )
    most = max((speed.evaluations for speed in speeds), default=0)
    if most == 1:
        notes.append(
            "Runs were looked at only once, at their end, so a run that got there shows its full length. "
            "evaluation.points=20 looks 20 times."
        )
    elif most:
        gaps = sorted({speed.steps_apart for speed in speeds if speed.steps_apart == speed.steps_apart})
        apart = f"{gaps[0]:g}" if len(gaps) == 1 else f"{gaps[0]:g} to {gaps[-1]:g}, by condition"
        notes.append(f"Evaluations are {apart} steps apart: figures are no finer than that.")
    return tuple(notes)


def _example(metric: Metric) -> str:
    return "target=0.9 (a fraction)" if metric.percent else "target=..."


def _tidy(speed: Speed) -> Mapping[str, object]:
    line: dict[str, object] = {
        "section": speed.section, "column": speed.column, "arm": speed.arm, "target": speed.target, "n": speed.n,
        "reached": speed.reached,
    }  # fmt: skip
    for name in ("steps", "samples", "seconds", "fewer_steps", "fewer_seconds"):
        median, low, high = getattr(speed, name)
        line |= {f"{name}_median": median, f"{name}_low": low, f"{name}_high": high}
    return line | {
        "undefined_ratios": speed.undefined, "steps_apart": speed.steps_apart, "why_none": speed.why_none,
        "why_no_ratio": speed.why_no_ratio,
    }  # fmt: skip
