"""The paired table in words: a grid of differences for one look, and every figure of every comparison.

In: `Comparison`s. Out: `Sheet`s. This file never computes a statistic.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from normlib.results.study.comparison import BETTER, EQUAL, NONE, SIGNIFICANCE, TOO_FEW, UNKNOWN, WORSE, Comparison
from normlib.results.study.metrics import bracketed, difference_unit, figure, in_unit
from normlib.results.study.question import Question
from normlib.results.study.study import Study
from normlib.results.tables.means_sheet import title
from normlib.results.tables.sheet import EMPTY, Cell, Line, Sheet, number, p_value, sorted_by

WORDS = {
    BETTER: "better", WORSE: "worse", EQUAL: "equal in practice", UNKNOWN: "not told apart",
}  # fmt: skip


def difference_sheets(study: Study, comparisons: Sequence[Comparison]) -> list[Sheet]:
    """By section, the mean differences to the baseline with their intervals: arms × conditions."""
    sheets = []
    for section, mine in _by_section(study, comparisons).items():
        columns = tuple(dict.fromkeys(each.column for each in mine))
        by_place = {(each.arm, each.column): each for each in mine}
        arms = tuple(arm for arm in study.arms(section) if any(each.arm == arm for each in mine))
        usual_n = _usual_n(mine)
        lines = []
        for arm in arms:
            cells = [_grid_cell(study, by_place.get((arm, column)), usual_n) for column in columns]
            lines.append(Line(arm, (Cell(arm), *cells)))
        question = study.question
        sheets.append(Sheet(
            name="differences",
            title=f"{title(question.value, question.facts, section)}: "
            + in_unit(f"difference to {question.baseline}", "points" if question.facts.percent else ""),
            header=(f"{question.rows} \\ {question.columns}", *columns),
            lines=tuple(lines),
            notes=_grid_notes(study, mine, usual_n),
            tidy=tuple(_tidy(each) for each in mine),
        ))  # fmt: skip
    return sheets


def paired_sheets(study: Study, comparisons: Sequence[Comparison]) -> list[Sheet]:
    """By section, a line for each comparison: difference, outperformance, p, Holm, n, correlation, verdict."""
    sheets = []
    question = study.question
    header = (
        question.columns, question.rows, bracketed("difference", difference_unit(question.facts)), "outperforms (%)", "p", "p (Holm)", "n", "r", "verdict",
    )  # fmt: skip
    for section, mine in _by_section(study, comparisons).items():
        lines = tuple(Line(each.arm, _cells(study, each)) for each in mine)
        heading = f"{title(question.value, question.facts, section)}: every arm against {question.baseline}"
        sheets.append(
            Sheet(
                "paired", heading, header, lines, _notes(study, mine), tuple(map(_tidy, mine)), num_labels=2,
                in_terminal=False,
            )
        )  # fmt: skip
    return sheets


def no_baseline_sheet(study: Study) -> Sheet:
    """What stands in the place of the paired table where the baseline is none of the rows."""
    question = study.question
    rows = ", ".join(study.places.row_labels)
    note = (
        f"Nothing is compared: the baseline, {question.baseline!r}, is none of the rows ({question.rows}: {rows}). "
        "Choose one with baseline=..."
    )
    return Sheet("differences", f"Differences to {question.baseline}", (), (), (note,))


def _by_section(study: Study, comparisons: Sequence[Comparison]) -> dict[str, list[Comparison]]:
    by_section: dict[str, list[Comparison]] = {section: [] for section in study.places.sections}
    for comparison in comparisons:
        by_section[comparison.section].append(comparison)
    return {section: mine for section, mine in by_section.items() if mine}


def _grid_cell(study: Study, comparison: Comparison | None, usual_n: int) -> Cell:
    if comparison is None:
        return Cell(EMPTY)
    if comparison.verdict == NONE:
        return Cell(_short(comparison.why_none, comparison.arm))
    metric, half_width = study.question.facts, comparison.half_width
    text = figure(comparison.difference, metric, sign=True, width=half_width)
    if half_width == half_width:
        text += f" ± {figure(half_width, metric, width=half_width)}"
    if study.question.counts_as_equal(comparison.within):
        text += " ≈"
    if comparison.unpaired:
        text += ", unpaired"
    if comparison.diverged:
        text += f", diverged {comparison.diverged}"
    if comparison.verdict == TOO_FEW:
        text += f", n={comparison.n} cannot show it; {comparison.n_needed} needed"
    elif comparison.n != usual_n:
        text += f", n={comparison.n}"
    return Cell(text, comparison.difference, comparison.verdict in (BETTER, WORSE))


def _cells(study: Study, each: Comparison) -> tuple[Cell, ...]:
    if each.verdict == NONE:
        figures = [Cell(EMPTY)] * 4 + [Cell("0", 0.0), Cell(EMPTY), Cell(_short(each.why_none, each.arm))]
        return (Cell(each.column, number(each.column)), Cell(each.arm), *figures)
    verdict = WORDS.get(each.verdict, f"n={each.n} cannot show it; {each.n_needed} needed")
    return (
        Cell(each.column, number(each.column)),
        Cell(each.arm),
        Cell(_with_interval(study, each), each.difference, each.verdict in (BETTER, WORSE)),
        Cell(_outperforms(each), sorted_by(each.outperforms)),
        Cell(p_value(each.p), sorted_by(each.p)),
        Cell(p_value(each.p_holm), sorted_by(each.p_holm)),
        Cell(str(each.n), float(each.n)),
        Cell(_correlation(each.correlation), sorted_by(each.correlation)),
        Cell(verdict + _remarks(each)),
    )  # fmt: skip


def _grid_notes(study: Study, mine: Sequence[Comparison], usual_n: int) -> tuple[str, ...]:
    question = study.question
    width = ", ± half-width of its 95 % t interval" if any(each.low == each.low for each in mine) else ""
    notes = [
        f"Mean of arm − {question.baseline}, seed by seed{width}; n = {usual_n}"
        + (", unless a cell says otherwise." if any(each.n not in (0, usual_n) for each in mine) else ".")
    ]
    family = sum(each.p == each.p for each in mine)
    if any(each.verdict in (BETTER, WORSE) for each in mine):
        notes.append(
            f"Bold: differs from {question.baseline} (exact sign-flip test, p ≤ {SIGNIFICANCE} after Holm's correction for "
            f"the {_comparisons(family)} of this table)."
        )
    if any(study.question.counts_as_equal(each.within) for each in mine):
        notes.append(f"≈: equal in practice, the interval lies within ± {question.region_words}.")
    return tuple(notes + _direction(question) + _common_notes(mine, family))


def _notes(study: Study, mine: Sequence[Comparison]) -> tuple[str, ...]:
    question = study.question
    family = sum(each.p == each.p for each in mine)
    notes = [
        f"Difference: mean of arm − {question.baseline}, seed by seed, with its 95 % t interval.",
        "Outperforms: the share of seeds in which the arm is ahead, ties half, a diverged run as a loss; "
        "Clopper–Pearson interval.",
        "p: two-sided sign-flip test of the mean difference, exact up to 40 seeds; p (Holm): corrected for the "
        f"{_comparisons(family)} of this table. r: correlation within pairs.",
        f"Equal in practice: the interval lies within ± {question.region_words} (rope={question.region_words.partition(' ')[0]})."
        if question.region is not None
        else "Nothing is equal in practice, since nobody has said which differences do not matter: rope=... does.",
    ]
    return tuple(notes + _direction(question) + _common_notes(mine, family))


def _direction(question: Question) -> list[str]:
    """Where less is better, a reader has to be told."""
    if question.facts.higher_is_better:
        return []
    return [f"Lower {question.facts.title} is better: below 0 the arm is ahead of {question.baseline}."]


def _comparisons(family: int) -> str:
    return "comparison" if family == 1 else f"{family} comparisons"


def _common_notes(mine: Sequence[Comparison], family: int) -> list[str]:
    notes = []
    too_few = [each for each in mine if each.verdict == TOO_FEW]
    if too_few:
        notes.append(
            f"n cannot show it: the smallest p of n replicates, 2/2ⁿ, is above {SIGNIFICANCE} once it is corrected for the "
            f"{_comparisons(family)} of this table; {too_few[0].n_needed} replicates are needed. It does not mean that there "
            "is no difference."
        )
    if any(each.diverged for each in mine):
        notes.append("diverged: so many runs of the arm; they count with what they score, and as lost.")
    if any(each.unpaired for each in mine):
        notes.append("unpaired: the runs share no seeds or no batches, so that two samples are compared (Welch's t).")
    return notes


def _tidy(each: Comparison) -> dict[str, object]:
    return dataclasses.asdict(each)


def _usual_n(mine: Sequence[Comparison]) -> int:
    counts = [each.n for each in mine if each.n]
    return max(set(counts), key=counts.count) if counts else 0


def _remarks(each: Comparison) -> str:
    """What a verdict must not be read without."""
    remarks = [f"unpaired: {each.unpaired}"] if each.unpaired else []
    remarks += [f"{each.diverged} diverged"] if each.diverged else []
    remarks += [f"{each.baseline_diverged} of {each.baseline} diverged"] if each.baseline_diverged else []
    return f" ({'; '.join(remarks)})" if remarks else ""


def _short(why_none: str, arm: str) -> str:
    """Why there is no comparison; whose fault it is is said only where it is not the arm's own."""
    return why_none.removeprefix(f"{arm}: ")


def _with_interval(study: Study, each: Comparison) -> str:
    text, low, high = (
        figure(value, study.question.facts, sign=True, width=each.half_width)
        for value in (each.difference, each.low, each.high)
    )
    return f"{text} ({low} to {high})" if each.low == each.low else text


def _outperforms(each: Comparison) -> str:
    share, low, high = (100 * x for x in (each.outperforms, each.outperforms_low, each.outperforms_high))
    return EMPTY if share != share else f"{share:.0f} ({low:.0f} to {high:.0f})"


def _correlation(r: float) -> str:
    return EMPTY if r != r else f"{r:.2f}".replace("-", "−")
