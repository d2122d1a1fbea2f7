"""Checks the summaries across workloads against rliable, scipy, scikit-posthocs and statsmodels, and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from normlib.results.stats import average_ranks, interquartile_mean, stratified_bootstrap, wilcoxon_holm

# Both sides are float64 with fewer than 1,000 operations on numbers near 1.
ROUNDING = 1e-12


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (10, 4), (7, 9)])
def test_the_interquartile_mean_is_rliables_and_scipys(shape: tuple[int, int]) -> None:
    scores = np.random.default_rng(shape).normal(0.9, 0.1, shape)
    assert interquartile_mean(scores) == pytest.approx(scipy.stats.trim_mean(scores, 0.25, axis=None), abs=ROUNDING)
    metrics = pytest.importorskip("rliable.metrics", reason="rliable is not installed")
    assert interquartile_mean(scores) == pytest.approx(metrics.aggregate_iqm(scores), abs=ROUNDING)


def test_missing_runs_are_left_out() -> None:
    assert interquartile_mean([[1.0, 2.0], [math.nan, 3.0], [100.0, math.nan]]) == 2.5
    assert math.isnan(interquartile_mean([[math.nan]]))


def test_the_bootstrap_draws_replicates_within_workloads() -> None:
    # Two workloads far apart with constant scores: whatever is drawn within them, nothing changes.
    scores = np.array([[0.1, 0.9], [0.1, 0.9], [0.1, math.nan]])
    drawn: list[np.ndarray] = []

    def statistic(sample: np.ndarray) -> float:
        drawn.append(sample)
        return float(np.nanmean(sample))

    low, high = stratified_bootstrap(scores, statistic, np.random.default_rng(0), samples=50)
    assert low == high == pytest.approx((3 * 0.1 + 2 * 0.9) / 5)
    assert len(drawn) == 50 and all(sample.shape == scores.shape for sample in drawn)


def test_the_bootstrap_finds_the_interval_of_a_mean() -> None:
    scores = np.random.default_rng(1).normal(0.9, 0.1, (50, 4))
    low, high = stratified_bootstrap(scores, lambda sample: float(sample.mean()), np.random.default_rng(2))
    standard_error = math.sqrt(scores.var(axis=0).mean() / 200)
    # 2,000 samples place each end to 0.06 standard errors; the normal quantile is nearly exact for 200 runs.
    assert low == pytest.approx(scores.mean() - 1.96 * standard_error, abs=0.25 * standard_error)
    assert high == pytest.approx(scores.mean() + 1.96 * standard_error, abs=0.25 * standard_error)
    again = stratified_bootstrap(scores, lambda sample: float(sample.mean()), np.random.default_rng(2))
    assert (low, high) == again
    assert all(math.isnan(end) for end in stratified_bootstrap([[math.nan]], np.nanmean, np.random.default_rng(0)))


def test_average_ranks_are_scipys_and_ties_share() -> None:
    means = np.round(np.random.default_rng(3).uniform(size=(8, 5)), 1)  # one decimal: ties
    assert average_ranks(means) == pytest.approx(scipy.stats.rankdata(-means, axis=1).mean(axis=0), abs=ROUNDING)
    np.testing.assert_array_equal(average_ranks([[0.9, 0.9, 0.1]]), [1.5, 1.5, 3.0])
    np.testing.assert_array_equal(average_ranks([[0.9, 0.8, 0.1]], lower_is_better=True), [3.0, 2.0, 1.0])
    with pytest.raises(ValueError, match="1 NaN of 2 means"):
        average_ranks([[0.9, math.nan]])


@pytest.mark.parametrize("workloads", [5, 8, 12])
def test_signed_ranks_are_scipys_and_scikit_posthocs(workloads: int) -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest", reason="statsmodels is not installed")
    posthocs = pytest.importorskip("scikit_posthocs", reason="scikit-posthocs is not installed")
    means = np.random.default_rng(workloads).normal([0.9, 0.95, 0.92, 1.0], 0.05, (workloads, 4))
    ours = wilcoxon_holm(means, baseline_index=1)
    assert math.isnan(ours[1])
    others = [0, 2, 3]
    raw = [scipy.stats.wilcoxon(means[:, arm], means[:, 1], method="exact").pvalue for arm in others]
    assert ours[others] == pytest.approx(multitest.multipletests(raw, method="holm")[1], abs=ROUNDING)
    pairs = posthocs.posthoc_wilcoxon(list(means.T)).to_numpy()[1, others]
    assert ours[others] == pytest.approx(multitest.multipletests(pairs, method="holm")[1], abs=ROUNDING)


def test_signed_ranks_with_ties_are_still_exact() -> None:
    differences = np.array([0.25, 0.25, -0.25, 0.5, 0.0, 0.75, 0.75])
    scipys = scipy.stats.wilcoxon(
        differences[differences != 0], method=scipy.stats.PermutationMethod(n_resamples=10**6)
    )
    means = np.stack([differences, np.zeros(7)], axis=1)
    assert wilcoxon_holm(means, 1)[0] == pytest.approx(scipys.pvalue, abs=ROUNDING)


def test_signed_ranks_where_there_is_little_to_rank() -> None:
    means = np.array([[0.5, 0.5, 0.6, math.nan], [0.7, 0.7, math.nan, math.nan]])
    p = wilcoxon_holm(means, 0)
    assert p[1] == 1.0  # equal everywhere
    assert p[2] == 1.0  # one workload in common
    assert math.isnan(p[0]) and math.isnan(p[3])  # itself, and no workload in common
