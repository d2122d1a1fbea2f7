"""Summaries across workloads (each a model on a dataset): interquartile mean, average ranks, signed-rank tests.

In: scores of one arm, (replicates, workloads), or means of several, (workloads, arms). Out: one figure per arm.
Workloads count as independent samples of what an arm may meet. Batch sizes of one workload are not, and must not be
given as workloads.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from normlib.results.stats.intervals import LEVEL
from normlib.results.stats.multiple import holm
from normlib.results.stats.sign_flip import sign_flip_p

BOOTSTRAP_SAMPLES = 2000
"""Enough for 50 samples beyond each end of the 95 % interval. It is rliable's default for few runs."""


def interquartile_mean(scores: ArrayLike) -> float:
    """Mean of the middle half of all runs. `scores` is (replicates, workloads), NaN if missing (arXiv:2108.13264).

    The lowest and the highest quarter of the runs over all workloads are left out, each rounded down. NaN without runs.
    """
    array = np.asarray(scores, dtype=np.float64)
    present = np.sort(array[~np.isnan(array)])
    if len(present) == 0:
        return float("nan")
    cut = len(present) // 4
    return float(present[cut : len(present) - cut].mean())


def stratified_bootstrap(
    scores: ArrayLike,
    statistic: Callable[[NDArray[np.float64]], float],
    rng: np.random.Generator,
    samples: int = BOOTSTRAP_SAMPLES,
    level: float = LEVEL,
) -> tuple[float, float]:
    """Percentile interval (low, high) of a statistic of scores of shape (replicates, workloads), NaN if missing.

    Replicates are drawn with replacement within each workload, as many as it has. Workloads are not drawn, so the
    interval is about these workloads and other seeds. `statistic` gets an array of the same shape.
    """
    array = np.asarray(scores, dtype=np.float64)
    if np.isnan(array).all():
        return float("nan"), float("nan")
    drawn = np.full((samples, *array.shape), np.nan)
    for workload in range(array.shape[1]):
        present = array[~np.isnan(array[:, workload]), workload]
        if len(present):
            drawn[:, : len(present), workload] = rng.choice(present, (samples, len(present)))
    figures = [statistic(sample) for sample in drawn]
    low, high = np.quantile(figures, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def average_ranks(means: ArrayLike, lower_is_better: bool = False) -> NDArray[np.float64]:
    """The mean over workloads of each arm's rank, (arms,). `means` is (workloads, arms).

    Rank 1 is best, and ties share theirs. Raises ValueError for NaN, since ranks among fewer arms are different ranks.
    """
    array = np.asarray(means, dtype=np.float64)
    if np.isnan(array).any():
        raise ValueError(
            f"average_ranks got {int(np.isnan(array).sum())} NaN of {array.size} means; every arm needs a figure in every "
            "workload: leave out the arm or the workload"
        )
    if lower_is_better:
        array = -array
    better = (array[:, np.newaxis, :] > array[:, :, np.newaxis]).sum(axis=2)  # (workloads, arms)
    equal = (array[:, np.newaxis, :] == array[:, :, np.newaxis]).sum(axis=2)  # itself included
    return np.asarray((better + (equal + 1) / 2).mean(axis=0))


def wilcoxon_holm(means: ArrayLike, baseline_index: int) -> NDArray[np.float64]:
    """Holm-corrected p of each arm's exact signed-rank test against the baseline over workloads, (arms,).

    `means` is (workloads, arms). The result is NaN at the baseline. A test leaves out workloads that one of its two
    arms lacks, and workloads on which both are equal (Wilcoxon's own rule). It is the sign-flip test of signed ranks,
    which is exact with tied ranks, too.
    """
    array = np.asarray(means, dtype=np.float64)
    p = np.full(array.shape[1], np.nan)
    for arm in range(array.shape[1]):
        if arm != baseline_index % array.shape[1]:
            differences = array[:, arm] - array[:, baseline_index]
            all_equal = (differences == 0).any() and not np.nansum(np.abs(differences))
            p[arm] = 1.0 if all_equal else sign_flip_p(_signed_ranks(differences))
    return holm(p)


def _signed_ranks(differences: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks of |differences|, smallest 1 and ties shared, with the sign of the difference. Zeros and NaN are left out."""
    present = differences[~np.isnan(differences) & (differences != 0)]
    size = np.abs(present)
    smaller = (size < size[:, np.newaxis]).sum(axis=1)
    equal = (size == size[:, np.newaxis]).sum(axis=1)
    return np.sign(present) * (smaller + (equal + 1) / 2)
