"""Verdicts: what a report says of its comparisons, under the headings of its views and sections.

In: studies. Out: a headline, a line for each condition, a sentence for each comparison, and the text of verdicts.md. wording.py
has the sentences; study/comparison.py judges.
"""

from __future__ import annotations

from collections.abc import Sequence

from normlib.results.render.markdown import markdown_text
from normlib.results.study.comparison import BETTER, WORSE, Comparison
from normlib.results.study.identity import NOT_VERIFIED
from normlib.results.study.metrics import bracketed, direction
from normlib.results.study.question import Question
from normlib.results.study.study import Study
from normlib.results.study.tuning import TUNED
from normlib.results.wording import digest, sentence

Said = list[tuple[str, list[str]]]
"""Sentences under headings, in plain text."""


def headline(studies: Sequence[Study]) -> str:
    """The sentence on the largest clear difference of the first study, which is the main one; "" where there is none."""
    clear = [each for each in _comparisons(studies[:1]) if each.verdict in (BETTER, WORSE) and not each.control]
    if not clear:
        return ""
    study, largest = studies[0], max(clear, key=lambda each: abs(each.difference))
    section = f"{largest.section}: " if largest.section else ""
    said = section + sentence(largest, study.question, _family(study.comparisons, largest.section))
    return f"{study.view.capitalize()}: {said}" if study.view else said


def digests(studies: Sequence[Study]) -> Said:
    """A line for each condition, under a heading for each view and section."""
    return [
        (_heading(study, section), digest(mine, study.question, study.view == TUNED))
        for study in studies
        for section, mine in by_section(study.comparisons).items()
    ]


def details(studies: Sequence[Study]) -> Said:
    """A sentence for each comparison, under the same headings."""
    return [
        (_heading(study, section), [sentence(each, study.question, _family(mine)) for each in mine])
        for study in studies
        for section, mine in by_section(study.comparisons).items()
    ]


def verdicts_file(studies: Sequence[Study], notes: Sequence[str] = ()) -> str:
    """The text of verdicts.md. Its first line is the headline, if there is one; `notes` on what is shown come last."""
    blocks = [first] if (first := headline(studies)) else []
    for study in studies:
        blocks += [f"# {markdown_text(study.heading)}"] if study.view else []
        blocks += [what_is_compared(study.question, bool(study.looks))] if study.comparisons else []
        blocks += [] if study.hashed else [NOT_VERIFIED]
        for (heading, lines), (_, sentences) in zip(digests([study]), details([study]), strict=True):
            blocks += [
                f"## {markdown_text(heading or 'Verdicts')}",
                _bullets(lines),
                "Each comparison:",
                _bullets(sentences),
            ]
    blocks += ["Of the runs shown:", _bullets(notes)] if notes else []
    if first:
        blocks[0] = markdown_text(first)
    return "\n\n".join(blocks) + "\n" * bool(blocks)


def by_section(comparisons: Sequence[Comparison]) -> dict[str, list[Comparison]]:
    """The comparisons of each section, in their order."""
    sections: dict[str, list[Comparison]] = {}
    for comparison in comparisons:
        sections.setdefault(comparison.section, []).append(comparison)
    return sections


def what_is_compared(question: Question, by_looks: bool = False) -> str:
    """The line that says what differences, intervals and p values are. `by_looks`: runs were looked at while they were made."""
    metric = question.facts
    unit = f"points of {metric.title}" if metric.percent else bracketed(metric.title, metric.unit)
    test = "Intervals are 95 % intervals. p comes from the exact sign-flip test, or from Welch's t test where runs are unpaired, and is"
    if by_looks:
        test = (
            "Seeds were added until it was decided. The 95 % intervals and p hold over all looks that were taken. p is"
        )
    return (
        f"Differences are arm − {question.baseline} in {unit}; {direction(metric)} is better. {test} corrected (Holm) for all "
        "comparisons of a table."
    )


def _comparisons(studies: Sequence[Study]) -> list[Comparison]:
    return [each for study in studies for each in study.comparisons]


def _family(comparisons: Sequence[Comparison], section: str | None = None) -> int:
    """The number of comparisons that the correction is for."""
    return sum(each.p == each.p for each in comparisons if section in (None, each.section))


def _heading(study: Study, section: str) -> str:
    if not study.view:
        return section
    return f"{study.view.capitalize()}, {section}" if section else study.heading


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {markdown_text(line)}" for line in lines)
