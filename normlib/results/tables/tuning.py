"""What tuning chose: for each arm and condition the chosen value, and the mean on validation of every value that was tried."""

from __future__ import annotations

from typing import Any

from normlib.results.study.axes import as_text
from normlib.results.study.metrics import bracketed, direction, figure
from normlib.results.study.study import Study
from normlib.results.study.tuning import FOUND
from normlib.results.tables.table import Column, Table, register_table


@register_table(
    "tuning",
    "How settings were chosen",
    "Every arm gets the same trials, and the best mean validation figure chooses.",
    order=30,
)
def tuning(study: Study) -> list[Table]:
    """A line an arm and condition, a column a value; none where no trial has a record. The study is one without runs."""
    choices = study.choices
    if choices is None or not len(choices.found):
        return []
    axis, found, metric = choices.axis, choices.found, choices.metric
    keys, mean = [name for name in found.columns if name not in FOUND], f"validation.{metric.name}"
    rows, chosen = [], {}
    for each in found.to_dict("records"):
        labels = {str(key): as_text(each[key]) for key in keys}
        chosen[tuple(labels.values())] = each["why_not"] or as_text(each["chosen"]) + " (edge)" * bool(each["at_edge"])
        rows += [
            {
                **labels, axis: as_text(value), mean: each["means"][value], "trials": each["trials"],
                "chosen": value == each["chosen"], "at_edge": bool(each["at_edge"]) and value == each["chosen"],
            }
            for value in each["means"]
        ]  # fmt: skip

    def choice(row: dict[str, Any]) -> str:
        return chosen[tuple(row[str(key)] for key in keys)]

    notes = [
        f"Mean {metric.title} on validation ({direction(metric)} is better) of each {axis} over the trials. Trials have seeds of their "
        "own, the same for every arm and condition. Tables marked tuned show every arm at its chosen value, those marked fixed all "
        "at one.",
        "Bold: chosen; the smaller of equals.",
    ]
    if edges := int(found["at_edge"].sum()):
        notes.append(
            f"(edge): {edges} of {len(found)} choices are at the edge of the grid; a better value may lie beyond it."
        )
    values = map(as_text, found["means"].iloc[0])
    return [
        Table(
            name="tuning",
            title=f"Tuning: {axis} by {metric.title} on validation",
            columns=(
                *(Column(str(key), str(key), label=True) for key in keys),
                Column("chosen", choice),
                Column("mean", mean, lambda row: figure(row[mean], metric), strong=lambda row: row["chosen"]),
            ),
            rows=rows,
            notes=tuple(notes),
            across={value: bracketed(value, metric.unit) for value in values},
            place=axis,
            in_terminal=True,
        )
    ]
