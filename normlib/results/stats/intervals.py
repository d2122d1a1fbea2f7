"""Intervals of means, of differences between two arms, and of a median.

In: arrays of replicates (axis 0, NaN if one is missing). Out: the figure with its interval. This file never resamples:
every interval is a formula.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

LEVEL = 0.95
"""The default confidence level of every interval."""


@dataclass(frozen=True)
class Interval:
    """A mean with its interval, mean ± half_width, from n replicates. Shapes are those of one replicate.

    The mean is NaN without replicates, and the half-width with fewer than two: one replicate says nothing about spread.
    """

    mean: NDArray[np.float64]
    half_width: NDArray[np.float64]
    n: NDArray[np.int64]


def mean_interval(values: ArrayLike, level: float = LEVEL, resolution: float = 0.0) -> Interval:
    """Mean over replicates with its t interval. `values` has shape (replicates, *conditions), NaN if missing.

    Exact for normal values. `resolution` is the step of values that come in steps, such as 1 / test samples for an
    accuracy, in the unit of the values. The variance of rounding to it, resolution² / 12, is added to the sample
    variance. A few such values are easily all equal, and an interval of width 0 would claim to know their mean.
    """
    from scipy.special import stdtrit  # a third of the import time of scipy.stats

    n, mean, variance = _moments(values, resolution)
    with np.errstate(invalid="ignore", divide="ignore"):  # no replicates: 0 / 0 is the promised NaN
        quantile = stdtrit(np.where(n > 1, n - 1, np.nan), 0.5 + level / 2)
        half_width = quantile * np.sqrt(variance / n)
    return Interval(mean, np.asarray(half_width), n)


def paired_difference(a: ArrayLike, b: ArrayLike, level: float = LEVEL, resolution: float = 0.0) -> Interval:
    """Mean of a - b over the replicates that both have, with its t interval. Both are (replicates, *conditions).

    `resolution` is the step of a and of b, as in `mean_interval`. Their difference was rounded twice, so resolution² /
    6 is added to its variance.
    """
    differences = np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64)
    return mean_interval(differences, level, resolution * math.sqrt(2))


def welch_difference(a: ArrayLike, b: ArrayLike, level: float = LEVEL, resolution: float = 0.0) -> Interval:
    """Mean of a minus mean of b with Welch's t interval, for unpaired arms. Shapes (n_a,) and (n_b,).

    The degrees of freedom are Welch–Satterthwaite's. `n` counts the values of both arms. The half-width is NaN if an
    arm has fewer than two values. It is 0 if neither arm has any spread and there is no `resolution` (see
    `mean_interval`).
    """
    from scipy.special import stdtrit

    difference, standard_error, freedom, n = _welch(a, b, resolution)
    # Without any spread the degrees of freedom are 0 / 0, but the width is 0 for any quantile.
    half_width = standard_error if standard_error == 0 else stdtrit(freedom, 0.5 + level / 2) * standard_error
    return Interval(np.asarray(difference), np.asarray(half_width), np.asarray(n))


def welch_p(a: ArrayLike, b: ArrayLike, resolution: float = 0.0) -> float:
    """Two-sided p of Welch's t test for unpaired arms. Shapes (n_a,) and (n_b,).

    NaN if the test says nothing: an arm has fewer than two values, or neither has any spread and there is no
    `resolution` (see `mean_interval`).
    """
    from scipy.special import stdtr

    difference, standard_error, freedom, _ = _welch(a, b, resolution)
    if not standard_error > 0:
        return float("nan")
    return float(2 * stdtr(freedom, -abs(difference) / standard_error))


def welch_equal_p(a: ArrayLike, b: ArrayLike, region: float, resolution: float = 0.0) -> float:
    """One-sided p that unpaired arms differ by `region` or more, either way. Shapes (n_a,) and (n_b,).

    The larger p of the two one-sided Welch tests (Schuirmann 1987, doi:10.1007/BF01068419). NaN as in `welch_p`.
    """
    from scipy.special import stdtr

    difference, standard_error, freedom, _ = _welch(a, b, resolution)
    if not standard_error > 0:
        return float("nan")
    return float(stdtr(freedom, (abs(difference) - region) / standard_error))


def median_interval(values: ArrayLike, level: float = LEVEL) -> tuple[float, float, float]:
    """Median, low and high end of its exact interval from order statistics. `values` has shape (n,), NaN dropped.

    A value may be +inf, such as the time to a target that was never reached. It counts like the others, so the median
    or the high end may be infinite. For an even number of values the median is the mean of the two in the middle,
    infinite if one is. The ends are the k-th values from either side. The probability that fewer than k of n values fall
    on one side of the true median is at most (1 - level) / 2, and k is the largest such number. At 95 % there is none
    below n = 6, and both ends are NaN.
    """
    from scipy.special import bdtr

    array = np.asarray(values, dtype=np.float64)
    present = np.sort(array[~np.isnan(array)])
    n = len(present)
    if n == 0:
        return float("nan"), float("nan"), float("nan")
    median = float((present[(n - 1) // 2] + present[n // 2]) / 2)
    k = int(np.sum(bdtr(np.arange(n, dtype=np.float64), n, 0.5) <= (1 - level) / 2))
    if k == 0:
        return median, float("nan"), float("nan")
    return median, float(present[k - 1]), float(present[n - k])


def _moments(
    values: ArrayLike, resolution: float
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Number of replicates present, their mean, and their sample variance plus that of rounding, along axis 0."""
    array = np.asarray(values, dtype=np.float64)
    present = ~np.isnan(array)
    n = np.asarray(present.sum(axis=0))
    with np.errstate(invalid="ignore", divide="ignore"):  # see mean_interval; infinite values have no spread
        mean = np.asarray(np.where(present, array, 0.0).sum(axis=0) / n)
        variance = np.where(present, (array - mean) ** 2, 0.0).sum(axis=0) / (n - 1) + resolution**2 / 12
    return n, mean, np.asarray(np.where(n > 1, variance, np.nan))


def _welch(a: ArrayLike, b: ArrayLike, resolution: float) -> tuple[float, float, float, int]:
    """Difference of means, its standard error, the degrees of freedom, and the number of values of both arms."""
    n_a, mean_a, variance_a = _moments(a, resolution)
    n_b, mean_b, variance_b = _moments(b, resolution)
    with np.errstate(invalid="ignore", divide="ignore"):  # an empty arm, or no spread: the NaN that the callers handle
        share_a, share_b = variance_a / n_a, variance_b / n_b
        total = share_a + share_b
        freedom = total**2 / (share_a**2 / (n_a - 1) + share_b**2 / (n_b - 1))
    return float(mean_a - mean_b), float(np.sqrt(total)), float(freedom), int(n_a + n_b)
