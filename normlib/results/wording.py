"""The words of comparisons: one in a sentence, or all of a condition in a line, never stronger than the figures.

In: `Comparison`s of one section, and the question. Out: sentences. verdicts.py puts them under their headings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from normlib.results.store.columns import BATCH_SIZES
from normlib.results.study.comparison import BETTER, EQUAL, NONE, SIGNIFICANCE, TOO_FEW, UNKNOWN, WORSE, Comparison
from normlib.results.study.looks import summary
from normlib.results.study.metrics import difference_unit, figure, with_unit
from normlib.results.study.question import Question
from normlib.results.tables.model import p_value


def sentence(comparison: Comparison, question: Question, family: int) -> str:
    """What one comparison shows, with its figures. `family` is the number of comparisons in its table."""
    arm, baseline, width = comparison.arm, comparison.baseline, comparison.half_width
    where = f"At {condition_words(question.columns, comparison.column)}, "
    if comparison.verdict == NONE:
        return f"{where}{arm} is not compared with {baseline} ({comparison.why_none})."
    size = amount(comparison.difference, question, sign=True, width=width)
    low, high = (amount(end, question, unit=False, sign=True, width=width) for end in (comparison.low, comparison.high))
    broken, unpaired = _diverged(comparison), f" (unpaired: {comparison.unpaired})" if comparison.unpaired else ""
    if comparison.verdict in (BETTER, WORSE):
        better = comparison.verdict == BETTER
        ends = sorted((abs(comparison.low), abs(comparison.high)))
        least, most = (amount(end, question, unit=False, width=width) for end in ends)
        inside = question.counts_as_equal(comparison.within)
        tail = f", which is less than the {question.region_words} that count as equal" if inside else ""
        won = f"{comparison.wins if better else comparison.losses} of {comparison.n} seeds"
        evidence = f"unpaired: {comparison.unpaired}; n = {comparison.n}" if comparison.unpaired else won
        return (
            f"{where}{arm} {'beats' if better else 'loses to'} {baseline} by "
            f"{amount(abs(comparison.difference), question, width=width)} ({least} to {most}; {evidence}; "
            f"p {_relation(comparison.p_holm)}){tail}{broken}."
        )
    if comparison.verdict == EQUAL:
        return (
            f"{where}{arm} is equal to {baseline} in practice: the difference is at most {_at_most(comparison, question)} either "
            f"way, and up to {question.region_words} count as equal."
        )
    if comparison.verdict == TOO_FEW:
        interval = "" if math.isnan(comparison.low) else f", {low} to {high}"
        needed = "" if comparison.unpaired else f"; {family} comparisons need {comparison.n_needed}"
        remark = f"unpaired: {comparison.unpaired}; " if comparison.unpaired else ""
        return (
            f"{where}{comparison.n} {'seed is' if comparison.n == 1 else 'seeds are'} too few to compare {arm} with "
            f"{baseline}{needed} ({remark}measured: {size}{interval}){broken}."
        )
    apart = comparison.low > 0 or comparison.high < 0
    if apart and comparison.p_holm <= SIGNIFICANCE:
        return f"{where}{arm} − {baseline} is {size} ({low} to {high}), without a verdict: {_contradiction(comparison)}{broken}."
    if apart:
        return (
            f"{where}there is no clear difference between {arm} and {baseline}{unpaired} after the correction for {family} "
            f"comparisons: {size} ({low} to {high}), p {_relation(comparison.p)}, corrected {p_value(comparison.p_holm)}{broken}."
        )
    return (
        f"{where}there is no clear difference between {arm} and {baseline}{unpaired}: it is at most "
        f"{_at_most(comparison, question)} either way{broken}."
    )


def digest(comparisons: Sequence[Comparison], question: Question, tuned: bool = False) -> list[str]:
    """A line for each condition of a section: which arms beat the baseline, lose to it, equal it, or show no clear difference.

    Then what the control says, and what was not compared. `tuned`: whether every arm has a chosen setting of its own.
    """
    by_column: dict[str, list[Comparison]] = {}
    for each in comparisons:
        if each.verdict != NONE:
            by_column.setdefault(each.column, []).append(each)
    lines = [_condition_line(found, question) for found in by_column.values()]
    lines += _noise_floor(comparisons, question, tuned) + _not_compared(comparisons)
    return [*lines, *([f"Seeds until it is decided: {said}."] if (said := summary(comparisons)) else [])]


def condition_words(axis: str, column: str) -> str:
    """A condition as a reader says it: "batch 2", "optimizer.lr=0.1"."""
    return f"batch {column}" if axis in BATCH_SIZES else f"{axis}={column}"


def amount(value: float, question: Question, unit: bool = True, sign: bool = False, width: float = math.nan) -> str:
    """A difference in the metric's unit, points where that is %; `width` is the half-width of its interval."""
    text = figure(value, question.facts, sign, width=width)
    return with_unit(text, difference_unit(question.facts) if unit else "")


def _condition_line(found: Sequence[Comparison], question: Question) -> str:
    """One condition in one sentence; arms in the order of their differences, the best first."""
    baseline, sign = found[0].baseline, -1 if question.facts.higher_is_better else 1
    words = {
        BETTER: ("{arms} beats {baseline}", "{arms} beat {baseline}"),
        WORSE: ("{arms} loses to {baseline}", "{arms} lose to {baseline}"),
        EQUAL: ("{arms} is equal to {baseline} in practice", "{arms} are equal to {baseline} in practice"),
        UNKNOWN: ("no clear difference to {baseline}: {arms}",) * 2,
        TOO_FEW: ("too few seeds to compare with {baseline}: {arms}",) * 2,
    }
    clauses = []
    for verdict, (one, several) in words.items():
        arms = sorted((each for each in found if each.verdict == verdict), key=lambda each: sign * each.difference)
        named = [f"{each.arm} ({', '.join(_aside(each, question))})" for each in arms]
        if named:
            listed = " and ".join(filter(None, (", ".join(named[:-1]), named[-1])))
            clauses.append((several if len(named) > 1 else one).format(arms=listed, baseline=baseline))
    return f"At {condition_words(question.columns, found[0].column)}, {'; '.join(clauses)}."


def _aside(comparison: Comparison, question: Question) -> list[str]:
    """The difference in brackets behind an arm's name, with whatever it must not be read without."""
    said = [amount(comparison.difference, question, unit=False, sign=True, width=comparison.half_width)]
    said += ["unpaired"] if comparison.unpaired else []
    if comparison.verdict == TOO_FEW:
        said.append(f"n={comparison.n}" + ("" if comparison.unpaired else f" of {comparison.n_needed} needed"))
    said += [f"{comparison.diverged} diverged"] if comparison.diverged else []
    said += (
        [f"{comparison.baseline_diverged} of {comparison.baseline} diverged"] if comparison.baseline_diverged else []
    )
    return said


def _not_compared(comparisons: Sequence[Comparison]) -> list[str]:
    """A line for each reason why comparisons could not be made, with the conditions unless it is all of them."""
    columns: dict[str, dict[str, None]] = {}
    for each in comparisons:
        if each.verdict == NONE:
            columns.setdefault(each.why_none, {})[each.column] = None
    everywhere = len({each.column for each in comparisons})
    return [
        f"Not compared: {why}" + ("." if len(found) == everywhere else f" (at {', '.join(found)}).")
        for why, found in columns.items()
    ]


def _noise_floor(comparisons: Sequence[Comparison], question: Question, tuned: bool) -> list[str]:
    """What the control says: how far the same norm ends from itself on another trajectory, if it takes another."""
    control = [each for each in comparisons if each.control and each.n]
    if not control:
        return []
    name, baseline = control[0].arm, control[0].baseline
    pairs, same = sum(each.n for each in control), sum(each.ties for each in control)
    if 2 * same > pairs:
        return [
            f"Noise floor: {name} is {baseline} with slightly different scales at the start. In {same} of {pairs} pairs it ended at "
            "the very same figure, so here it says little about the noise."
        ]
    widest = max(control, key=lambda each: abs(each.difference))
    told = [each.column for each in control if each.verdict in (BETTER, WORSE)]
    if tuned:
        verdict = "This includes what the choice of its own setting adds."
    elif all(each.verdict == TOO_FEW for each in control):
        verdict = "With so few seeds no difference could show."
    elif told:
        verdict = f"It differs clearly at {', '.join(told)}, so this table says more than its data do."
    else:
        verdict = "No comparison shows a clear difference, as it should be."
    size = amount(abs(widest.difference), question, width=widest.half_width)
    return [
        f"Noise floor: {name} is {baseline} on another trajectory. Its mean differs by up to {size} (at "
        f"{condition_words(question.columns, widest.column)}). {verdict}"
    ]


def _contradiction(comparison: Comparison) -> str:
    """Why a clear mean difference is no verdict."""
    if comparison.wins + comparison.ties + comparison.losses != comparison.n:
        return "some diverged runs have no figure"
    return f"{comparison.arm} is ahead in {comparison.wins} of {comparison.n} seeds"


def _diverged(comparison: Comparison) -> str:
    """What the mean alone does not tell: how many runs diverged."""
    counts = {comparison.arm: comparison.diverged, comparison.baseline: comparison.baseline_diverged}
    words = [f"{count} {'run' if count == 1 else 'runs'} of {name}" for name, count in counts.items() if count]
    return f"; {' and '.join(words)} diverged" if words else ""


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
    return text if text.startswith("<") else f"= {text}"
