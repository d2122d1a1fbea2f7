"""What a figure shows, as data: panels of traces with intervals, axes, titles, and how each arm looks.

In: numbers and plain texts. Out: a `Figure`, which `static.py` draws for files and notebooks, and page.js on the page. Hover
texts are for the page alone. Nothing here knows a plotting library.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from normlib.results.plots.style import Style, styles
from normlib.results.store.columns import BATCH_SIZES
from normlib.results.study.study import Study
from normlib.tasks.metric import Metric

LINEAR, LOG, ORDERED, CATEGORIES = "linear", "log", "ordered", "categories"
"""What an axis is. Numbers that a log axis cannot hold stand in order, side by side; words do so without an order."""
DODGE = {LOG: 0.4, ORDERED: 0.4, CATEGORIES: 0.6}
"""Width that the arms' points take at one place of an axis, in octaves or places, so that equal arms stay visible."""
LARGEST_NUMBER = 1e300
"""On a log axis, which ends some way behind it."""
Limits = tuple[float | None, float | None]
"""The smallest and the largest value that there can be."""


@dataclass(frozen=True)
class Axis:
    """A horizontal axis. `ticks` are where its `labels` stand; without any the renderer chooses. `span` is what it shows."""

    title: str
    kind: str = LINEAR
    ticks: Sequence[float] = ()
    labels: Sequence[str] = ()
    span: tuple[float, float] | None = None

    @property
    def has_lines(self) -> bool:
        """Whether a line may lead from one place to the next: the places have an order."""
        return self.kind != CATEGORIES


@dataclass(frozen=True)
class Trace:
    """The points of one arm. `y` with the ends `low` and `high` of its interval are of shape (points,), NaN where there is
    none; `x` has such an array for each axis of the figure. `diverged` counts the runs behind each point that diverged; a
    point of which nothing else is left has no `y`. `hover` holds plain lines of text, for the page."""

    arm: str
    x: Sequence[NDArray[np.float64]]
    y: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    diverged: NDArray[np.int64]
    hover: Sequence[Sequence[str]] = ()

    def __post_init__(self) -> None:
        """ValueError for arrays that are not of one length."""
        shapes = {np.shape(array) for array in (*self.x, self.y, self.low, self.high, self.diverged)}
        if len(shapes) > 1 or (self.hover and {(len(self.hover),)} != shapes):
            raise ValueError(
                f"x, y, low, high, diverged and hover of a trace have one length, got the shapes {sorted(shapes)}"
            )


@dataclass(frozen=True)
class Panel:
    """The traces of one section, or of one condition (`column`) of it."""

    section: str
    traces: Sequence[Trace]
    column: str = ""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """Panels with common axes. All texts are plain.

    Files show the first of the `axes` and a panel for each condition; on the page a reader chooses one axis and one condition.
    """

    name: str
    """Of its files, and on the page."""
    caption: str
    panels: Sequence[Panel]
    axes: Sequence[Axis]
    y_title: str
    styles: Mapping[str, Style]
    """How each arm looks, in the order of the legend."""
    limits: Limits = (None, None)
    """What no value, interval or axis passes."""
    share_y: bool = True
    """Whether panels have the same vertical axis."""
    from_zero: bool = False
    bands: bool = False
    """Whether intervals are bands along the lines, or bars at the points."""
    zero_line: bool = False
    rope: float | None = None
    """Half-width of the region around 0 that counts as equal in practice; it is shaded."""
    rope_label: str = ""
    log_beyond: float | None = None
    """Further than this from 0 the vertical axis is logarithmic; `y_ticks` are its ticks."""
    y_ticks: Sequence[float] = ()

    def __post_init__(self) -> None:
        """ValueError for a name that is no file's, for an arm without a style, and where there is nothing to show."""
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", self.name):
            raise ValueError(
                f"a figure's name is that of its files: letters, digits and underscores, got {self.name!r}"
            )
        arms = {trace.arm for panel in self.panels for trace in panel.traces}
        if not arms or not arms <= set(self.styles):
            raise ValueError(
                f"a figure has traces of arms that have a style; it has {sorted(arms)} and {sorted(self.styles)}"
            )

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms that have points in any panel, in the order of the legend."""
        drawn = {trace.arm for panel in self.panels for trace in panel.traces}
        return tuple(arm for arm in self.styles if arm in drawn)

    @property
    def sections(self) -> tuple[str, ...]:
        """The sections in the order of the panels."""
        return tuple(dict.fromkeys(panel.section for panel in self.panels))

    @property
    def columns(self) -> tuple[str, ...]:
        """The conditions of the panels, in their order; none where a panel shows all of them."""
        return tuple(dict.fromkeys(panel.column for panel in self.panels if panel.column))

    @property
    def any_diverged(self) -> bool:
        """Whether a run behind any point diverged."""
        return any(trace.diverged.any() for panel in self.panels for trace in panel.traces)


def arm_styles(study: Study) -> dict[str, Style]:
    """The look of every arm of a study, the same in all its figures."""
    chosen = styles(study.places.row_labels, study.controls)
    return {arm: chosen[arm] for arm in study.places.row_labels}


def column_axis(study: Study) -> Axis:
    """The axis of the conditions: positive numbers stand on a log axis, other numbers and words side by side."""
    labels, name = study.places.column_labels, study.question.columns
    try:
        numbers = [float(label) for label in labels]
    except ValueError:
        numbers = []
    if len(set(numbers)) > 1 and all(1 / LARGEST_NUMBER < number < LARGEST_NUMBER for number in numbers):
        octaves = [math.log2(number) for number in numbers]
        margin = max(0.06 * (max(octaves) - min(octaves)), _dodge(octaves, LOG))
        unit = "samples, " if name in BATCH_SIZES else ""
        span = (2 ** (min(octaves) - margin), 2 ** (max(octaves) + margin))
        return Axis(f"{words(name)} ({unit}log scale)", LOG, numbers, labels, span)
    kind = ORDERED if numbers and all(map(math.isfinite, numbers)) else CATEGORIES
    return Axis(words(name), kind, [float(place) for place in range(len(labels))], labels, (-0.5, len(labels) - 0.5))


def places_of(study: Study, axis: Axis, arm: str, columns: Sequence[str]) -> NDArray[np.float64]:
    """Where the points of an arm stand at these conditions, (columns,): a little aside of the other arms'."""
    arms, where = study.places.row_labels, dict(zip(axis.labels, axis.ticks, strict=True))
    at = np.array([where[column] for column in columns])
    ticks = np.log2(axis.ticks) if axis.kind == LOG else axis.ticks
    shift = (arms.index(arm) / max(len(arms) - 1, 1) - 0.5) * _dodge(ticks, axis.kind) if len(arms) > 1 else 0.0
    return at * 2**shift if axis.kind == LOG else at + shift


def within(limits: Limits, *values: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Arrays, each cut off at the limits."""
    low, high = limits
    return [np.clip(value, -math.inf if low is None else low, math.inf if high is None else high) for value in values]


def limits_of(metric: Metric, values: Iterable[NDArray[np.float64]]) -> Limits:
    """0 and 100 of a % metric, unless a value itself lies beyond; nothing limits another metric."""
    inside = all(((each >= 0) & (each <= 100) | np.isnan(each)).all() for each in values)
    return (0.0, 100.0) if metric.percent and inside else (None, None)


def words(name: str) -> str:
    """A setting or value as a reader says it: `data.batch_size` is "batch size"."""
    return name.removeprefix("data.").replace("_", " ").replace(".", " ")


def condition_name(study: Study, column: str) -> str:
    """A condition as a reader says it: "batch size 32"."""
    return f"{words(study.question.columns)} {column}"


def signed(text: str) -> str:
    """A formatted number with a minus sign instead of a hyphen."""
    return text.replace("-", "−")


def _dodge(ticks: Sequence[float] | NDArray[np.float64], kind: str) -> float:
    """The width that the arms' points share at one tick: narrower where ticks are close."""
    gaps = np.diff(np.sort(np.unique(ticks)))
    return DODGE[kind] * float(min(1.0, gaps.min(initial=1.0)))
