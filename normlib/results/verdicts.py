"""Verdicts: the figures of a comparison in one sentence, never stronger than they are.

In: `Comparison`s and the question. Out: a sentence each, a line for each condition, and a headline. This file computes nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from normlib.results.comparison import BETTER, EQUAL, NONE, SIGNIFICANCE, TOO_FEW, UNKNOWN, WORSE, Comparison
from normlib.results.sheet import p_value, points
from normlib.results.study import Question
from normlib.results.writers import markdown_text


def sentence(comparison: Comparison, question: Question, family: int) -> str:
    """What one comparison shows, with its figures. `family` is the number of comparisons in its table."""
    arm, baseline = comparison.arm, comparison.baseline
    where = f"At {_condition(question.columns, comparison.column)}, "
    if comparison.verdict == NONE:
        return f"{where}{arm} and {baseline} are not compared: {comparison.why_none}."
    size = _amount(comparison.difference, question, sign=True)
    low, high = (_amount(end, question, unit=False, sign=True) for end in (comparison.low, comparison.high))
    if comparison.verdict in (BETTER, WORSE):
        better = comparison.verdict == BETTER
        least, most = sorted((abs(comparison.low), abs(comparison.high)))
        inside = _is_accuracy(question) and comparison.within <= question.rope / 100
        tail = f", which is less than the {question.rope:g} points that count as equal" if inside else ""
        return (
            f"{where}{arm} {'beats' if better else 'loses to'} {baseline} by {_amount(abs(comparison.difference), question)} "
            f"({_amount(least, question, unit=False)} to {_amount(most, question, unit=False)}; "
            f"{_evidence(comparison, better)}; p {_relation(comparison.p_holm)}){tail}{_diverged(comparison)}."
        )
    if comparison.verdict == EQUAL:
        return (
            f"{where}{arm} and {baseline} are equal for practical purposes: the difference is within "
            f"{_at_most(comparison.within, question)} either way, and {question.rope:g} count as equal."
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
        f"{_at_most(comparison.within, question)} either way{_diverged(comparison)}."
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


def digest(comparisons: Sequence[Comparison], question: Question, tuned: bool = False) -> dict[str, list[str]]:
    """A line for each condition, by section: who beats the baseline, who loses to it, who cannot be told from it.

    `tuned`: whether every arm has chosen a setting of its own, the control too.
    """
    lines: dict[str, list[str]] = {}
    for section, said in verdicts(comparisons, question).items():
        mine = [comparison for comparison, _ in said]
        by_column: dict[str, list[Comparison]] = {}
        for comparison in mine:
            by_column.setdefault(comparison.column, []).append(comparison)
        compared = {column: [each for each in found if each.verdict != NONE] for column, found in by_column.items()}
        lines[section] = [_digest_of_condition(found, question) for found in compared.values() if found]
        lines[section] += _noise_floor(mine, question, tuned) + _not_compared(mine, question)
    return lines


def headline(comparisons: Sequence[Comparison], question: Question) -> str | None:
    """The sentence on the largest difference that is beyond doubt, or None if there is none."""
    clear = [each for each in comparisons if each.verdict in (BETTER, WORSE) and not is_control(each.arm, question)]
    if not clear:
        return None
    largest = max(clear, key=lambda each: abs(each.difference))
    section = f"{largest.section}: " if largest.section else ""
    family = sum(each.p == each.p for each in comparisons if each.section == largest.section)
    return section + sentence(largest, question, family)


def what_p_is(question: Question) -> str:
    """The line under the verdicts that says how they are come by."""
    unit = "points of accuracy" if _is_accuracy(question) else question.value
    return (
        f"Differences are arm − {question.baseline} in {unit}, with 95 % intervals; p is that of the exact sign-flip test "
        "(where runs are unpaired, of Welch's t), corrected (Holm) for all comparisons of a table."
    )


def verdicts_markdown(comparisons: Sequence[Comparison], question: Question, tuned: bool = False) -> str:
    """The headline, a line for each condition, then every comparison, as Markdown."""
    said, lines = verdicts(comparisons, question), []
    first = headline(comparisons, question)
    lines += [markdown_text(first), ""] if first else []
    lines += [what_p_is(question), ""] if comparisons else []
    for section, digested in digest(comparisons, question, tuned).items():
        lines += [f"## {markdown_text(section)}" if section else "## Verdicts", ""]
        lines += [f"- {markdown_text(line)}" for line in digested]
        lines += ["", "Each comparison:", "", *(f"- {markdown_text(text)}" for _, text in said[section]), ""]
    return "\n".join(lines)


def is_control(arm: str, question: Question) -> bool:
    """Whether an arm is the baseline under a second name."""
    return arm == f"{question.baseline}_control"


def _digest_of_condition(found: Sequence[Comparison], question: Question) -> str:
    """One condition in one sentence; arms in the order of their differences."""
    baseline = found[0].baseline
    words = {
        BETTER: ("beats {}", "beat {}"),
        WORSE: ("loses to {}", "lose to {}"),
        EQUAL: ("is equal to {} for practical purposes", "are equal to {} for practical purposes"),
        UNKNOWN: ("cannot be told from {}",) * 2,
        TOO_FEW: ("too few seeds to show a difference to {}",) * 2,
    }
    clauses = []
    for verdict, (one, several) in words.items():
        arms = sorted((each for each in found if each.verdict == verdict), key=lambda each: -each.difference)
        if arms:
            listed = _listed([f"{each.arm} ({', '.join(_aside(each, question))})" for each in arms])
            said = (several if len(arms) > 1 else one).format(baseline)
            clauses.append(f"{said}: {listed}" if verdict == TOO_FEW else f"{listed} {said}")
    return f"At {_condition(question.columns, found[0].column)}, {'; '.join(clauses)}."


def _aside(comparison: Comparison, question: Question) -> list[str]:
    """The difference in brackets behind an arm's name, with whatever it must not be read without."""
    said = [_amount(comparison.difference, question, unit=False, sign=True)]
    said += ["unpaired"] if comparison.unpaired else []
    if comparison.verdict == TOO_FEW:
        said.append(f"n={comparison.n}" + ("" if comparison.unpaired else f" of {comparison.n_needed} needed"))
    said += [f"{comparison.diverged} diverged"] if comparison.diverged else []
    return said + (
        [f"{comparison.baseline_diverged} of {comparison.baseline} diverged"] if comparison.baseline_diverged else []
    )


def _not_compared(comparisons: Sequence[Comparison], question: Question) -> list[str]:
    """A line for each reason why comparisons could not be made, with where that is."""
    columns: dict[str, list[str]] = {}
    for each in comparisons:
        if each.verdict == NONE:
            columns.setdefault(each.why_none, []).append(each.column)
    everywhere = len({each.column for each in comparisons})
    return [
        f"Not compared: {why}" + ("." if len(set(found)) == everywhere else f" (at {', '.join(dict.fromkeys(found))}).")
        for why, found in columns.items()
    ]


def _noise_floor(comparisons: Sequence[Comparison], question: Question, tuned: bool) -> list[str]:
    """What the control says: how far the same norm ends from itself on another trajectory, if it takes another."""
    control = [each for each in comparisons if is_control(each.arm, question) and each.n]
    if not control:
        return []
    name, baseline = control[0].arm, control[0].baseline
    pairs, same = sum(each.n for each in control), sum(each.ties for each in control)
    if 2 * same > pairs:
        return [
            f"Noise floor: {name}, which is {baseline} with another start of its scales, ended at the very same figure in {same} "
            f"of {pairs} pairs: here it hardly takes another trajectory, and says little of the noise."
        ]
    widest = max(control, key=lambda each: abs(each.difference))
    told = [each.column for each in control if each.verdict in (BETTER, WORSE)]
    if tuned:
        verdict = "which includes what the choice of its own setting adds"
    elif all(each.verdict == TOO_FEW for each in control):
        verdict = "and with so few seeds nothing could tell it apart"
    elif told:
        verdict = f"but it is told apart at {', '.join(told)}, so this table says more than its data do"
    else:
        verdict = "and is told apart nowhere, as it must be"
    return [
        f"Noise floor: {name} is {baseline} on another trajectory; its mean differs by up to "
        f"{_amount(abs(widest.difference), question)} (at {_condition(question.columns, widest.column)}), {verdict}."
    ]


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


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


def _condition(axis: str, column: str) -> str:
    return f"batch {column}" if axis == "data.batch_size" else f"{axis}={column}"


def _is_accuracy(question: Question) -> bool:
    return question.value.endswith("accuracy")


def _amount(value: float, question: Question, unit: bool = True, sign: bool = False) -> str:
    """Points for accuracies, four digits for anything else."""
    if _is_accuracy(question):
        return points(value, sign) + (" points" if unit else "")
    return f"{value:+.4g}" if sign else f"{value:.4g}"


def _at_most(value: float, question: Question) -> str:
    """As `_amount`, rounded up: a bound that is given must hold."""
    return (
        _amount(math.ceil(1000 * value - 1e-6) / 1000, question) if _is_accuracy(question) else _amount(value, question)
    )


def _relation(p: float) -> str:
    text = p_value(p)
    return text if re.match("<", text) else f"= {text}"
