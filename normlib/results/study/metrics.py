"""Writes the figures of a metric for a reader, and finds the metrics of runs.

In: facts of a metric, figures, frames of runs. Out: text with the metric's unit, and `Metric`s. A % metric is stored as
a fraction and shown in percent, with differences in points. Any other is shown as it is. This file computes no figure.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from collections.abc import Iterable

import pandas as pd

from normlib.naming import unknown_name
from normlib.results.store.columns import METRIC_FACTS, UNKNOWN_SPLIT, is_setting
from normlib.results.store.record import TRAINED
from normlib.results.study.axes import ReportError
from normlib.tasks.metric import Metric, known_metric

MEASURED = {
    "samples_per_second": Metric("samples_per_second"),
    "seconds_per_step": Metric("seconds_per_step", "s", higher_is_better=False),
    "seconds_training": Metric("seconds_training", "s", higher_is_better=False),
}
"""What a run measures besides its task's metrics."""
MOST_DECIMALS = 8
"""A half-width smaller than this many decimals does not decide the decimals of a figure."""
SPLITS = ("test", "validation", "train")
EMPTY = "–"
"""Shown in place of a missing figure."""


def scale(metric: Metric) -> float:
    """The factor from a stored figure to a shown one: 100 for a fraction shown in percent, else 1."""
    return 100.0 if metric.percent else 1.0


def figure(value: float, metric: Metric, sign: bool = False, decimals: int = 1, width: float = math.nan) -> str:
    """A figure without its unit, or with `sign` a difference of two. – if missing; zero has no sign.

    A % metric is written in percent with `decimals`. Any other has the decimals of two digits of `width`, the
    half-width of its interval, or four digits without one.
    """
    if value != value:
        return EMPTY
    form = f".{decimals}f" if metric.percent else ".4g"
    if not metric.percent and 10.0**-MOST_DECIMALS < width < math.inf:
        form = f".{max(0, 1 - math.floor(math.log10(width)))}f"
    text = f"{scale(metric) * value:{'+' if sign else ''}{form}}"
    zero = math.isfinite(value) and float(text) == 0
    return text.lstrip("+-") if zero else text.replace("-", "−").replace("inf", "∞")


def with_half_width(value: float, half_width: float, metric: Metric, sign: bool = False, decimals: int = 1) -> str:
    """A figure with the half-width of its interval, as in "97.1 ± 0.4". Only the figure if there is no interval."""
    text = figure(value, metric, sign, decimals, half_width)
    return text if half_width != half_width else f"{text} ± {figure(half_width, metric, False, decimals, half_width)}"


def with_range(value: float, low: float, high: float, metric: Metric, decimals: int = 1) -> str:
    """A difference with the ends of its interval, as in "+1.2 (+0.3 to +2.1)". Only the difference if there is no interval."""
    text, least, most = (figure(each, metric, True, decimals, (high - low) / 2) for each in (value, low, high))
    return text if low != low else f"{text} ({least} to {most})"


def title(value: str, metric: Metric) -> str:
    """A measured column in words: `test.top1` is "test top1", `seconds_per_step` is "seconds per step"."""
    split = value.rpartition(".")[0].replace(".", " ").replace(UNKNOWN_SPLIT, "")
    return f"{split} {metric.title}" if split else metric.title


def difference_unit(metric: Metric) -> str:
    """The unit of a difference: points for a % metric, else the metric's own, or "" if it has none."""
    return "points" if metric.percent else metric.unit


def with_unit(text: str, unit: str) -> str:
    """A figure and its unit, as in "0.3 bits". Only the figure if there is no unit."""
    return f"{text} {unit}" if unit else text


def bracketed(words: str, unit: str) -> str:
    """Words of a heading or an axis, with the unit in brackets unless they contain it: "difference (points)"."""
    return f"{words} ({unit})" if unit and unit not in words.split() else words


def in_unit(words: str, unit: str) -> str:
    """Words of a title with their unit, unless they contain it: "test accuracy in %"."""
    return f"{words} in {unit}" if unit and unit not in words.split() else words


def direction(metric: Metric) -> str:
    """Which figures are better: "higher" or "lower"."""
    return "higher" if metric.higher_is_better else "lower"


def metrics_of(runs: pd.DataFrame) -> tuple[Metric, ...]:
    """The metrics of the runs, the main one first. Of several tasks, those that all of them have with the same facts."""
    tasks = _tasks(runs)
    return tuple(metric for metric in tasks[0] if all(metric in task for task in tasks)) if tasks else ()


def metric_of(runs: pd.DataFrame, name: str | None = None, higher_is_better: bool | None = None) -> Metric:
    """The metric called `name`, or the main one of the runs. `higher_is_better` sets its direction.

    Raises ReportError if no run has the name, if tasks mean different things by it, if there is no single main metric,
    or if nothing says its direction.
    """
    tasks = _tasks(runs)
    if name is not None:
        return _named(runs, name, higher_is_better)
    mains = list(dict.fromkeys(task[0] for task in tasks))
    if len(mains) > 1:
        raise ReportError(
            f"a report shows one metric, but the tasks of these runs have different main ones: {_listed(mains)}; name one that "
            "all have with metric=..., or select the runs of one task, as in data=..."
        )
    if not mains and not runs["status"].isin(TRAINED).any():
        return Metric("metric")  # no run has a figure, whatever the metric is
    if not mains:
        raise ReportError(
            "a report shows one metric, but these runs do not say which they have; name it with metric=..."
        )
    return _directed(mains[0], higher_is_better)


def _named(runs: pd.DataFrame, name: str, higher_is_better: bool | None) -> Metric:
    columns = [f"{split}.{name}" for split in SPLITS if f"{split}.{name}" in runs]
    facts = [metric for task in _tasks(runs) for metric in task]
    if not columns and not any(metric.name == name for metric in facts) and runs["status"].isin(TRAINED).any():
        there = (column.partition(".")[2] for column in runs if column.partition(".")[0] in SPLITS)
        raise ReportError(f"metric={name}: {unknown_name('metric', name, {*there} - {'samples'})}")
    known = any(metric.name == name for metric in facts) or known_metric(name) is not None
    if not known and higher_is_better is None:
        raise ReportError(
            f"metric={name}: its name does not say whether higher or lower is better; say metric.higher_is_better=true or false"
        )
    return _directed(metric_of_value(runs, f"{SPLITS[0]}.{name}"), higher_is_better)


def _directed(metric: Metric, higher_is_better: bool | None) -> Metric:
    return metric if higher_is_better is None else dataclasses.replace(metric, higher_is_better=higher_is_better)


def metric_of_value(runs: pd.DataFrame, value: str) -> Metric:
    """The facts of a measured column, such as `test.accuracy`.

    Of an unknown column, lower is better. Raises ReportError if the tasks of the runs mean different things by it.
    """
    split, _, name = value.rpartition(".")
    tasks = _tasks(runs) if split in SPLITS else []
    found = list(dict.fromkeys(metric for task in tasks for metric in task if metric.name == name))
    if len(found) > 1:
        raise ReportError(
            f"the tasks of these runs mean different things by the metric {name}: {_listed(found)}; select the runs of one task"
        )
    return found[0] if found else MEASURED.get(name) or known_metric(name) or Metric(name, higher_is_better=False)


def check_value(runs: pd.DataFrame, value: str) -> None:
    """Raises ReportError, with the closest names, if the value is not a measured number of the runs."""
    valid = [name for name in runs if not is_setting(name) and pd.api.types.is_numeric_dtype(runs[name])]
    if value not in valid:
        raise ReportError(f"value={value}: {unknown_name('measured number', value, valid)}")


def _tasks(runs: pd.DataFrame) -> list[tuple[Metric, ...]]:
    """The metrics of each task among the runs."""
    texts = dict.fromkeys(runs[METRIC_FACTS].dropna()) if METRIC_FACTS in runs else {}
    return [metrics for text in texts if (metrics := _metrics(text))]


@functools.lru_cache(maxsize=256)  # the runs of a task share the text
def _metrics(text: str) -> tuple[Metric, ...]:
    return tuple(map(Metric.from_facts, json.loads(text)))


def _listed(metrics: Iterable[Metric]) -> str:
    return ", ".join(
        f"{metric.name} ({in_unit(metric.title, metric.unit)}, {direction(metric)} is better)" for metric in metrics
    )
