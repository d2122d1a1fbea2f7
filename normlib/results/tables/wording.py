"""Counts and times as the sheets of the analyses write them.

In: numbers. Out: short text. This file knows no analysis.
"""

from __future__ import annotations

import math

from normlib.results.tables.sheet import EMPTY


def amount(value: float) -> str:
    """A count or a time: three digits below 100, whole numbers above, ∞ where it is never; – where there is none."""
    if math.isnan(value):
        return EMPTY
    if math.isinf(value):
        return "∞"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def amount_with_interval(median: float, low: float, high: float) -> str:
    """An amount with its interval, such as "320 (160 to ∞)"; without one where n is too small for it."""
    return amount(median) + ("" if math.isnan(low) else f" ({amount(low)} to {amount(high)})")
