"""The page of a report: verdict, tables, interactive figures and the small print, in one file that opens offline.

In: `PageContent`. Out: the text of an HTML file, the same for the same content; nothing in it comes from elsewhere.
Names are strangers' texts: the template escapes them, plotly.py does so for plotly, and a Content-Security-Policy lets no
script run but the page's own. Nothing is computed here, and no file is read but the package's own.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources

import jinja2
from markupsafe import Markup, escape

from normlib.results.page import facts
from normlib.results.page.parts import parts
from normlib.results.page.plotly import SYMBOLS, encoded, escaped, mark, plotly_script
from normlib.results.page.words import WORDS, Explained
from normlib.results.plots.description import Figure, arm_styles, words
from normlib.results.plots.style import PALETTE
from normlib.results.study.identity import NOT_VERIFIED
from normlib.results.study.study import Study
from normlib.results.tables.irregular import irregular_runs
from normlib.results.tables.table import Table

LONGEST_FIGURE = 44
"""Characters; a column with a longer text holds prose."""
_PIECES = re.compile(r"[^_.]*[_.]|[^_.]+")
Said = Sequence[tuple[str, Sequence[str]]]
"""Sentences under headings, in plain text."""


@dataclass(frozen=True, kw_only=True)
class PageContent:
    """All that a page shows. `study` holds the runs of the tables, which `identity.check_paired` has let through.

    `tables` are put in order by their parts (see parts.py), those of one part in the order given.
    """

    experiment: str
    study: Study
    tables: Sequence[Table]
    figures: Mapping[str, Sequence[Figure]] = field(default_factory=dict)
    """By the name of the table that they were registered with."""
    everything: Study | None = None
    """The runs of the whole report, where those of trials and of other views are more than `study` has."""
    headline: str = ""
    """The most important sentence, which comes first."""
    verdicts: Said = ()
    """By section, a sentence for each condition."""
    details: Said = ()
    """By section, a sentence for each comparison."""
    messages: Sequence[str] = ()
    """Warnings, which stand below the verdict, and what was left out."""
    limits: Sequence[str] = ()
    """What limits the figures beyond what the runs themselves tell."""
    commands: Sequence[str] = ()
    """The exact commands that make the results and the page again."""


def page(content: PageContent) -> str:
    """The whole text of the page."""
    template = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    template.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    template.filters["breakable"] = _breakable
    study, everything = content.study, content.everything or content.study
    looks = arm_styles(study)
    script, plotly = _own("page.js"), plotly_script()
    irregular = irregular_runs(everything)
    verified = study if len(study.runs) else everything
    warnings = [message for message in content.messages if message.startswith("warning:")]
    return template.from_string(
        _own("page.html.jinja")
    ).render(
        content=content,
        study=study,
        explained=Explained(),  # no filter, since those may be called on the texts of the template itself before all others
        not_verified=NOT_VERIFIED,
        summary=facts.summary(study, everything),
        headline=content.headline or (facts.without_headline(study) if study.comparisons else ""),
        tally=facts.tally(study),
        reading=facts.reading(study),
        warnings=warnings,
        messages=[message for message in content.messages if message not in warnings],
        looks=looks,
        outlines={arm: SYMBOLS[look.marker][1] for arm, look in looks.items()},
        marks={arm: mark(look) for arm, look in looks.items()},
        numbers={arm: number for number, arm in enumerate(looks)},
        row_axis=words(study.question.rows),
        parts=parts(content.tables, content.figures),
        irregular=[irregular] if irregular else [],
        hashes=facts.hashes(verified),
        environment=facts.environment(everything.runs),
        limits=[*facts.limits(study), *content.limits],
        kinds_of=_kinds,
        words=WORDS,
        palette=PALETTE,
        style=_own("page.css"),
        script=script,
        plotly=plotly,
        policy=_policy([script, plotly]),
        data={
            "marks": {arm: mark(look) | {"label": escaped(arm)} for arm, look in looks.items()},
            "plots": {each.name: encoded(each) for own in content.figures.values() for each in own},
        },
    )


def _kinds(table: Table) -> list[str]:
    """The class of each column: label, number (at the right; wordy where a text stands in for one), words, or prose."""
    kinds = []
    for place in range(len(table.header)):
        cells = [line.cells[place] for line in table.lines]
        wordy = any(len(cell.text) > LONGEST_FIGURE for cell in cells)
        if place < table.num_labels:
            kinds.append("label")
        elif any(cell.sort is not None for cell in cells):
            kinds.append("number wordy" if wordy else "number")
        elif wordy:
            kinds.append("prose")
        else:
            kinds.append("number" if any(map(str.isdigit, "".join(cell.text for cell in cells))) else "words")
    return kinds


def _breakable(text: str) -> Markup:
    """The text, escaped, with leave to break its line behind an underscore or a dot: names are long, phones narrow."""
    return Markup("").join(
        escape(piece) + Markup("<wbr>" if piece[-1:] in "_." else "") for piece in _PIECES.findall(text)
    )


def _own(name: str) -> str:
    """The text of a file that lies beside this one."""
    return (resources.files(__package__) / name).read_text(encoding="utf-8")


def _policy(scripts: Sequence[str]) -> str:
    """Forbids everything from outside, and every script but these; plotly writes styles of its own into the page."""
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
