"""The sign-flip test of paired differences, and how many replicates it needs.

In: the differences of one arm to another, seed by seed. Out: a p value. It is exact for any distribution that is
symmetric around 0 if the arms are equal, such as the difference of two exchangeable runs. Above EXACT_UP_TO differences
the p is a Monte Carlo estimate with a fixed seed. Below, nothing is random.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import ArrayLike, NDArray

EXACT_UP_TO = 40
"""This many differences make two halves of 2^20 sums each: a tenth of a second and 16 MB."""

TIE = 1e-12
"""Sums closer than this times the sum of all |differences| are equal. Adding 40 floats is 100 times more precise."""

FLIPS = 100_000
"""Random sign patterns above EXACT_UP_TO. The estimate's standard error at p = 0.05 is 0.0007."""


def sign_flip_p(differences: ArrayLike) -> float:
    """Two-sided p of the mean of paired differences, shape (n,), NaN dropped. NaN if none is left.

    It is the share of the 2^n patterns of signs whose sum is at least as far from 0 as the observed sum, ties included.
    The sums are never all stored. Those of each half of the differences are sorted and counted against each other
    (Horowitz and Sahni 1974, doi:10.1145/321812.321823). Above 40 differences, 100,000 patterns are drawn with seed 0,
    and p is (1 + as extreme) / (1 + drawn), so it is never 0. Raises ValueError for infinite differences.
    """
    array = np.asarray(differences, dtype=np.float64)
    present = array[~np.isnan(array)]
    if np.isinf(present).any():
        raise ValueError(
            f"sign_flip_p got {int(np.isinf(present).sum())} infinite differences; a mean needs finite ones: "
            "give NaN for pairs to leave out, or use outperformance, which needs only to know who won"
        )
    n = len(present)
    if n == 0:
        return float("nan")
    extreme = abs(present.sum()) - TIE * np.abs(present).sum()
    if extreme <= 0:
        return 1.0
    if n > EXACT_UP_TO:
        return float((1 + np.sum(np.abs(present @ _signs(n)) >= extreme)) / (1 + FLIPS))
    left, right = _sums(present[: n // 2]), _sums(present[n // 2 :])
    at_least = len(right) - np.searchsorted(right, extreme - left)  # by left sum: right sums that reach the extreme
    return float(2 * at_least.sum() / 2.0**n)  # the sums lie symmetrically around 0


def smallest_sign_flip_p(n: int) -> float:
    """The smallest p that n paired differences can have: 2 of the 2^n patterns have all signs equal. 1 for n = 0."""
    return min(1.0, 2.0 / 2.0**n)


def replicates_needed(comparisons: int, level: float = 0.05) -> int:
    """The smallest n whose smallest p passes Holm's first step, `level` / comparisons. `level` is the test's."""
    if comparisons < 1 or not 0 < level < 1:
        raise ValueError(
            f"replicates_needed got comparisons={comparisons}, level={level}; "
            "there must be at least one comparison and a level between 0 and 1, such as 0.05"
        )
    n = 1
    while smallest_sign_flip_p(n) > level / comparisons:
        n += 1
    return n


@functools.lru_cache(maxsize=1)
def _signs(n: int) -> NDArray[np.float64]:
    """FLIPS patterns of n signs, (n, FLIPS), always the same. Most comparisons of a table have the same n."""
    drawn = np.random.default_rng(0).integers(0, 2, (n, FLIPS), dtype=np.int8)
    return 2.0 * drawn.astype(np.float64) - 1.0


def _sums(differences: NDArray[np.float64]) -> NDArray[np.float64]:
    """The sums of the differences under every pattern of signs, sorted, shape (2^n,)."""
    sums = np.zeros(1)
    for size in np.abs(differences):  # two sorted halves, which a stable sort only merges
        sums = np.sort(np.concatenate([sums - size, sums + size]), kind="stable")
    return sums
