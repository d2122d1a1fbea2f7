"""A table as a small piece of HTML that needs nothing else, as notebooks show it. Every text is escaped."""

from __future__ import annotations

from html import escape

from normlib.results.tables.model import Table

PADDING = "padding:0.2em 0.6em"
STYLE = f"text-align:left;{PADDING}", f"text-align:right;white-space:nowrap;{PADDING}"
"""Of a label's cell, and of a figure's."""


def html_table(table: Table) -> str:
    """One `<table>` with the title as its caption, and the notes as a list below."""
    kinds = [STYLE[place >= table.num_labels] for place in range(len(table.header))]
    parts = [f'<table style="border-collapse:collapse"><caption><strong>{escape(table.title)}</strong></caption>']
    if table.lines:
        heads = (f'<th style="{kind}">{escape(name)}</th>' for kind, name in zip(kinds, table.header, strict=True))
        parts.append(f"<thead><tr>{''.join(heads)}</tr></thead><tbody>")
        for line in table.lines:
            cells = (
                f'<td style="{kind}">'
                + (f"<strong>{escape(cell.text)}</strong>" if cell.strong else escape(cell.text))
                + "</td>"
                for kind, cell in zip(kinds, line.cells, strict=True)
            )
            parts.append(f"<tr>{''.join(cells)}</tr>")
        parts.append("</tbody>")
    notes = "".join(f"<li>{escape(note)}</li>" for note in table.notes)
    return "\n".join([*parts, "</table>", f"<ul>{notes}</ul>" if notes else ""]).rstrip() + "\n"
