"""Says in words what a conversion or a folding did to each norm of a model.

In: one row a module. Out: text. The report is a plain attribute of the model. So copies and pickles of the model keep
it, and its state_dict does not have it. This file changes no layer.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import nn

ATTRIBUTE = "_normlib_conversion_report"
NOTES = (("carried over", "carried"), ("changed", "changed"), ("not carried over", "lost"))
"""The kinds of notes: how they are called, and the field of a row that holds them."""


@dataclass(frozen=True)
class Row:
    """One module: its path (all its paths, if it is shared), what it was, and what it became ("" if it was left).

    `carried` names parameters, running statistics and settings that were carried over. `changed` says what means
    something else now, or why the module was left. `lost` names what was not carried over.
    """

    path: str
    was: str
    became: str
    carried: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


@dataclass(frozen=True, repr=False)
class Report:
    """One row a module, in the order of the model.

    `notes` are about the model as a whole, `optimizer` about one that was passed in.
    """

    title: str
    rows: tuple[Row, ...]
    optimizer: tuple[str, ...] = field(default=())
    notes: tuple[str, ...] = field(default=())

    @property
    def left(self) -> tuple[Row, ...]:
        """The modules that stayed as they were. `changed` says why."""
        return tuple(row for row in self.rows if not row.became)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        """The report as a notebook shows it: a table with a line a module, the notes below it."""
        from normlib.results.render.html import html_table
        from normlib.results.tables.model import Column, Table

        columns = (
            Column("module", "path", label=True),
            Column("was", "was", label=True),
            Column("became", lambda row: row.became or "left as it is", label=True),
        )
        notes = [f"{heading}: {note}" for heading, name in NOTES for note in self._notes(name)]
        return html_table(Table(title=self._heading, columns=columns, rows=self.rows, notes=(*notes, *self._below)))

    def __str__(self) -> str:
        lines = [self._heading]
        wide, was = (max(len(getattr(row, name)) for row in self.rows) for name in ("path", "was"))
        lines += [f"  {row.path:<{wide}}  {row.was:<{was}}  ->  {row.became or 'left as it is'}" for row in self.rows]
        for heading, name in NOTES:
            notes = self._notes(name)
            lines += [f"{heading}:", *(f"  {note}" for note in notes)] if notes else []
        return "\n".join([*lines, *self._below])

    @property
    def _heading(self) -> str:
        return f"{self.title}: {len(self.rows) - len(self.left)} of {len(self.rows)} layers"

    @property
    def _below(self) -> list[str]:
        """What is about the model as a whole, and about an optimizer."""
        return [*self.notes, *(f"optimizer: {line}" for line in self.optimizer)]

    def _notes(self, name: str) -> list[str]:
        """Each note of one kind once, with the modules that it is about."""
        about: dict[str, list[str]] = {}
        for row in self.rows:
            for note in getattr(row, name):
                about.setdefault(note, []).append(row.path)
        everything = len(self.rows)
        return [f"{note} ({'all' if len(paths) == everything else ', '.join(paths)})" for note, paths in about.items()]


def attach_report(report: Report, model: nn.Module) -> None:
    """Attach the report to the model."""
    object.__setattr__(model, ATTRIBUTE, report)


def conversion_report(model: nn.Module) -> Report:
    """What the last `normlib.convert`, `normlib.fold` or `normlib.to_torch` that returned this model did.

    ``print(normlib.conversion_report(model))`` shows it; a notebook shows it as a table.
    """
    report = getattr(model, ATTRIBUTE, None)
    if not isinstance(report, Report):
        raise ValueError(
            f"there is no report on this {type(model).__name__}: pass the very model that normlib.convert, normlib.fold or normlib.to_torch returned"
        )
    return report
