"""Numbers as the sheets of the analyses write them.

In: numbers. Out: short text, and what a column is sorted by. This file knows no analysis.
"""

from __future__ import annotations

import math
import sys

from normlib.results.sheet import EMPTY


def signed_points(fraction: float, decimals: int = 1) -> str:
    """A difference of accuracies in percentage points with its sign; – where there is none."""
    if math.isnan(fraction):
        return EMPTY
    text = f"{100 * fraction:+.{decimals}f}"
    return text[1:] if float(text) == 0 else text.replace("-", "−")


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


def sorted_by(value: float) -> float | None:
    """What a column is sorted by: ∞ as the largest number, since JSON has no infinity; None where there is no number."""
    return None if math.isnan(value) else min(value, sys.float_info.max)


def number(label: str) -> float | None:
    """What a label is sorted by: its number, if it is one."""
    try:
        return float(label)
    except ValueError:
        return None
