"""Verdicts: the figures of a comparison in one sentence, never stronger than they are.

In: `Comparison`s and the question. Out: a sentence each, and a headline. This file computes nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from normlib.results.store.columns import BATCH_SIZES
from normlib.results.study.comparison import BETTER, EQUAL, NONE, SIGNIFICANCE, TOO_FEW, WORSE, Comparison
from normlib.results.study.metrics import bracketed, difference_unit, direction, figure, scale, with_unit
from normlib.results.study.question import Question
from normlib.results.tables.model import p_value


def sentence(comparison: Comparison, question: Question, family: int) -> str:
    """What one comparison shows, with its figures. `family` is the number of comparisons in its table."""
    arm, baseline = comparison.arm, comparison.baseline
    where = f"At {condition_words(question.columns, comparison.column)}, "
    if comparison.verdict == NONE:
        return f"{where}{arm} and {baseline} are not compared: {comparison.why_none}."
    width = comparison.half_width
    size = amount(comparison.difference, question, sign=True, width=width)
    low, high = (amount(end, question, unit=False, sign=True, width=width) for end in (comparison.low, comparison.high))
    if comparison.verdict in (BETTER, WORSE):
        better = comparison.verdict == BETTER
        least, most = sorted((abs(comparison.low), abs(comparison.high)))
        inside = question.counts_as_equal(comparison.within)
        tail = f", which is less than the {region_words(question)} that count as equal" if inside else ""
        return (
            f"{where}{arm} {'beats' if better else 'loses to'} {baseline} by {amount(abs(comparison.difference), question, width=width)} "
            f"({amount(least, question, unit=False, width=width)} to {amount(most, question, unit=False, width=width)}; "
            f"{_evidence(comparison, better)}; p {_relation(comparison.p_holm)}){tail}{_diverged(comparison)}."
        )
    if comparison.verdict == EQUAL:
        return (
            f"{where}{arm} and {baseline} are equal for practical purposes: the difference is within "
            f"{_at_most(comparison, question)} either way, and {region_words(question, unit=False)} count as equal."
        )
    if comparison.verdict == TOO_FEW:
        if comparison.unpaired:
            return f"{where}n={comparison.n} is too few to compare {arm} and {baseline} ({comparison.unpaired}; measured: {size})."
        measured = f"measured: {size}" if comparison.low != comparison.low else f"measured: {size}, {low} to {high}"
        return (
            f"{where}n={comparison.n} cannot show a difference between {arm} and {baseline} among {family} comparisons; "
            f"{comparison.n_needed} needed ({measured}){_diverged(comparison)}."
        )
    unpaired = f" (unpaired: {comparison.unpaired})" if comparison.unpaired else ""
    if (comparison.low > 0 or comparison.high < 0) and comparison.p_holm <= SIGNIFICANCE:
        return f"{where}{arm} − {baseline} is {size} ({low} to {high}), but there is no verdict{_diverged(comparison)}."
    if comparison.low > 0 or comparison.high < 0:
        return (
            f"{where}{arm} and {baseline} cannot be told apart once {family} comparisons are corrected for{unpaired}: "
            f"{size} ({low} to {high}), p {_relation(comparison.p)}, corrected {p_value(comparison.p_holm)}{_diverged(comparison)}."
        )
    return (
        f"{where}{arm} and {baseline} cannot be told apart{unpaired}: the difference is within "
        f"{_at_most(comparison, question)} either way{_diverged(comparison)}."
    )


def verdicts(comparisons: Sequence[Comparison], question: Question) -> dict[str, list[tuple[Comparison, str]]]:
    """Every comparison with its sentence, by section."""
    by_section: dict[str, list[Comparison]] = {}
    for comparison in comparisons:
        by_section.setdefault(comparison.section, []).append(comparison)
    return {
        section: [(each, sentence(each, question, sum(other.p == other.p for other in mine))) for each in mine]
        for section, mine in by_section.items()
    }


def headline(comparisons: Sequence[Comparison], question: Question) -> str | None:
    """The sentence on the largest difference that is beyond doubt, or None if there is none."""
    clear = [each for each in comparisons if each.verdict in (BETTER, WORSE) and not each.control]
    if not clear:
        return None
    largest = max(clear, key=lambda each: abs(each.difference))
    section = f"{largest.section}: " if largest.section else ""
    family = sum(each.p == each.p for each in comparisons if each.section == largest.section)
    return section + sentence(largest, question, family)


def what_p_is(question: Question) -> str:
    """The line under the verdicts that says how they are come by."""
    metric = question.facts
    unit = f"points of {metric.title}" if metric.percent else bracketed(metric.title, metric.unit)
    return (
        f"Differences are arm − {question.baseline} in {unit}, of which {direction(metric)} is better, with 95 % intervals; p is that of the exact sign-flip test "
        "(where runs are unpaired, of Welch's t), corrected (Holm) for all comparisons of a table."
    )


def _evidence(comparison: Comparison, better: bool) -> str:
    """How many of the replicates agree with the sentence, or that there are no pairs."""
    if comparison.unpaired:
        return f"unpaired: {comparison.unpaired}; n = {comparison.n}"
    return f"{comparison.wins if better else comparison.losses} of {comparison.n} seeds"


def _diverged(comparison: Comparison) -> str:
    """What the mean alone does not tell: how many runs diverged."""
    counts = {comparison.arm: comparison.diverged, comparison.baseline: comparison.baseline_diverged}
    words = [f"{count} {'run' if count == 1 else 'runs'} of {name}" for name, count in counts.items() if count]
    return f"; {' and '.join(words)} diverged" if words else ""


def condition_words(axis: str, column: str) -> str:
    return f"batch {column}" if axis in BATCH_SIZES else f"{axis}={column}"


def amount(value: float, question: Question, unit: bool = True, sign: bool = False, width: float = math.nan) -> str:
    """A difference in the metric's unit, points where that is %; `width` is the half-width of its interval."""
    text = figure(value, question.facts, sign, width=width)
    return with_unit(text, difference_unit(question.facts) if unit else "")


def region_words(question: Question, unit: bool = True) -> str:
    """The largest difference that is equal in practice: "0.5 points"."""
    return with_unit(
        f"{(question.region or 0.0) * scale(question.facts):g}", difference_unit(question.facts) if unit else ""
    )


def _at_most(comparison: Comparison, question: Question) -> str:
    """The difference either way as `amount` writes it, rounded up: a bound that is given must hold."""
    value, width = comparison.within, comparison.half_width
    if question.facts.percent:
        last_digit = 0.001
    else:
        last_digit = 10.0 ** (math.floor(math.log10(width)) - 1) if 0 < width < math.inf else 0.0
    return amount(math.ceil(value / last_digit - 1e-6) * last_digit if last_digit else value, question, width=width)


def _relation(p: float) -> str:
    text = p_value(p)
    return text if re.match("<", text) else f"= {text}"
