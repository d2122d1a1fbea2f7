"""Looks at a comparison while its seeds come in: p values and an interval that hold however often one has looked.

In: the paired differences of one comparison in the order of the seeds, and the planned looks. Out: what all looks taken so
far say together. When to stop, and which comparisons make up a table, is for the caller to say. Each p holds at any stop, so
Holm's correction over a table keeps its promise at any stop too.
Each look spends a share of the level that is fixed in advance. docs/statistics.md says why, and what it costs.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from normlib.results.stats.intervals import LEVEL, mean_interval
from normlib.results.stats.sign_flip import sign_flip_p

LOOKS = (4, 5, 6, 7, 9, 12, 16, 21, 29, 40, 55, 75, 100)
"""From 7 on each is about a third above the one before. Closer looks spend more of the level than they save in seeds. The
first ones are for clear differences: 4 seeds can decide among 3 comparisons, 5 among 12, 6 among 51 (see `look_at`)."""
CLOSE = 0.85
"""There is no look between this part of all seeds and the last look: it could save little."""
EXACT_FROM = 13
"""With so many differences the sign flip can pass the corrections for 25 comparisons and the last look. Fewer get t tests."""
SHARE, FULL_SHARE_FROM, EARLY_SHARES = 0.1, 9, 0.7
"""A look spends a tenth of the level. Under 9 seeds it spends less: only clear differences are decided there, and any share
is enough for them. All looks before the last spend 0.7 at most. benchmarks/statistics_sequential.py measures the cost."""


@dataclass(frozen=True)
class Looked:
    """What the looks taken so far say of one comparison."""

    p: float
    """Two-sided p of "no difference" over all looks taken, not corrected for the table. NaN before the first look: count it
    as 1 in Holm's correction, which would take a table with NaN to be smaller than it is."""
    p_equal: float
    """p of "the difference reaches the region", over all looks taken; NaN before the first look or without a region."""
    low: float
    high: float
    """Interval of the mean difference at the last look, which covers at all looks at once; NaN before the first look."""
    looks: int
    """Looks taken."""
    n: int
    """Seeds with a difference at the last look taken."""


def looks(most_seeds: int) -> tuple[int, ...]:
    """The numbers of seeds at which a comparison is looked at, rising; the last is `most_seeds`, which is at least 1."""
    if most_seeds < 1:
        raise ValueError(f"looks got most_seeds={most_seeds}; a comparison needs at least one seed: give 40, say")
    return (*(n for n in LOOKS if n <= CLOSE * most_seeds), most_seeds)


def shares(planned: Sequence[int]) -> list[float]:
    """The share of the level that each planned look spends. They sum to 1 and depend on nothing that was measured.

    The last look has what the others leave. `planned` must be positive and rise, otherwise it is a ValueError.
    """
    if not planned or planned[0] < 1 or any(later <= n for n, later in itertools.pairwise(planned)):
        raise ValueError(
            f"the planned looks are {tuple(planned)}; they must be positive and rise, as those of looks(40) do"
        )
    early = [SHARE * min(1.0, (n / FULL_SHARE_FROM) ** 2) for n in planned[:-1]]
    scale = min(1.0, EARLY_SHARES / sum(early)) if early else 1.0
    return [*(scale * share for share in early), 1.0 - scale * sum(early)]


def look_at(
    differences: ArrayLike, planned: Sequence[int], resolution: float = 0.0, region: float | None = None
) -> Looked:
    """What the looks say that the seeds so far allow. `differences` is (replicates,), in the order of the seeds.

    NaN is a run that is missing or failed. The k-th look uses the first planned[k] differences, of which those present. It
    is taken once the array is that long. `resolution` is the step of the scores, as in `paired_difference`. `region` is the
    size of difference that counts as equal. Infinite differences, or a region that is not above 0, are a ValueError.

    The p of a look is that of a t test under EXACT_FROM differences, and of the exact sign flip from there on. It is divided
    by the look's share (Bonferroni), so that the smallest so far is a p value at any stop. The p of a t test is never below
    4 / 4^n. Scores with two outcomes, such as runs of which half fail, give n equal differences other than 0 half as often;
    the t test alone would take this chance for certainty. `p_equal` is of two one-sided t tests (Schuirmann 1987,
    doi:10.1007/BF01068419) with the same shares, and never below 2 / 4^n. The interval is a t interval at 1 - 0.05 * share
    of the last look taken (repeated confidence intervals: Jennison and Turnbull 1989).
    """
    array = np.asarray(differences, dtype=np.float64)
    if array.ndim != 1 or np.isinf(array).any():
        raise ValueError(
            f"look_at got differences of shape {array.shape}, {int(np.isinf(array).sum())} of them infinite; it takes finite "
            "ones of one comparison, shape (replicates,): give NaN for pairs to leave out"
        )
    if region is not None and not region > 0:
        raise ValueError(f"look_at got region={region}; give a size above 0, or None where nothing counts as equal")
    taken = [(seeds, share) for seeds, share in zip(planned, shares(planned)) if seeds <= len(array)]
    if not taken:
        return Looked(math.nan, math.nan, math.nan, math.nan, 0, 0)
    p = p_equal = 1.0
    for seeds, share in taken:
        present = array[:seeds][~np.isnan(array[:seeds])]
        if len(present) >= EXACT_FROM:
            p = min(p, sign_flip_p(present) / share)
        elif len(present) > 1:
            p = min(p, float(t_p(present, share, resolution)))
        if region is not None and len(present) > 1:
            p_equal = min(p_equal, float(equal_p(present, share, resolution, region)))
    interval = mean_interval(present, 1 - (1 - LEVEL) * share, resolution * math.sqrt(2))
    low, high = float(interval.mean - interval.half_width), float(interval.mean + interval.half_width)
    return Looked(p, math.nan if region is None else p_equal, low, high, len(taken), len(present))


def t_p(differences: NDArray[np.float64], share: float, resolution: float) -> NDArray[np.float64]:
    """The two-sided p of one look by t, divided by its share; `differences` is (n, ...), none missing, n at least 2."""
    from scipy.special import stdtr

    n, mean, error = _moments(differences, resolution)
    with np.errstate(invalid="ignore", divide="ignore"):  # no spread: t is infinite, or 0 / 0 where all are 0
        p = 2 * stdtr(n - 1, -np.abs(mean) / error) / share
    return np.where(mean == 0, 1.0, np.clip(p, 4 / 4.0**n, 1.0))


def equal_p(differences: NDArray[np.float64], share: float, resolution: float, region: float) -> NDArray[np.float64]:
    """The larger p of two one-sided t tests of one look, divided by its share; (n, ...), none missing, n at least 2."""
    from scipy.special import stdtr

    n, mean, error = _moments(differences, resolution)
    room = region - np.abs(mean)
    with np.errstate(invalid="ignore", divide="ignore"):  # as in t_p
        p = stdtr(n - 1, -room / error) / share
    return np.where(room <= 0, 1.0, np.clip(p, 2 / 4.0**n, 1.0))


def _moments(
    differences: NDArray[np.float64], resolution: float
) -> tuple[int, NDArray[np.float64], NDArray[np.float64]]:
    """n, mean and standard error along axis 0; both scores of a difference are rounded to `resolution`."""
    n, mean = len(differences), differences.mean(axis=0)
    variance = ((differences - mean) ** 2).sum(axis=0) / (n - 1) + resolution**2 / 6
    return n, mean, np.sqrt(variance / n)
