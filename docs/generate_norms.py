"""Writes docs/norms.md and the pictures in docs/axes/ from the registry: a section a norm and one table of the family.

    python docs/generate_norms.py

In: the registered norms of normlib itself, their docstrings and class attributes. A test holds the committed files against
what this makes. No sentence on a norm stands here: it stands in the norm's own file.
"""

from __future__ import annotations

import csv
import functools
import inspect
import re
from collections.abc import Iterable
from pathlib import Path

from draw_axes import draw_axes

from normlib.norms import norms
from normlib.norms.base import Norm
from normlib.registry import Entry
from normlib.settings import SECTION, Setting

HERE = Path(__file__).resolve().parent
PAGE = HERE / "norms.md"
BENCH = HERE.parent / "results" / "gallery" / "bench" / "tables" / "cost.csv"
TIMED = {
    "shape": "8x256x14x14", "layout": "contiguous", "dtype": "float32", "device": "cpu", "threads": "1",
    "passes": "forward_backward", "inputs": "normal", "cache": "warm",
}  # fmt: skip
"""Of all that `normlib bench` timed, what the page tells."""
LABELS = ("Axes", "Shapes", "Paper", "Deviations", "When", "When not")
"""The paragraphs that every norm's docstring has behind its words and its equation."""
SLOTS = {
    "norm": "between layer and activation",
    "site": "the whole site, with an activation of its own",
    "weight": "the weights of the layer ahead",
    "branch": "residual branches",
}
FAMILIES = {
    "Statistics over the batch": lambda e: e.cls.slot == "norm" and e.cls.depends_on_batch,
    "Statistics of each sample alone": lambda e: e.cls.slot == "norm" and not e.cls.depends_on_batch and bool(axes(e)),
    "With an activation of their own": lambda e: e.cls.slot == "site",
    "On weights": lambda e: e.cls.slot == "weight",
    "Without statistics": lambda e: e.cls.slot in ("norm", "branch") and not axes(e),
}
LEAD = """# The family

Every norm that `normlib list` shows, as `python docs/generate_norms.py` writes it from the norms' own files. In the pictures
N are samples, C channels and P positions; the coloured values share one statistic. State is what a norm keeps in its
`state_dict` beside its parameters; both are numbers, in C, at the default settings. Cost is the time of a forward and a backward
pass at (8, 256, 14, 14) in float32 on one CPU thread, in copies of the same bytes, from
[`normlib bench`](../results/gallery/bench), whose tables have other shapes, layouts and contenders too."""


class UnfinishedDocstring(ValueError):
    """A norm whose docstring lacks a paragraph; the message names both."""


def files() -> dict[Path, str]:
    """Every file that this makes, with its text."""
    own = [entry for entry in norms.entries() if entry.cls.__module__.startswith("normlib.")]
    sections = {family: [entry for entry in own if belongs(entry)] for family, belongs in FAMILIES.items()}
    assert sum(map(len, sections.values())) == len(own), "every norm is in one family"
    made = {HERE / "axes" / f"{picture(entry)}.svg": draw_axes(axes(entry)) for entry in own}
    return {**made, PAGE: page(sections)}


def page(sections: dict[str, list[Entry]]) -> str:
    """The text of docs/norms.md."""
    parts = [LEAD, table(entry for entries in sections.values() for entry in entries)]
    for family, entries in sections.items():
        parts += [f"## {family}", *map(section, entries)]
    return "\n\n".join(parts) + "\n"


def table(entries: Iterable[Entry]) -> str:
    """The whole family in one table."""
    lines = [
        "| norm | statistics over | depends on the batch | parameters | state | cost | slot | paper |",
        "|:---|:---|:---|:---|:---|---:|:---|:---|",
    ]
    for entry in entries:
        cls: type[Norm] = entry.cls
        row = (
            f"[`{entry.name}`](#{entry.name})", entry.metadata["statistics_over"], "yes" if cls.depends_on_batch else "no",
            cls.parameter_count, cls.buffer_count, cost(entry, "copy"), SLOTS[cls.slot], paper_link(entry),
        )  # fmt: skip
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def section(entry: Entry) -> str:
    """One norm: words, equation, picture, facts, when to use it and when not."""
    cls: type[Norm] = entry.cls
    words, labelled = paragraphs(entry)
    facts = {
        "Paper": labelled["Paper"],
        "Depends on the batch": "yes, in training" if cls.depends_on_batch else "no",
        "Needs": cls.needs or "nothing beyond channels",
        "Parameters, state": f"{cls.parameter_count}, {cls.buffer_count}",
        "Cost": cost_in_words(entry),
        "Takes": SLOTS[cls.slot] + ("" if not cls.not_an_arm else f"; no arm of a comparison: {cls.not_an_arm}"),
        "Blind to": ", ".join(sorted(cls.invariances)).replace("_", " ") or "nothing",
        "Reinitializes": str(entry.metadata.get("reinitializes", "")),
        "Held constant in the gradient": cls.constant_in_gradient,
        "Masks": "yes" if cls.takes_mask else "no",
        "Cannot": "; ".join(f"{check.replace('_', ' ')}: {reason}" for check, reason in cls.exceptions.items()),
        "Settings": "".join(map(setting_line, entry.settings.values())) or "none",
        "Deviations": labelled["Deviations"],
    }
    return "\n\n".join(
        [
            f"### {entry.name}",
            f'<img align="right" alt="{entry.name}: {entry.metadata["statistics_over"]}" src="axes/{picture(entry)}.svg">',
            *words,
            f"**Axes.** {labelled['Axes']}",
            f"**Use it** {lower_first(labelled['When'])} **Not** {lower_first(labelled['When not'])}",
            "\n".join(
                f"- {name}:{'' if text.startswith(chr(10)) else ' '}{text}" for name, text in facts.items() if text
            ),
        ]
    )


def paragraphs(entry: Entry) -> tuple[list[str], dict[str, str]]:
    """The words and equations of a norm's docstring in Markdown, and the paragraphs behind `LABELS`."""
    words, labelled = [], {}
    for paragraph in re.split(r"\n\s*\n", inspect.getdoc(entry.cls) or ""):
        label = next((label for label in LABELS if paragraph.startswith(f"{label}:")), None)
        if SECTION.match(paragraph.partition("\n")[0]):
            continue  # the arguments, which stand with their types and defaults below
        if label is None:
            words.append(markdown(paragraph))
        else:
            labelled[label] = markdown(paragraph.removeprefix(f"{label}:").strip())
    missing = [label for label in LABELS if label not in labelled]
    if missing:
        raise UnfinishedDocstring(f"the docstring of norm {entry.name!r} lacks the paragraphs {', '.join(missing)}")
    return words, labelled


def setting_line(setting: Setting) -> str:
    """A setting as an item of the list of facts."""
    choices = f" ({', '.join(setting.choices)})" if setting.choices else ""
    return f"\n  - `{setting.name}={setting.default_text}`: {setting.help}{choices}"


def markdown(paragraph: str) -> str:
    """A paragraph of reStructuredText as these docstrings use it, in Markdown as GitHub shows it."""
    equation = paragraph.startswith(".. math::")
    text = " ".join(paragraph.removeprefix(".. math::").split())
    if equation:
        return f"```math\n{text}\n```"
    text = re.sub(r":math:`([^`]+)`", r"$`\1`$", text)
    return re.sub(r"``([^`]+)``", r"`\1`", text)


@functools.cache
def costs() -> dict[tuple[str, str], float]:
    """By norm and contender: the norm's time divided by the contender's, as `normlib bench` found it."""
    with BENCH.open(encoding="utf-8", newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if TIMED.items() <= row.items()]
    return {(row["norm"], row["contender"]): float(row["ratio_of_normlib"]) for row in rows}


def cost(entry: Entry, contender: str) -> str:
    """A norm's time divided by a contender's; empty where that was not timed."""
    ratio = costs().get((entry.name, contender))
    return "" if ratio is None else f"{ratio:.2g}" if ratio < 10 else f"{ratio:.0f}"


def cost_in_words(entry: Entry) -> str:
    """What a norm costs beside a copy and beside torch's own layer, as far as they were timed."""
    copies, of_torch = costs().get((entry.name, "copy")), costs().get((entry.name, "torch.nn"))
    words = [] if copies is None else [f"the time of {cost(entry, 'copy')} copies"]
    words += [] if of_torch is None else [f"{of_torch:.2f} times torch.nn's own layer"]
    return ", ".join(words)


def lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]


def axes(entry: Entry) -> tuple[str, ...]:
    """The axes that one statistic of a norm is taken over."""
    return tuple(entry.metadata.get("axes", ()))


def picture(entry: Entry) -> str:
    """The name of the picture of a norm's axes."""
    return "-".join(sorted(axes(entry))) or "none"


def paper_link(entry: Entry) -> str:
    """A link to arXiv where the paper is there."""
    paper = str(entry.metadata.get("paper", ""))
    kind, _, number = paper.partition(":")
    hosts = {"arXiv": "https://arxiv.org/abs/", "doi": "https://doi.org/"}
    return f"[{number}]({hosts[kind]}{number})" if kind in hosts else paper


if __name__ == "__main__":
    for path, text in files().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        print(path.relative_to(HERE.parent))
