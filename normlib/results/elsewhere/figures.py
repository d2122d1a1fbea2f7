"""The metric of a table made elsewhere: its facts by its name, its figure in each row, and the step of rounded figures.

What is no number is refused. A percentage is never turned into a fraction.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import pandas as pd

from normlib.results.elsewhere.frames import TableError, number_in
from normlib.results.store.columns import STEP
from normlib.results.store.quoting import short
from normlib.tasks.metric import Metric, column_name, known_metric

MOST_DECIMALS = 5
"""Figures with more decimals than that have all their digits: nobody rounded them for a reader."""


def metric_named(name: str, higher_is_better: bool | None, unit: str | None) -> Metric:
    """The facts of the metric: what the user says, else what its name tells."""
    known = known_metric(name)
    if known is None and higher_is_better is None:
        raise TableError(
            f"the name {name!r} does not tell whether more of it is better: add --higher-is-better or --lower-is-better "
            "(in Python higher_is_better=True or False)"
        )
    higher = known.higher_is_better if known is not None and higher_is_better is None else bool(higher_is_better)
    column = column_name(name)
    return Metric(f"metric_{column}" if column == STEP else column, unit or "", higher, title=name)


def figure_in(row: int, value: Any, column: str, metric: Metric) -> float:
    """The metric of one run as a number, NaN where there is none."""
    if value is None or value is pd.NA:
        return math.nan
    number = number_in(value) if isinstance(value, str) else value
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise TableError(
            f"a metric is a number in every row, and {column} in row {row} is {short(value)}; write the number alone"
        )
    if metric.unit == "%" and math.isfinite(number) and not -1 <= number <= 1:
        raise TableError(
            f"with the unit % a metric is a fraction, 0.853 for 85.3 %, and {column} in row {row} is {short(number)}: leave the unit "
            "out to have the numbers shown as they are"
        )
    return float(number)


def step_of(figures: Iterable[float]) -> float:
    """The step to which figures were rounded when they were written down, 0.001 for 0.853; 0 where they have all their digits.

    A few rounded figures are easily all equal, and without a step their interval would have no width.
    """
    exponents = [Decimal(repr(figure)).normalize().as_tuple().exponent for figure in figures if math.isfinite(figure)]
    decimals = max((-exponent for exponent in exponents if isinstance(exponent, int)), default=0)
    return 10.0 ** -max(decimals, 0) if decimals <= MOST_DECIMALS else 0.0
