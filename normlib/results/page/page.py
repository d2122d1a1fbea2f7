"""The page: tables, interactive plots, verdicts and the small print of one report, in one file that opens offline.

In: `PageContent`. Out: the text of an HTML file, the same for the same content; nothing in it comes from elsewhere.
Names are strangers' texts: the template escapes them, plots.py does so for plotly, and a Content-Security-Policy lets no
script run but the page's own. This file computes nothing and touches no disk but the package's own.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

import jinja2
from markupsafe import Markup, escape

from normlib.results.page import facts
from normlib.results.page.parts import parts
from normlib.results.plots.by_column import cost, gap, metric_plot
from normlib.results.plots.curves import curves
from normlib.results.plots.description import Plot, words
from normlib.results.plots.differences import differences
from normlib.results.plots.marks import marks
from normlib.results.study.identity import NOT_VERIFIED
from normlib.results.study.study import Study
from normlib.results.tables.irregular import irregular_runs
from normlib.results.tables.model import Table

LONGEST_FIGURE = 44
"""Characters; a column with a longer text holds prose."""
NEAR_ROPES = 10
"""How many times the region that counts as equal a close view of the differences reaches, either way."""
_WRAPPER = re.compile(
    r"(?P<license>/\*\*.*?\*/)\s*\(\s*function\(root, factory\) \{.*?\(\) => \{\n(?P<body>.*)\nreturn Plotly;\n\}\)\);\s*",
    re.DOTALL,
)
_PIECES = re.compile(r"[^_.]*[_.]|[^_.]+")
Said = Sequence[tuple[str, Sequence[str]]]
"""Sentences under headings, in plain text."""


@dataclass(frozen=True, kw_only=True)
class PageContent:
    """All that a page shows. `study` holds the runs of the tables, which `identity.check_paired` has let through.

    `sheets` are put in order by their parts (see parts.py), those of one part in the order given.
    """

    experiment: str
    study: Study
    sheets: Sequence[Table]
    everything: Study | None = None
    """The runs of the whole report, where those of trials and of other views are more than `study` has."""
    headline: str = ""
    """The most important sentence; it stands below the title."""
    verdicts: Said = ()
    """By section, what a reader should not miss; these are open."""
    details: Said = ()
    """By section, every other verdict; these are folded away."""
    messages: Sequence[str] = ()
    """Warnings, and what was left out."""
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
    arms = study.places.row_labels
    looks = marks(arms, study.controls)
    plots = _plots(content)
    script, plotly = _own("page.js"), _plotly()
    irregular = irregular_runs(everything)
    verified = study if len(study.runs) else everything
    return template.from_string(_own("page.html.jinja")).render(
        content=content,
        study=study,
        not_verified=NOT_VERIFIED,
        summary=facts.summary(study, everything),
        arms=looks,
        numbers={arm: number for number, arm in enumerate(arms)},
        row_axis=words(study.question.rows),
        column_axis=words(study.question.columns),
        parts=parts(content.sheets, plots, study.hashed),
        irregular=[irregular] if irregular else [],
        hashes=facts.hashes(verified),
        num_trained=facts.num_trained(verified),
        environment=facts.environment(everything.runs),
        limits=[*facts.limits(study), *content.limits],
        kinds_of=_kinds,
        near_ropes=NEAR_ROPES,
        style=_own("page.css"),
        script=script,
        plotly=plotly,
        policy=_policy([script, plotly]),
        data={
            "near_ropes": NEAR_ROPES,
            "marks": {arm: dataclasses.asdict(look) for arm, look in looks.items()},
            "plots": {plot.name: dataclasses.asdict(plot) for plot in plots},
        },
    )


def _plots(content: PageContent) -> list[Plot]:
    study = content.study
    made = (metric_plot(study), differences(study, study.comparisons), curves(study), gap(study), cost(study))
    return [plot for plot in made if plot is not None]


def _kinds(sheet: Table) -> list[str]:
    """The class of each column: label, number (at the right; wordy where a text stands in for one), words, or prose."""
    kinds = []
    for place in range(len(sheet.header)):
        cells = [line.cells[place] for line in sheet.lines]
        wordy = any(len(cell.text) > LONGEST_FIGURE for cell in cells)
        if place < sheet.num_labels:
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


def _plotly() -> str:
    """plotly.js as the package brings it along, without what it wraps around itself for module loaders.

    A browser reads a wrapped function twice, which for all of plotly.js takes as long as drawing the page.
    """
    from plotly.offline import get_plotlyjs

    library = str(get_plotlyjs())
    wrapped = _WRAPPER.fullmatch(library)
    plain = f"{wrapped['license']}\n{wrapped['body']}" if wrapped else library
    return plain.replace("</script", "<\\/script")  # which would end the script


def _policy(scripts: Sequence[str]) -> str:
    """Forbids everything from outside, and every script but these; plotly writes styles of its own into the page."""
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
