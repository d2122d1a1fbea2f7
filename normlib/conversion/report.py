"""Says in words what a conversion or a folding did to each norm of a model.

In: one row a module. Out: text. The report is a plain attribute of the model. So copies and pickles of the model keep
it, and its state_dict does not have it. This file changes no layer.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import nn

ATTRIBUTE = "_normlib_conversion_report"


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


@dataclass(frozen=True)
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

    def __str__(self) -> str:
        lines = [f"{self.title}: {len(self.rows) - len(self.left)} of {len(self.rows)} layers"]
        wide, was = (max(len(getattr(row, name)) for row in self.rows) for name in ("path", "was"))
        lines += [f"  {row.path:<{wide}}  {row.was:<{was}}  ->  {row.became or 'left as it is'}" for row in self.rows]
        for heading, name in (("carried over", "carried"), ("changed", "changed"), ("not carried over", "lost")):
            lines += self._notes(heading, name)
        return "\n".join(lines + [*self.notes] + [f"optimizer: {line}" for line in self.optimizer])

    def _notes(self, heading: str, name: str) -> list[str]:
        """Each note once, with the modules that it is about."""
        about: dict[str, list[str]] = {}
        for row in self.rows:
            for note in getattr(row, name):
                about.setdefault(note, []).append(row.path)
        lines = [f"{heading}:"] if about else []
        for note, paths in about.items():
            whom = "all" if len(paths) == len(self.rows) else ", ".join(paths)
            lines.append(f"  {note} ({whom})")
        return lines


def attach_report(report: Report, model: nn.Module) -> None:
    """Attach the report to the model."""
    object.__setattr__(model, ATTRIBUTE, report)


def conversion_report(model: nn.Module) -> Report:
    """What the last `normlib.convert`, `normlib.fold` or `normlib.to_torch` that returned this model did.

    ``print(normlib.conversion_report(model))`` shows it.
    """
    report = getattr(model, ATTRIBUTE, None)
    if not isinstance(report, Report):
        raise ValueError(
            f"there is no report on this {type(model).__name__}: pass the very model that normlib.convert, normlib.fold or normlib.to_torch returned"
        )
    return report
