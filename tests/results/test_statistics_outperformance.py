"""Checks the probability of outperforming against scipy's exact binomial interval and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from normlib.results.stats import outperformance

# The beta quantiles come from two routines of scipy, each good to about 1e-15 relative.
ROUNDING = 1e-10


@pytest.mark.parametrize("n", [1, 3, 10, 20])
@pytest.mark.parametrize("level", [0.9, 0.95])
def test_without_ties_the_interval_is_the_exact_binomial_one(n: int, level: float) -> None:
    for wins in range(n + 1):
        ours = outperformance([1.0] * wins + [0.0] * (n - wins), [0.5] * n, level=level)
        exact = scipy.stats.binomtest(wins, n).proportion_ci(level, method="exact")
        assert (ours.n, ours.wins, ours.ties, ours.mean) == (n, wins, 0, wins / n)
        assert ours.low == pytest.approx(exact.low, abs=ROUNDING)
        assert ours.high == pytest.approx(exact.high, abs=ROUNDING)


def test_ten_of_ten_is_not_certainty() -> None:
    ours = outperformance(np.ones(10), np.zeros(10))
    # The bootstrap says [1, 1]; exactly, a probability of 0.025^(1/10) wins ten of ten once in forty times.
    assert (ours.mean, ours.high) == (1.0, 1.0) and ours.low == pytest.approx(0.025**0.1, abs=ROUNDING)


def test_ties_are_half_a_win_and_mirror() -> None:
    a, b = np.array([1.0, 0.5, 0.0, 0.5]), np.full(4, 0.5)
    ours, theirs = outperformance(a, b), outperformance(b, a)
    assert (ours.wins, ours.ties, ours.mean) == (1, 2, 0.5)
    assert ours.low == pytest.approx(1 - theirs.high, abs=ROUNDING)
    half = outperformance([0.5], [0.5])
    assert 0 < half.low < 0.5 < half.high < 1 and half.low == pytest.approx(1 - half.high, abs=ROUNDING)


def test_less_can_be_better_and_infinities_are_values() -> None:
    steps, others = [10.0, math.inf, math.inf], [20.0, 30.0, math.inf]
    ours = outperformance(steps, others, lower_is_better=True)
    assert (ours.n, ours.wins, ours.ties) == (3, 1, 1)


def test_a_run_that_diverged_loses_whatever_it_scored() -> None:
    lost, fine = [True, True, False, False], [False, True, False, False]
    ours = outperformance([0.9, 0.9, 0.9, math.nan], [0.1, 0.1, 0.1, 0.1], a_lost=lost, b_lost=fine)
    assert (ours.n, ours.wins, ours.ties) == (3, 1, 1)  # lost, tied, won, missing
    assert outperformance([math.nan], [0.1], a_lost=[True]).mean == 0.0  # diverged before it scored
    assert outperformance([0.1], [math.nan], b_lost=[True]).mean == 1.0


def test_conditions_are_treated_one_by_one_and_no_pair_says_nothing() -> None:
    a = np.array([[1.0, math.nan], [1.0, 2.0]])
    ours = outperformance(a, np.array([[0.0, 0.0], [2.0, math.nan]]))
    np.testing.assert_array_equal(ours.n, [2, 0])
    assert ours.mean[0] == 0.5
    assert np.isnan([ours.mean[1], ours.low[1], ours.high[1]]).all()
