"""The digest of a table's verdicts: a line for each condition, what the control says, and what was not compared.

In: `Comparison`s and the question. Out: sentences by section. This file computes and judges nothing; single comparisons are
worded in verdicts.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from normlib.results.study.comparison import BETTER, EQUAL, NONE, TOO_FEW, UNKNOWN, WORSE, Comparison
from normlib.results.study.question import Question
from normlib.results.verdicts import amount, condition_words, verdicts


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


def _digest_of_condition(found: Sequence[Comparison], question: Question) -> str:
    """One condition in one sentence; arms in the order of their differences, the best first."""
    baseline, sign = found[0].baseline, -1 if question.facts.higher_is_better else 1
    words = {
        BETTER: ("beats {}", "beat {}"),
        WORSE: ("loses to {}", "lose to {}"),
        EQUAL: ("is equal to {} for practical purposes", "are equal to {} for practical purposes"),
        UNKNOWN: ("cannot be told from {}",) * 2,
        TOO_FEW: ("too few seeds to show a difference to {}",) * 2,
    }
    clauses = []
    for verdict, (one, several) in words.items():
        arms = sorted((each for each in found if each.verdict == verdict), key=lambda each: sign * each.difference)
        if arms:
            listed = _listed([f"{each.arm} ({', '.join(_aside(each, question))})" for each in arms])
            said = (several if len(arms) > 1 else one).format(baseline)
            clauses.append(f"{said}: {listed}" if verdict == TOO_FEW else f"{listed} {said}")
    return f"At {condition_words(question.columns, found[0].column)}, {'; '.join(clauses)}."


def _aside(comparison: Comparison, question: Question) -> list[str]:
    """The difference in brackets behind an arm's name, with whatever it must not be read without."""
    said = [amount(comparison.difference, question, unit=False, sign=True, width=comparison.half_width)]
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
    control = [each for each in comparisons if each.control and each.n]
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
        f"{amount(abs(widest.difference), question, width=widest.half_width)} (at {condition_words(question.columns, widest.column)}), {verdict}."
    ]


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
