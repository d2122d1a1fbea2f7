"""Checks the statistics against scipy.stats, which computes them another way, by hand and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from normlib.results.stats import (
    mean_interval,
    median_interval,
    not_worse_than_best,
    paired_difference,
    welch_difference,
    welch_p,
)

# Both sides are float64 with fewer than 100 operations on numbers near 1.
ROUNDING = 1e-12


@pytest.mark.parametrize("n", [2, 3, 5, 10, 20])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_the_interval_is_scipys(n: int, level: float) -> None:
    values = np.random.default_rng(n).normal(0.9, 0.1, n)
    ours = mean_interval(values, level)
    low, high = scipy.stats.t.interval(level, n - 1, loc=values.mean(), scale=scipy.stats.sem(values))
    assert ours.n == n
    assert ours.mean - ours.half_width == pytest.approx(low, abs=ROUNDING)
    assert ours.mean + ours.half_width == pytest.approx(high, abs=ROUNDING)


def test_the_paired_difference_is_scipys() -> None:
    generator = np.random.default_rng(0)
    a, b = generator.normal(0.9, 0.1, (2, 7))
    ours = paired_difference(a, b)
    interval = scipy.stats.ttest_rel(a, b).confidence_interval(0.95)
    assert ours.mean - ours.half_width == pytest.approx(interval.low, abs=ROUNDING)
    assert ours.mean + ours.half_width == pytest.approx(interval.high, abs=ROUNDING)


def test_by_hand() -> None:
    # Mean 2, variance 1, standard error 1/sqrt(3), and the 97.5 % quantile of t with 2 degrees is 4.302653.
    interval = mean_interval([1.0, 2.0, 3.0])
    assert interval.mean == 2.0
    assert interval.half_width == pytest.approx(4.302653 / math.sqrt(3), abs=1e-6)  # the table's six decimals


def test_axis_0_is_replicates_and_the_rest_are_conditions() -> None:
    values = np.random.default_rng(1).normal(size=(6, 2, 3))
    values[0, 0, 0] = np.nan
    whole = mean_interval(values)
    assert whole.mean.shape == whole.half_width.shape == whole.n.shape == (2, 3)
    for place in np.ndindex(2, 3):
        alone = mean_interval(values[(slice(None), *place)])
        assert (whole.mean[place], whole.half_width[place], whole.n[place]) == (alone.mean, alone.half_width, alone.n)
    assert whole.n[0, 0] == 5 and whole.n[1, 1] == 6


def test_missing_replicates_are_left_out_pair_by_pair() -> None:
    a, b = np.array([1.0, 2.0, np.nan, 4.0]), np.array([0.5, np.nan, 1.0, 3.0])
    difference = paired_difference(a, b)
    assert (difference.n, difference.mean) == (2, 0.75)


@pytest.mark.parametrize("values", [[], [math.nan], [math.nan, math.nan]])
def test_without_replicates_there_is_no_mean(values: list[float]) -> None:
    interval = mean_interval(values)
    assert interval.n == 0 and math.isnan(interval.mean) and math.isnan(interval.half_width)


def test_one_replicate_has_a_mean_and_no_width() -> None:
    interval = mean_interval([0.5])
    assert (interval.n, interval.mean) == (1, 0.5) and math.isnan(interval.half_width)


@pytest.mark.parametrize("n", [(2, 2), (3, 9), (10, 4)])
def test_welchs_interval_is_statsmodels_and_its_p_scipys(n: tuple[int, int]) -> None:
    weightstats = pytest.importorskip("statsmodels.stats.weightstats", reason="statsmodels is not installed")
    generator = np.random.default_rng(n)
    a, b = generator.normal(0.9, 0.1, n[0]), generator.normal(0.8, 0.02, n[1])
    ours = welch_difference([*a, math.nan], b)  # NaN is a missing replicate
    compared = weightstats.CompareMeans(weightstats.DescrStatsW(a), weightstats.DescrStatsW(b))
    low, high = compared.tconfint_diff(alpha=0.05, usevar="unequal")
    assert ours.n == sum(n)
    assert ours.mean - ours.half_width == pytest.approx(low, abs=ROUNDING)
    assert ours.mean + ours.half_width == pytest.approx(high, abs=ROUNDING)
    assert welch_p(a, b) == pytest.approx(scipy.stats.ttest_ind(a, b, equal_var=False).pvalue, abs=ROUNDING)


def test_welch_says_nothing_about_single_values_and_no_width_about_no_spread() -> None:
    assert math.isnan(welch_difference([0.5], [0.1, 0.2]).half_width) and math.isnan(welch_p([0.5], [0.1, 0.2]))
    assert math.isnan(welch_difference([], [0.1, 0.2]).mean)
    constant = welch_difference([0.5, 0.5], [0.25, 0.25])
    assert (constant.mean, constant.half_width) == (0.25, 0.0) and math.isnan(welch_p([0.5, 0.5], [0.25, 0.25]))


def test_the_resolution_adds_the_variance_of_rounding_once_for_each_arm() -> None:
    # Twelve times its variance is the squared step; the 97.5 % quantile of t with 2 degrees is 4.302653.
    width = 4.302653 * math.sqrt(0.12**2 / 12 / 3)
    equal = [0.9, 0.9, 0.9]
    near = {"abs": 1e-6}  # the table's six decimals
    assert mean_interval(equal, resolution=0.12).half_width == pytest.approx(width, **near)
    assert paired_difference(equal, [0.8] * 3, resolution=0.12).half_width == pytest.approx(
        math.sqrt(2) * width, **near
    )
    # Equal arms of three: the degrees of freedom are 4, whose quantile is 2.776445.
    both = math.sqrt(2) * width * 2.776445 / 4.302653
    assert welch_difference(equal, [0.8] * 3, resolution=0.12).half_width == pytest.approx(both, **near)
    assert welch_p(equal, [0.8] * 3, resolution=0.12) == pytest.approx(
        2 * scipy.stats.t.sf(0.1 / (0.12 * math.sqrt(1 / 18)), 4)
    )
    assert math.isnan(mean_interval([0.9], resolution=0.12).half_width)
    assert not_worse_than_best({"a": [0.75, 0.5], "b": [1.0, 0.75]}, resolution=0.1) == {"a", "b"}


@pytest.mark.parametrize("n", range(1, 31))
def test_the_medians_interval_is_as_narrow_as_binomial_probabilities_allow(n: int) -> None:
    median, low, high = median_interval(np.arange(n, dtype=float))
    assert median == np.median(np.arange(n))
    if n < 6:  # two chances of 1/2^n that all values lie on one side
        assert math.isnan(low) and math.isnan(high)
        return
    missed = [2 * scipy.stats.binom.cdf(k - 1, n, 0.5) for k in (low + 1, low + 2)]
    assert missed[0] <= 0.05 < missed[1] and low + high == n - 1


def test_what_never_arrives_counts_in_the_median() -> None:
    reached = [3.0, 1.0, 2.0, 4.0, 5.0]
    assert median_interval([*reached, math.inf]) == (3.5, 1.0, math.inf)
    assert median_interval([*reached, *[math.inf] * 5])[0] == math.inf  # one of the two in the middle
    assert median_interval([math.inf] * 6) == (math.inf, math.inf, math.inf)
    assert median_interval([*reached, 6.0, math.nan]) == (3.5, 1.0, 6.0)
    assert all(math.isnan(end) for end in median_interval([math.nan]))


@pytest.mark.parametrize(
    ("arms", "expected"),
    [
        ({}, set()),
        ({"a": [math.nan, math.nan]}, set()),
        ({"a": [1.0], "b": [0.0]}, {"a", "b"}),  # one seed tells nothing
        ({"a": [0.9, 0.8, 0.7], "b": [0.9, 0.8, 0.7]}, {"a", "b"}),  # identical
        ({"a": [0.75, 0.5, 0.25], "b": [1.0, 0.75, 0.5]}, {"b"}),  # a constant gap, width 0
        ({"a": [0.90, 0.91, 0.92], "b": [0.10, 0.13, 0.11]}, {"a"}),
        ({"a": [0.9, math.nan], "b": [math.nan, 0.1]}, {"a", "b"}),  # no common seed
        ({"a": [0.9, 0.91], "b": [math.nan, math.nan]}, {"a"}),
    ],
)
def test_arms_that_cannot_be_told_from_the_best(arms: dict[str, list[float]], expected: set[str]) -> None:
    assert not_worse_than_best(arms) == expected


def test_pairing_tells_apart_what_separate_means_cannot() -> None:
    seeds = np.array([0.1, 0.5, 0.9, 0.3])
    assert not_worse_than_best({"a": seeds + [0.05, 0.051, 0.049, 0.05], "b": seeds}) == {"a"}


def test_less_can_be_better() -> None:
    arms = {"a": [0.10, 0.13, 0.11], "b": [0.90, 0.91, 0.92]}
    assert not_worse_than_best(arms, lower_is_better=True) == {"a"}


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    values = np.random.default_rng(2).normal(0.3, 1.0, (5, 4000))
    interval = mean_interval(values)
    covered = np.mean(np.abs(interval.mean - 0.3) <= interval.half_width)
    # Standard error of a share of 0.95 over 4,000 experiments: 0.0034; four of them.
    assert abs(covered - 0.95) < 4 * math.sqrt(0.95 * 0.05 / 4000)
