"""Checks ratios of times, their intervals and verdicts against figures worked out by hand."""

from __future__ import annotations

import random

import pytest

from normlib.bench.ratio import NO_SLOWER, SLOWER, UNSURE, Ratio, ratio


def test_the_median_is_that_of_the_ratios_within_a_round() -> None:
    found = ratio([2.0, 30.0, 3.0], [1.0, 10.0, 3.0])  # 2, 3 and 1; the ratio of the medians would be 1
    assert found == Ratio(2.0, 1.0, 3.0)


@pytest.mark.parametrize(("rounds", "outside"), [(5, 0), (6, 1), (15, 4), (31, 10)])
def test_the_interval_is_that_of_the_sign_test(rounds: int, outside: int) -> None:
    """Tabulated k of the sign test's 95 % interval, two-sided: the k-th smallest and largest; below 6 rounds the range."""
    found = ratio([1.0 + k for k in range(rounds)], [1.0] * rounds)
    place = max(0, outside - 1)
    assert (found.low, found.high) == (1.0 + place, float(rounds - place))


def test_the_interval_covers_the_median_as_often_as_it_says() -> None:
    generator = random.Random(0)
    hits = 0
    for _ in range(1000):
        found = ratio([generator.lognormvariate(0, 0.3) for _ in range(15)], [1.0] * 15)
        hits += found.low <= 1.0 <= found.high
    assert 940 <= hits <= 985  # at 15 rounds the interval covers 96.5 %; 2 standard errors of 1,000 draws are 1.2 %


def test_verdicts() -> None:
    assert Ratio(1.05, 1.0, 1.2).verdict(1.05) == NO_SLOWER
    assert Ratio(1.06, 1.04, 1.2).verdict(1.05) == UNSURE
    assert Ratio(1.06, 1.055, 1.2).verdict(1.05) == SLOWER
    assert Ratio(1.4, 1.3, 1.45).verdict(1.5) == NO_SLOWER
