r"""Tables for LaTeX that fit their column: short caption, notes in small print below, a long table as a longtable.

The document needs ``\usepackage{array,booktabs,graphicx,longtable}``, and UTF-8, which LaTeX reads by default. With the width
"column" a table is a ``table`` of one column, and one that no readable font makes fit is a ``table*`` over the whole text, as all
are with the width "text". A table of many lines is a ``longtable``, which breaks over pages, and which LaTeX sets on pages of
one column only. Labels are ``tab:<name>-<title>`` and stay the same from report to report.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from normlib.results.tables.model import Cell, Table

Width = Literal["column", "text"]
POINTS: dict[Width, float] = {"column": 236.0, "text": 490.0}
"""A column and the text of common two-column styles (ICML, IEEE, CVPR), the narrowest of them."""
FONTS = {r"\small": 4.5, r"\footnotesize": 4.05, r"\scriptsize": 3.6}
"""By size (9, 8 and 7 points), the points that a letter of Computer Modern takes on average."""
SMALLEST = r"\scriptsize"
LEAST_SCALE = 0.9
"""By how much a table may shrink below its font, since letters are only counted."""
SMALL_PRINT = 0.7
"""The size of a subscript, and of a heading's second line, beside that of a letter."""
COLUMN_SEPARATION = 3.0
"""Points on either side of a column."""
LONGEST_FLOAT = 40
"""Lines that a page holds beside a caption and notes."""
LONGEST_CELL = 32
"""Letters; a longer text is prose, which wraps."""
_ESCAPES = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "±": r"$\pm$", "−": "$-$", "×": r"$\times$", "–": "--", "≥": r"$\geq$", "≤": r"$\leq$",
    "∞": r"$\infty$", "≈": r"$\approx$", "ᵏ": "$^k$", "…": r"\ldots{}", "’": "'", "\n": " ",
}  # fmt: skip
_BREAK = r"\\"
_DIGITS = {superscript: str(digit) for digit, superscript in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")}


def latex(tables: Sequence[Table], width: Width = "column") -> str:
    """All tables that have lines; `width` is the space that each may take."""
    parts, used = [], Counter[str]()
    for table in (table for table in tables if table.lines):
        label = re.sub(r"[^A-Za-z0-9]+", "-", f"{table.name}-{table.title}").strip("-").lower()
        used[label] += 1
        parts.append(_set(table, width, f"tab:{label}" + (f"-{used[label]}" if used[label] > 1 else "")))
    return "\n".join(parts)


@dataclass(frozen=True)
class _Form:
    """How a table is set: in which environment and font, and whether intervals are small print behind their figures."""

    width: Width
    small: bool
    font: str


def _form(table: Table, width: Width) -> _Form:
    """The narrowest form with the largest font by which the table fits, or else the smallest that there is."""
    widths: tuple[Width, ...] = ("column", "text") if width == "column" else ("text",)
    for each in widths:
        room = POINTS[each] - 2 * COLUMN_SEPARATION * len(table.header)
        for small in (False, True):
            letters = sum(_letters(table, place, small) for place in range(len(table.header)))
            for font, points in FONTS.items():
                if letters * points * (LEAST_SCALE if font == SMALLEST else 1.0) <= room:
                    return _Form(each, small, font)
    return _Form("text", True, SMALLEST)


def _set(table: Table, width: Width, label: str) -> str:
    caption = rf"\caption{{{_tex(table.title)}}}\label{{{label}}}"
    form = _form(table, width)
    layout = _layout(table, form)
    columns = f"@{{}}{''.join(layout)}@{{}}"
    headings = (_heading(name, place >= table.num_labels, form.small) for place, name in enumerate(table.header))
    head = [r"\toprule", " & ".join(headings) + r" \\", r"\midrule"]
    small = [form.small and place >= table.num_labels and kind == "r" for place, kind in enumerate(layout)]
    rows = [" & ".join(map(_cell, line.cells, small)) + r" \\" for line in table.lines]
    size = [form.font, rf"\setlength{{\tabcolsep}}{{{COLUMN_SEPARATION:g}pt}}"]
    told = " ".join(_tex(note.rstrip(".")) + "." for note in table.notes)
    notes = [rf"\par\smallskip\noindent\parbox{{\linewidth}}{{\raggedright\scriptsize {told}}}"] if told else []
    if len(table.lines) > LONGEST_FLOAT:
        body = [
            rf"\begin{{longtable}}{{{columns}}}", caption + r" \\", *head, r"\endfirsthead", *head, r"\endhead",
            r"\bottomrule", r"\endlastfoot", *rows, r"\end{longtable}",
        ]  # fmt: skip
        return "\n".join([r"\begingroup", *size, *body, *notes, r"\endgroup", ""])
    environment = "table" if form.width == "column" else "table*"
    body = [
        r"\resizebox{\ifdim\width>\linewidth\linewidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{columns}}}", *head, *rows, r"\bottomrule", r"\end{tabular}}",
    ]  # fmt: skip
    return "\n".join(
        [rf"\begin{{{environment}}}", r"\centering", caption, *size, *body, *notes, rf"\end{{{environment}}}", ""]
    )


def _letters(table: Table, place: int, small: bool) -> float:
    """The width of a column in letters; prose takes what figures leave, and a few letters at least."""
    is_figure = place >= table.num_labels
    first, *below = _lines(table.header[place], is_figure, small)
    widths = [float(len(first)), *((SMALL_PRINT if is_figure else 1.0) * len(part) for part in below)]
    for line in table.lines:
        figure, *rest = _parts(line.cells[place].text) if small and is_figure else [line.cells[place].text]
        widths.append(min(len(figure) + SMALL_PRINT * sum(map(len, rest)), LONGEST_CELL))
    return max(widths)


def _layout(table: Table, form: _Form) -> list[str]:
    """The columns: labels at the left, figures at the right, prose in paragraphs that share what is left."""
    count, points = len(table.header), POINTS[form.width]
    prose = {place for place in range(count) if any(len(line.cells[place].text) > LONGEST_CELL for line in table.lines)}
    others = sum(_letters(table, place, form.small) for place in range(count) if place not in prose)
    left = max(points - others * FONTS[form.font] - 2 * COLUMN_SEPARATION * count, points / 5) / max(len(prose), 1)
    paragraph = rf">{{\raggedright\arraybackslash}}p{{{math.floor(100 * left / points) / 100:g}\linewidth}}"
    return [paragraph if place in prose else "l" if place < table.num_labels else "r" for place in range(count)]


def _cell(cell: Cell, small: bool) -> str:
    first, *rest = _parts(cell.text) if small else [cell.text]
    text = rf"\textbf{{{_tex(first)}}}" if cell.strong else _tex(first)
    return text + (rf"\textsubscript{{{_tex(''.join(rest)).replace('$ ', '$')}}}" if rest else "")


def _parts(text: str) -> list[str]:
    """A figure, and what is small print behind it: its interval and its remarks."""
    figure, mark, rest = re.fullmatch(r"(.*?)(?:( ± | \(|, )(.*))?", text, re.DOTALL).groups()  # type: ignore[union-attr]
    return [figure] if mark is None else [figure, mark.lstrip() + rest]


def _heading(name: str, is_figure: bool, small: bool) -> str:
    """A heading with what is in brackets in small print below."""
    first, *below = _lines(name, is_figure, small)
    if not below:
        return _tex(first)
    side, size = ("r", r"\tiny ") if is_figure else ("l", "")
    lines = [_tex(first), *(f"{{{size}{_tex(part)}}}" for part in below)]
    return rf"\shortstack[{side}]{{{_BREAK.join(lines)}}}"


def _lines(name: str, is_figure: bool, small: bool) -> list[str]:
    """The lines of a heading, those in brackets word by word where room is short."""
    if not is_figure:
        return name.replace(" \\ ", " \\\n").split("\n") if small else [name]
    first, *below = _parts(name)
    return [first, *(part for each in below for part in (each.split() if small else [each]))]


def _tex(text: str) -> str:
    """Text that LaTeX sets as it is; superscript digits become superscripts."""
    text = "".join(_ESCAPES.get(character, character) for character in text)
    return re.sub(f"[{''.join(_DIGITS)}]+", lambda found: "$^{" + "".join(_DIGITS[d] for d in found[0]) + "}$", text)
