"""One figure a replicate, of several arms, compared with that of the baseline; all comparisons are one family of tests.

In: arrays of replicates by arm. Out: for each arm the mean difference with its interval and the corrected p, and the two
columns of a table that show them. What the figure is, the caller decides.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from normlib.results.stats import holm, paired_difference, replicates_needed, sign_flip_p
from normlib.results.stats.sequential import look_at
from normlib.results.study.comparison import SIGNIFICANCE, attainable
from normlib.results.study.metrics import with_range
from normlib.results.tables.table import Column, Row, p_value
from normlib.tasks.metric import Metric


@dataclass(frozen=True)
class Against:
    """An arm minus the baseline, over the n replicates that both have; NaN where there is no figure."""

    difference: float = math.nan
    low: float = math.nan
    high: float = math.nan
    n: int = 0
    p: float = math.nan
    p_holm: float = math.nan
    n_needed: int = 0
    """With so many replicates a difference can pass the correction, whatever the other arms show; 0 where nothing is compared."""
    too_few: bool = False
    """Whether no difference, however large, could pass the correction with n replicates, given the other arms' results."""
    why_none: str = ""

    @property
    def clear(self) -> bool:
        """Whether interval and corrected p both say that there is a difference."""
        return self.p_holm <= SIGNIFICANCE and not self.low <= 0 <= self.high


NOT_COMPARED = Against()
"""What the row of the baseline has."""


def against_baseline(
    values: Mapping[str, NDArray[np.float64]],
    baseline: str,
    unpaired: Mapping[str, str],
    resolution: float = 0.0,
    looks: Sequence[int] = (),
) -> dict[str, Against]:
    """By arm, except the baseline; `values` are of shape (replicates,), rows paired, NaN where missing.

    `unpaired` gives the reason for arms that cannot be compared; `resolution` is the step of values that come in steps.
    `looks`: the numbers of seeds at which runs were looked at while they were made; rows are then in the order of the seeds.
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
        if looks:
            found[arm] = _at_looks(differences, looks, resolution)
            continue
        interval = paired_difference(values[arm], values[baseline], resolution=resolution)
        mean, width = float(interval.mean), float(interval.half_width)
        found[arm] = Against(mean, mean - width, mean + width, n, sign_flip_p(differences))
    corrected = holm([against.p for against in found.values()])
    family = [(each.p, float(p)) for each, p in zip(found.values(), corrected, strict=True) if each.n]
    needed = replicates_needed(len(family)) if family else 0
    return {
        arm: dataclasses.replace(each, p_holm=float(p), n_needed=0 if looks else needed, too_few=not (looks or attainable(each.n, family)))
        if each.n else each
        for (arm, each), p in zip(found.items(), corrected, strict=True)
    }  # fmt: skip


def _at_looks(differences: NDArray[np.float64], looks: Sequence[int], resolution: float) -> Against:
    """The figures of the last look that the replicates allow; those behind it count at the next one."""
    made = int(np.flatnonzero(~np.isnan(differences)).max()) + 1
    seeds = max((seeds for seeds in looks if seeds <= made), default=0)
    looked = look_at(differences[:seeds], looks, resolution)
    if looked.n < 2:
        return Against(why_none=f"the first look is after {looks[0]} seeds")
    return Against(float(np.nanmean(differences[:seeds])), looked.low, looked.high, looked.n, looked.p)


def against_columns(
    kind: str, baseline: str, against: Callable[[Row], Against], metric: Metric, unit: str, decimals: int = 1
) -> tuple[Column, Column]:
    """The columns of a row's difference, "+1.2 (+0.3 to +2.1)", strong where it is clear, and of its p or why there is none."""

    def difference(row: Row) -> str:
        one = against(row)
        return with_range(one.difference, one.low, one.high, metric, decimals)

    def p(row: Row) -> str:
        one = against(row)
        return f"too few seeds ({one.n} of {one.n_needed})" if one.too_few else one.why_none or p_value(one.p_holm)

    heading = f"{kind} − that of {baseline}"
    return (
        Column(heading, lambda row: against(row).difference, difference, unit, lambda row: against(row).clear),
        Column(f"p of the {kind} (Holm)", lambda row: against(row).p_holm, p),
    )
