"""Sheets as text: Markdown, tidy CSV, LaTeX with booktabs, and rich tables for a terminal.

In: `Sheet`s. Out: strings, or rich objects, in which no name or reason can act as markup. This file never computes and
never words a result.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from normlib.results.tables.sheet import Cell, Sheet

if TYPE_CHECKING:
    from rich.console import Group
    from rich.text import Text

WIDEST_LABEL, NARROWEST_CELL = 30, 6  # of a terminal's columns: a long name of an arm leaves room for the figures
LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "±": r"$\pm$", "−": "$-$", "×": r"$\times$", "–": "--", "≥": r"$\geq$", "≤": r"$\leq$",
    "∞": r"$\infty$", "≈": r"$\approx$", "ⁿ": "$^n$", "\n": " ",
}  # fmt: skip
_DIGITS = {superscript: str(digit) for digit, superscript in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")}


def markdown(sheets: Sequence[Sheet]) -> str:
    """All sheets, each under its heading and followed by its notes."""
    parts = []
    for sheet in sheets:
        lines = [f"### {markdown_text(sheet.title)}", ""]
        if sheet.lines:
            lines.append(_line(map(markdown_text, sheet.header)))
            lines.append("|:---" * sheet.num_labels + "|---:" * (len(sheet.header) - sheet.num_labels) + "|")
            lines += [_line(_bold(cell) for cell in line.cells) for line in sheet.lines]
            lines.append("")
        parts.append("\n".join([*lines, *(f"- {markdown_text(note)}" for note in sheet.notes)]) + "\n")
    return "\n".join(parts)


def tidy_csv(sheets: Sequence[Sheet]) -> str:
    """The sheets' unrounded figures, a line each, in one table."""
    lines = [line for sheet in sheets for line in sheet.tidy]
    out = io.StringIO()
    columns = list(dict.fromkeys(name for line in lines for name in line))
    writer = csv.DictWriter(out, columns, restval="", lineterminator="\n")
    if columns:
        writer.writeheader()
    writer.writerows(
        {name: "" if value is None or value != value else value for name, value in line.items()} for line in lines
    )
    return out.getvalue()


def latex(sheets: Sequence[Sheet]) -> str:
    r"""A table environment for each sheet, for documents with ``\usepackage{booktabs}``; notes in the caption."""
    parts = []
    for sheet in (sheet for sheet in sheets if sheet.lines):
        rows = [" & ".join(map(_tex, sheet.header)) + r" \\", r"\midrule"]
        for line in sheet.lines:
            cells = (rf"\textbf{{{_tex(cell.text)}}}" if cell.strong else _tex(cell.text) for cell in line.cells)
            rows.append(" & ".join(cells) + r" \\")
        layout = "l" * sheet.num_labels + "r" * (len(sheet.header) - sheet.num_labels)
        caption = ". ".join(_tex(text.rstrip(".")) for text in (sheet.title, *sheet.notes)) + "."
        label = re.sub(r"[^A-Za-z0-9]+", "-", sheet.title).strip("-").lower()
        parts.append("\n".join([
            r"\begin{table}", r"\centering", rf"\caption{{{caption}}}", rf"\label{{tab:{sheet.name}-{label}}}",
            rf"\begin{{tabular}}{{{layout}}}", r"\toprule", *rows, r"\bottomrule", r"\end{tabular}", r"\end{table}", "",
        ]))  # fmt: skip
    return "\n".join(parts)


def terminal(sheets: Sequence[Sheet], styled: bool = True) -> Group:
    """The same tables for a rich console; where it cannot show bold (`styled` False), a star stands for it."""
    from rich import box
    from rich.console import Group
    from rich.table import Table as RichTable
    from rich.text import Text

    shown: list[RichTable | Text] = []
    for sheet in sheets:
        grid = RichTable(box=box.SIMPLE_HEAD, padding=0, show_edge=False)
        for place, name in enumerate(sheet.header):
            if place < sheet.num_labels:
                grid.add_column(Text(name.replace(" \\ ", " \\\n")), overflow="fold", max_width=WIDEST_LABEL)
            else:
                words = name.replace(" (", "\n(", 1).replace(" updates)", ")")
                grid.add_column(Text(words), justify="right", overflow="fold", min_width=NARROWEST_CELL)
        for line in sheet.lines:
            cells = [Text(cell.text) for cell in line.cells[: sheet.num_labels]]
            cells += [_in_terminal(cell, styled) for cell in line.cells[sheet.num_labels :]]
            grid.add_row(*cells)
        notes = "\n".join(note if styled else re.sub(r"^Bold:", "*:", note) for note in sheet.notes)
        shown += [
            Text(sheet.title + "\n", style="bold"),
            *([grid] if sheet.lines else []),
            Text(f"\n{notes}\n", style="dim"),
        ]
    return Group(*shown)


def _in_terminal(cell: Cell, styled: bool) -> Text:
    from rich.text import Text

    words = cell.text.replace("± ", "±").replace(", ", "\n").replace(" (", "\n(", 1)
    return Text(words + ("*" if cell.strong and not styled else ""), "bold" if cell.strong else "")


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _bold(cell: Cell) -> str:
    text = markdown_text(cell.text)
    return f"**{text}**" if cell.strong else text


def markdown_text(text: str) -> str:
    """Text that Markdown shows as it is: no cell border, no line break, no tag, no bold."""
    for character, safe in (("|", "\\|"), ("\n", " "), ("<", "&lt;"), ("*", "\\*")):
        text = text.replace(character, safe)
    return text


def _tex(text: str) -> str:
    """Text that LaTeX sets as it is; superscript digits become superscripts, backticks quotes."""
    text = "".join(LATEX.get(character, character) for character in text)
    return re.sub(f"[{''.join(_DIGITS)}]+", lambda found: "$^{" + "".join(_DIGITS[d] for d in found[0]) + "}$", text)
