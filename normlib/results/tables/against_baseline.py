"""One figure a replicate of several arms, held against that of the baseline: differences, and tests as one family.

In: arrays of replicates by arm. Out: for each arm but the baseline the mean difference with its interval and the corrected
p, and the words for them. This file never decides what the figure is.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from normlib.results.stats import holm, paired_difference, replicates_needed, sign_flip_p
from normlib.results.study.comparison import SIGNIFICANCE, attainable
from normlib.results.study.metrics import figure
from normlib.results.tables.sheet import EMPTY, Cell, p_value
from normlib.tasks.metric import Metric


@dataclass(frozen=True)
class Against:
    """An arm minus the baseline, over the n replicates that both have; NaN where n is too small to say anything."""

    difference: float = math.nan
    low: float = math.nan
    high: float = math.nan
    n: int = 0
    p: float = math.nan
    p_holm: float = math.nan
    n_needed: int = 0
    """Replicates with which a difference can pass the correction whatever the others show; 0 where nothing is compared."""
    too_few: bool = False
    """Whether no difference, however large, could pass the correction with so few replicates, the others being as they are."""
    why_none: str = ""

    @property
    def clear(self) -> bool:
        """Whether interval and corrected p both say that there is a difference."""
        return self.p_holm <= SIGNIFICANCE and not self.low <= 0 <= self.high


def against_baseline(
    values: Mapping[str, NDArray[np.float64]], baseline: str, unpaired: Mapping[str, str], resolution: float = 0.0
) -> dict[str, Against]:
    """By arm but the baseline; `values` are of shape (replicates,), rows paired, NaN where missing.

    `unpaired` says of arms why they are not compared at all; `resolution` is the step of the values, if they come in steps.
    """
    if baseline not in values:
        return {}
    found: dict[str, Against] = {}
    for arm in (arm for arm in values if arm != baseline):
        differences = values[arm] - values[baseline]
        n = int((~np.isnan(differences)).sum())
        if unpaired.get(arm) or not n:
            found[arm] = Against(why_none=unpaired.get(arm) or "no replicate in common")
            continue
        interval = paired_difference(values[arm], values[baseline], resolution=resolution)
        mean, width = float(interval.mean), float(interval.half_width)
        found[arm] = Against(mean, mean - width, mean + width, n, sign_flip_p(differences))
    corrected = holm([against.p for against in found.values()])
    family = [(each.p, float(p)) for each, p in zip(found.values(), corrected, strict=True) if each.n]
    needed = replicates_needed(len(family)) if family else 0
    return {
        arm: dataclasses.replace(each, p_holm=float(p), n_needed=needed, too_few=not attainable(each.n, family))
        if each.n else each
        for (arm, each), p in zip(found.items(), corrected, strict=True)
    }  # fmt: skip


def difference_cell(against: Against | None, metric: Metric, decimals: int = 1) -> Cell:
    """The difference with its interval, such as "+1.2 (+0.3 to +2.1)", in the metric's unit, or points where that is %."""
    if against is None or against.why_none:
        return Cell(EMPTY)
    text, low, high = (
        figure(value, metric, sign=True, decimals=decimals, width=(against.high - against.low) / 2)
        for value in (against.difference, against.low, against.high)
    )
    interval = "" if math.isnan(against.low) else f" ({low} to {high})"
    return Cell(text + interval, against.difference, against.clear)


def p_cell(against: Against | None) -> Cell:
    """The corrected p, or why there is none: "n=5 cannot show it; 8 needed"."""
    if against is None:
        return Cell(EMPTY)
    if against.why_none:
        return Cell(against.why_none)
    if against.too_few:
        return Cell(f"n={against.n} cannot show it; {against.n_needed} needed", against.p_holm)
    return Cell(p_value(against.p_holm), against.p_holm)
