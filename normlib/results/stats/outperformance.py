"""The probability that one arm outperforms another, seed by seed.

In: paired scores, and which runs were lost (diverged). Out: the share of pairs won, with ties as half, and its
interval. The estimand is P(A > B) + P(A = B) / 2 of Bouthillier et al. 2021 (arXiv:2103.03098). Their paired percentile
bootstrap is not used: it gives [1, 1] whenever one arm won every pair.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from normlib.results.stats.intervals import LEVEL


@dataclass(frozen=True)
class Proportion:
    """A share of n pairs with its interval, low to high. Shapes are those of one replicate. All NaN if n is 0."""

    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    n: NDArray[np.int64]
    wins: NDArray[np.int64]
    ties: NDArray[np.int64]


def outperformance(
    a: ArrayLike,
    b: ArrayLike,
    a_lost: ArrayLike | None = None,
    b_lost: ArrayLike | None = None,
    lower_is_better: bool = False,
    level: float = LEVEL,
) -> Proportion:
    """The share of pairs in which a beats b, with ties as half. All arrays are (replicates, *conditions), rows paired.

    `a_lost` and `b_lost` are boolean: a run diverged. It loses against one that did not, whatever the scores, and ties
    with another that diverged. Its score may be NaN. Any other NaN leaves the pair out. The interval is Clopper and
    Pearson's with wins + ties / 2 successes of n: exact without ties, and wider than needed with them.
    """
    from scipy.special import betaincinv

    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if lower_is_better:
        first, second = -first, -second
    first_lost = np.zeros(first.shape, dtype=bool) if a_lost is None else np.asarray(a_lost, dtype=bool)
    second_lost = np.zeros(second.shape, dtype=bool) if b_lost is None else np.asarray(b_lost, dtype=bool)
    present = (first_lost | ~np.isnan(first)) & (second_lost | ~np.isnan(second))
    both = ~first_lost & ~second_lost
    won = present & ((second_lost & ~first_lost) | (both & (first > second)))
    tied = present & ((second_lost & first_lost) | (both & (first == second)))

    n, wins, ties = (np.asarray(where.sum(axis=0)) for where in (present, won, tied))
    successes = wins + ties / 2
    tail = (1 - level) / 2
    with np.errstate(invalid="ignore", divide="ignore"):  # no pair: 0 / 0 is the promised NaN
        mean = np.asarray(successes / n)
    # At either end the beta distribution has a parameter of 0, and the interval includes the end.
    low = np.where(successes > 0, betaincinv(np.maximum(successes, 0.5), n - successes + 1, tail), 0.0)
    high = np.where(successes < n, betaincinv(successes + 1, np.maximum(n - successes, 0.5), 1 - tail), 1.0)
    return Proportion(mean, np.where(n > 0, low, np.nan), np.where(n > 0, high, np.nan), n, wins, ties)
