"""Tables as Markdown: each under its heading and followed by its notes. No name or reason acts as markup."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from normlib.results.tables.model import Cell, Table


def markdown(tables: Sequence[Table]) -> str:
    """All tables, one below the other."""
    parts = []
    for table in tables:
        lines = [f"### {markdown_text(table.title)}", ""]
        if table.lines:
            lines.append(_line(map(markdown_text, table.header)))
            lines.append("|:---" * table.num_labels + "|---:" * (len(table.header) - table.num_labels) + "|")
            lines += [_line(map(_cell, line.cells)) for line in table.lines]
            lines.append("")
        parts.append("\n".join([*lines, *(f"- {markdown_text(note)}" for note in table.notes)]) + "\n")
    return "\n".join(parts)


def markdown_text(text: str) -> str:
    """Text that Markdown shows as it is: no cell border, no line break, no tag, no bold."""
    for character, safe in (("|", "\\|"), ("\n", " "), ("<", "&lt;"), ("*", "\\*")):
        text = text.replace(character, safe)
    return text


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _cell(cell: Cell) -> str:
    text = markdown_text(cell.text)
    return f"**{text}**" if cell.strong else text
