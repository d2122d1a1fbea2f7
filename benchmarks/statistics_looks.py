"""Tables of comparisons with looks until they are decided: normlib's looks, and other ways.

In: differences to the baseline of whole tables, (seeds, tables, conditions, arms). Out: when and how each comparison was
decided. docs/statistics.md compares the other ways with normlib's. This file draws nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from normlib.results.stats import holm, looks, sign_flip_p
from normlib.results.stats.sequential import EXACT_FROM, equal_p, shares, t_p

Array = NDArray[np.float64]

LEVEL, MOST_SEEDS = 0.05, 40
MARGIN = 4
"""The slow sign flip is skipped if the p of the t test is this many times too large for any claim, or this squared too small
to miss one. A test checks that the decisions equal those of `look_at`."""


@dataclass(frozen=True)
class Followed:
    """The end of each comparison, each array (tables, conditions, arms): the seeds of the arm, and what was claimed."""

    seeds: NDArray[np.int64]
    different: NDArray[np.bool_]
    equal: NDArray[np.bool_]

    @property
    def runs(self) -> float:
        """Mean number of runs per table, with the baseline's."""
        return float((self.seeds.sum(axis=2) + self.seeds.max(axis=2)).sum(axis=1).mean())


def followed(
    differences: Array,
    planned: Sequence[int],
    resolution: float = 0.0,
    region: float | None = None,
    spent: Sequence[float] | None = None,
    exact_from: int = EXACT_FROM,
    small_p: Callable[[Array, float, float], Array] = t_p,
) -> Followed:
    """Tables with looks until they are decided, as `look_at` and Holm decide.

    `differences` is (seeds, tables, conditions, arms). The last three arguments are for the comparisons in
    docs/statistics.md: other shares, exact tests or t tests.
    """
    shape = differences.shape[1:]
    p, p_equal, seeds = np.ones(shape), np.ones(shape), np.zeros(shape, dtype=np.int64)
    different, equal = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    for n, share in zip(planned, spent or shares(planned)):
        going = ~(different | equal)
        seeds[going] = n
        found = small_p(differences[:n], share, resolution)
        if n >= exact_from:
            # In Holm's order each claim comes before those that cannot be claimed, so its factor is larger than their number.
            hopeless = ((p > LEVEL) & (~going | (found > MARGIN * LEVEL))).sum(axis=(1, 2), keepdims=True)
            near = going & (found <= MARGIN * LEVEL / (hopeless + 1))
            found[~near] = 1.0
            if n >= EXACT_FROM:
                near &= found > LEVEL / found[0].size / MARGIN**2
            found[near] = [sign_flip_p(of_one) / share for of_one in differences[:n, near].T]
        p[going] = np.minimum(p, found)[going]
        different |= going & (holm_of_tables(p) <= LEVEL)
        if region is not None:
            p_equal[going] = np.minimum(p_equal, equal_p(differences[:n], share, resolution, region))[going]
            equal |= going & ~different & (holm_of_tables(p_equal) <= LEVEL)
    return Followed(seeds, different, equal)


def holm_of_tables(p: Array) -> Array:
    """Holm-corrected p of each table, (tables, conditions, arms)."""
    return np.array([holm(of_table) for of_table in p])


def unbounded_t_p(differences: Array, share: float, resolution: float) -> Array:
    """The plain t test, for which a few equal differences are certain."""
    from scipy.special import stdtr

    n = len(differences)
    error = np.sqrt((differences.var(axis=0, ddof=1) + resolution**2 / 6) / n)
    with np.errstate(invalid="ignore", divide="ignore"):  # no spread
        p = 2 * stdtr(n - 1, -np.abs(differences.mean(axis=0)) / error) / share
    return np.where(np.isnan(p), 1.0, np.minimum(p, 1.0))


def betting(differences: Array, planned: Sequence[int]) -> Followed:
    """Bets on the signs instead of looks: the product of exp(g x) / cosh(g x) is 1 on average for any symmetric law.

    x are the differences divided by the root of the mean square so far. The bets g are spread evenly, in both
    directions. 1 / product is a p value at any stop (Ville 1939).
    """
    scale = np.sqrt(np.cumsum(differences**2, axis=0) / np.arange(1, len(differences) + 1)[:, None, None, None])
    x = differences / scale
    wealth = np.mean(
        [np.exp(np.cumsum(g * x - np.log(np.cosh(g * x)), axis=0)) for size in (0.5, 1, 3) for g in (size, -size)],
        axis=0,
    )
    p = 1 / np.maximum.accumulate(np.maximum(wealth, 1.0), axis=0)
    seeds, different = np.zeros(p.shape[1:], dtype=np.int64), np.zeros(p.shape[1:], dtype=bool)
    stopped = np.ones(p.shape[1:])
    for n in planned:
        going = ~different
        seeds[going] = n
        stopped[going] = p[n - 1][going]
        different |= holm_of_tables(stopped) <= LEVEL
    return Followed(seeds, different, np.zeros_like(different))


METHODS: dict[str, Callable[[Array], Followed]] = {
    "as built": lambda d: followed(d, looks(MOST_SEEDS)),
    "sign flip at every look": lambda d: followed(d, looks(MOST_SEEDS), exact_from=1),
    "betting on signs": lambda d: betting(d, looks(MOST_SEEDS)),
    "t from 3 seeds, no bound": lambda d: followed(d, (3, *looks(MOST_SEEDS)), small_p=unbounded_t_p),
    "every look at the full level": lambda d: followed(d, looks(MOST_SEEDS), spent=[1.0] * len(looks(MOST_SEEDS))),
}
