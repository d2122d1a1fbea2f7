"""The interactive plots as data: panels with lines, intervals and the texts that hovering shows, and where they stand.

In: figures and texts. Out: `Plot`s of plain numbers, rounded, and texts, escaped, since plotly reads tags in texts.
page.js draws them. This file knows no plotting library and looks at no run.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from normlib.results.store.columns import BATCH_SIZES
from normlib.results.study.study import Study

DODGE = 0.18
"""Columns (or octaves) between the first and the last arm's points at one column, so that equal arms stay visible."""
Bounds = tuple[float, float, float]
"""A figure with the low and the high end of its interval, NaN where there is none."""
Cell = tuple[str, Bounds, str]
"""One point of a line: its column, its figure and its hover text."""


@dataclass(frozen=True)
class Axis:
    """The columns' axis: where each column stands, its label and the axis' title as texts for plotly."""

    title: str
    ticks: Sequence[float]
    labels: Sequence[str]
    logarithmic: bool


@dataclass(frozen=True)
class Trace:
    """One arm's line: `x`, `y`, the ends `low` and `high` of the interval and the hover `text`, all of shape (points,).

    `column` is the condition that it belongs to, where a plot shows one condition at a time. `x` then holds the values by
    the name of each axis that the reader can choose, and hovering shows them, without a `text`.
    """

    arm: str
    x: Sequence[float | None] | dict[str, list[float | None]]
    y: Sequence[float | None]
    low: Sequence[float | None]
    high: Sequence[float | None]
    text: Sequence[str]
    column: str | None = None


@dataclass(frozen=True)
class Panel:
    """The lines of one section."""

    section: str
    traces: Sequence[Trace]


@dataclass(frozen=True)
class Plot:
    """Panels with common axes. The vertical title is a text for plotly, escaped; the caption is plain text."""

    name: str
    caption: str
    panels: Sequence[Panel]
    y_title: str
    x: Axis | None = None
    """None where the reader chooses among `axes`."""
    top: float | None = None
    """The largest value that there can be, which the axis need not pass."""
    from_zero: bool = False
    rope: float | None = None
    """Half-width of the region that counts as equal, drawn as a band around 0."""
    columns: Sequence[str] = ()
    """Conditions of which the reader chooses one; none: all points are shown."""
    axes: Sequence[str] = ()
    unit: str = ""
    """Of the values, a text for plotly, where hovering writes them from the traces."""
    decimals: int | None = None
    """How many it shows then; None: four digits."""

    @property
    def arms(self) -> frozenset[str]:
        """The arms that have a line in any panel."""
        return frozenset(trace.arm for panel in self.panels for trace in panel.traces)


def column_axis(study: Study) -> Axis:
    """Positive numbers stand on a logarithmic axis, anything else side by side."""
    labels, name = study.places.column_labels, study.question.columns
    try:
        numbers = [float(label) for label in labels]
    except ValueError:
        numbers = []
    shown = [escaped(label) for label in labels]
    if len(set(numbers)) < 2 or min(numbers) <= 0 or not all(map(math.isfinite, numbers)):
        return Axis(escaped(words(name)), [float(place) for place in range(len(labels))], shown, False)
    unit = "samples, " if name in BATCH_SIZES else ""
    return Axis(f"{escaped(words(name))} ({unit}log scale)", numbers, shown, True)


def placed(study: Study, arm: str, cells: Sequence[Cell]) -> Trace:
    """The line of an arm, a little aside of the others' on the columns' axis."""
    axis, arms = column_axis(study), study.places.row_labels
    where = dict(zip(study.places.column_labels, axis.ticks, strict=True))
    shift = (arms.index(arm) - (len(arms) - 1) / 2) * DODGE / max(len(arms) - 1, 1)
    x = [where[column] * 2**shift if axis.logarithmic else where[column] + shift for column, _, _ in cells]
    y, low, high = (rounded(bounds[end] for _, bounds, _ in cells) for end in range(3))
    return Trace(arm, rounded(x, 5), y, low, high, [text for _, _, text in cells])


def words(name: str) -> str:
    """A setting or value as a reader says it: `data.batch_size` is "batch size"."""
    return name.removeprefix("data.").replace("_", " ").replace(".", " ")


def rounded(values: Iterable[float], digits: int = 4) -> list[float | None]:
    """So many significant digits, which no eye can tell from more; None for what is no finite number."""
    short = (float(f"{value:.{digits}g}") if math.isfinite(value) else None for value in values)
    return [int(value) if value is not None and value.is_integer() else value for value in short]


def text_lines(lines: Iterable[str]) -> str:
    """A text for plotly, which reads tags and entities: each line shows as its letters."""
    return "<br>".join(escaped(" ".join(line.split())) for line in lines)


def escaped(text: str) -> str:
    """A text that plotly shows as its letters. Quotes stay as they are: plotly knows no entity for them."""
    return html.escape(text, quote=False)


def condition_name(study: Study, column: str) -> str:
    """A condition as a reader says it: "batch size 32"."""
    return f"{words(study.question.columns)} {column}"


def signed(text: str) -> str:
    """A formatted number with a minus sign instead of a hyphen."""
    return text.replace("-", "−")
