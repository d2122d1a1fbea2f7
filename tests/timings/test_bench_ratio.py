"""Checks ratios of times against figures worked out by hand, and that their intervals hold for a second run."""

from __future__ import annotations

import math
import random

import pytest

from normlib.timings.ratio import NO_SLOWER, SLOWER, UNSURE, Ratio, ratio


def test_a_block_counts_by_the_median_of_the_ratios_within_its_rounds() -> None:
    found = ratio([[2.0, 30.0, 3.0]] * 2, [[1.0, 10.0, 3.0]] * 2)  # 2, 3 and 1; the ratio of the medians would be 1
    assert (found.value, found.low, found.high) == pytest.approx((2.0, 2.0, 2.0))


def test_the_interval_is_students_for_another_median_of_as_many_blocks() -> None:
    """By hand: logarithms 0, 0.1 and 0.2 have median and deviation 0.1; t(2) is 4.3027 at 97.5 % (any table)."""
    found = ratio([[math.exp(log)] * 5 for log in (0.0, 0.1, 0.2)], [[1.0] * 5] * 3)
    reach = 4.3027 * 0.1 * math.sqrt(math.pi / 3)
    assert [math.log(each) for each in (found.value, found.low, found.high)] == pytest.approx(
        [0.1, 0.1 - reach, 0.1 + reach], abs=1e-4
    )


def _run(generator: random.Random, blocks: int = 8, rounds: int = 4) -> Ratio:
    """A run whose rounds share the place of their block: 5 % from block to block, 1 % within."""
    places = [generator.gauss(0, 0.05) for _ in range(blocks)]
    seconds = [[math.exp(place + generator.gauss(0, 0.01)) for _ in range(rounds)] for place in places]
    return ratio(seconds, [[1.0] * rounds] * blocks)


def test_a_second_run_lies_in_the_interval_of_the_first_as_often_as_it_says() -> None:
    """97 % by 4,000 draws: a median of eight varies a little less than the π/2 of the interval says."""
    generator = random.Random(0)
    hits = 0
    for _ in range(1000):
        first, second = _run(generator), _run(generator)
        hits += first.low <= second.value <= first.high
    assert 958 <= hits <= 981  # 97 %, and 2 standard errors of 1,000 draws are 1.1 %


def test_verdicts() -> None:
    assert Ratio(1.05, 1.0, 1.2).verdict(1.05) == NO_SLOWER
    assert Ratio(1.06, 1.04, 1.2).verdict(1.05) == UNSURE
    assert Ratio(1.06, 1.055, 1.2).verdict(1.05) == SLOWER
    assert Ratio(1.4, 1.3, 1.45).verdict(1.5) == NO_SLOWER
