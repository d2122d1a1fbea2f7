"""The verdicts of a report: of its one comparison, or after tuning of both views, each under a heading that says which.

In: `Study`. Out: the headline, sentences by heading, and the text of verdicts.md. This file judges and words nothing
itself; see comparison.py and verdicts.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from normlib.results.digest import digest
from normlib.results.render.writers import markdown_text
from normlib.results.study.comparison import Comparison
from normlib.results.study.identity import NOT_VERIFIED
from normlib.results.study.question import Question
from normlib.results.study.study import Study
from normlib.results.study.tuning import TUNED
from normlib.results.verdicts import headline, verdicts, what_p_is

Said = list[tuple[str, list[str]]]
"""Sentences under headings, in plain text."""


def main_headline(found: Sequence[Study]) -> str:
    """The headline of the main study, the first, with the name of the view ahead; "" where nothing is beyond doubt."""
    first = headline(found[0].comparisons, found[0].question) if found else None
    if not first:
        return ""
    return f"{found[0].view.capitalize()}: {first}" if found[0].view else first


def digests(found: Sequence[Study]) -> Said:
    """A line for each condition, under a heading for each view and section."""
    return [
        (_heading(study, section), lines)
        for study in found
        for section, lines in digest(study.comparisons, study.question, study.view == TUNED).items()
    ]


def details(found: Sequence[Study]) -> Said:
    """A sentence for each comparison, under the same headings."""
    return [
        (_heading(study, section), [text for _, text in said])
        for study in found
        for section, said in verdicts(study.comparisons, study.question).items()
    ]


def verdicts_file(found: Sequence[Study], notes: Sequence[str] = ()) -> str:
    """The text of verdicts.md. Its first line is the headline, if there is one; `notes` on what is shown come last."""
    last = ["\n".join(["Of the runs shown:", "", *(f"- {markdown_text(note)}" for note in notes), ""])] if notes else []
    texts = [verdicts_markdown(study.comparisons, study.question, study.view == TUNED, study.hashed) for study in found]
    if not found or not found[0].view:
        return "\n".join([*texts, *last])
    first = main_headline(found)
    parts = [f"# {markdown_text(each.heading)}\n\n{text}" for each, text in zip(found, texts, strict=True)]
    return "\n".join([f"{markdown_text(first)}\n"] * bool(first) + parts + last)


def verdicts_markdown(
    comparisons: Sequence[Comparison], question: Question, tuned: bool = False, hashed: bool = True
) -> str:
    """The headline, a line for each condition, then every comparison, as Markdown. `hashed`: whether hashes verify the pairs."""
    said, lines = verdicts(comparisons, question), []
    first = headline(comparisons, question)
    lines += [markdown_text(first), ""] if first else []
    lines += [what_p_is(question), ""] if comparisons else []
    lines += [] if hashed else [NOT_VERIFIED, ""]
    for section, digested in digest(comparisons, question, tuned).items():
        lines += [f"## {markdown_text(section)}" if section else "## Verdicts", ""]
        lines += [f"- {markdown_text(line)}" for line in digested]
        lines += ["", "Each comparison:", "", *(f"- {markdown_text(text)}" for _, text in said[section]), ""]
    return "\n".join(lines)


def _heading(study: Study, section: str) -> str:
    if not study.view:
        return section
    return f"{study.view.capitalize()}, {section}" if section else study.heading
