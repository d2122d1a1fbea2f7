"""What tuning chose, in words: for each arm and condition the chosen value and the mean on validation of every value.

In: what `tuning.choices` found. Out: a sheet. This file chooses nothing.
"""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from normlib.results.study.axes import as_text
from normlib.results.study.metrics import bracketed, direction, figure
from normlib.results.study.tuning import FOUND
from normlib.results.tables.sheet import EMPTY, Cell, Line, Sheet, number
from normlib.tasks.metric import Metric


def tuning_sheets(axis: str, found: pd.DataFrame, metric: Metric) -> tuple[Sheet, ...]:
    """One sheet on the choices of the setting `axis` by `metric`; none where no trial has a record."""
    if not len(found):
        return ()
    keys = [name for name in found.columns if name not in FOUND]
    values = list(found["means"].iloc[0])
    lines, tidy = [], []
    for row in found.to_dict("records"):
        labels = [as_text(row[key]) for key in keys]
        lines.append(
            Line(labels[0], (*(Cell(label, number(label)) for label in labels), *_figures(row, values, metric)))
        )
        tidy += [
            dict(zip(keys, labels, strict=True))
            | {axis: as_text(value), f"validation.{metric.name}": row["means"][value], "trials": row["trials"]}
            | {"chosen": str(value == row["chosen"]).lower(), "at_edge": str(row["at_edge"] and value == row["chosen"]).lower()}
            for value in values
        ]  # fmt: skip
    return (
        Sheet(
            name="tuning",
            title=f"Tuning: {axis} by {metric.title} on validation",
            header=(*keys, "chosen", *(bracketed(as_text(value), metric.unit) for value in values)),
            lines=tuple(lines),
            notes=_notes(axis, found, metric),
            tidy=tuple(tidy),
            num_labels=len(keys),
        ),
    )


def _figures(row: dict[str, Any], values: list[Any], metric: Metric) -> list[Cell]:
    """The chosen value, flagged at an edge of the grid, then each value's mean."""
    chosen = (
        Cell(as_text(row["chosen"]) + (" (edge)" if row["at_edge"] else ""))
        if not row["why_not"]
        else Cell(row["why_not"])
    )
    means = [row["means"][value] for value in values]
    return [
        chosen,
        *(
            Cell(EMPTY) if math.isnan(mean) else Cell(figure(mean, metric), mean, strong=value == row["chosen"])
            for value, mean in zip(values, means, strict=True)
        ),
    ]


def _notes(axis: str, found: pd.DataFrame, metric: Metric) -> tuple[str, ...]:
    """What the figures are, and how far the choice can be trusted."""
    notes = [
        f"Mean {metric.title} on validation ({direction(metric)} is better) of each {axis} over the trials, on seeds of their own, the same for every arm and "
        "condition. Tables marked tuned show every arm at its chosen value, those marked fixed all at one.",
        "Bold: chosen; the smaller of equals.",
    ]
    edges = int(found["at_edge"].sum())
    if edges:
        notes.append(
            f"(edge): {edges} of {len(found)} choices are at the edge of the grid; a better value may lie beyond it."
        )
    return tuple(notes)
