"""Checks slopes and areas over batch sizes against scipy, and the correlation within pairs against numpy and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from normlib.results.stats import areas, pair_correlation, slopes

# Both sides are float64 with fewer than 100 operations on numbers near 1.
ROUNDING = 1e-12
SIZES = [2, 8, 4, 32, 128]  # neither sorted nor evenly spaced


def test_slopes_and_areas_are_scipys() -> None:
    values = np.random.default_rng(0).normal(0.9, 0.1, (6, len(SIZES)))
    doublings = np.log2(SIZES)
    order = np.argsort(SIZES)
    for replicate, slope, area in zip(values, slopes(values, SIZES), areas(values, SIZES)):
        assert slope == pytest.approx(scipy.stats.linregress(doublings, replicate).slope, abs=ROUNDING)
        integral = scipy.integrate.trapezoid(replicate[order], doublings[order])
        assert area == pytest.approx(integral / 6, abs=ROUNDING)  # from 2 to 128 there are six doublings


def test_by_hand() -> None:
    line = np.array([[0.5 + 0.05 * math.log2(size) for size in SIZES], [0.8] * len(SIZES)])
    assert slopes(line, SIZES) == pytest.approx([0.05, 0.0], abs=ROUNDING)
    assert areas(line, SIZES) == pytest.approx([0.5 + 0.05 * 4, 0.8], abs=ROUNDING)  # a line's mean is at its middle


def test_a_replicate_that_lacks_a_condition_has_neither() -> None:
    values = np.full((2, len(SIZES)), 0.5)
    values[1, 2] = math.nan
    assert np.isnan(slopes(values, SIZES)).tolist() == np.isnan(areas(values, SIZES)).tolist() == [False, True]
    assert slopes(np.empty((0, 2)), [2, 4]).shape == (0,)


@pytest.mark.parametrize(
    ("shape", "sizes", "message"),
    [
        ((3, 2), [2, 4, 8], "one batch size for each condition"),
        ((3,), [2, 4, 8], r"\(replicates, conditions\)"),
        ((3, 1), [2], "two or more"),
        ((3, 2), [4, 4], "different"),
        ((3, 2), [0, 4], "positive"),
    ],
)
def test_what_is_no_curve_is_refused(shape: tuple[int, ...], sizes: list[int], message: str) -> None:
    for effect in (slopes, areas):
        with pytest.raises(ValueError, match=message):
            effect(np.ones(shape), sizes)


def test_correlation_over_common_replicates() -> None:
    a, b = np.random.default_rng(1).normal(size=(2, 9))
    expected = scipy.stats.pearsonr(a, b).statistic
    assert pair_correlation([*a, 1.0, math.nan], [*b, math.nan, 1.0]) == pytest.approx(expected, abs=ROUNDING)
    assert pair_correlation([1, 2, 3], [6, 4, 2]) == pytest.approx(-1.0, abs=ROUNDING)


@pytest.mark.parametrize(
    ("a", "b"), [([], []), ([1, 2], [1, 3]), ([1, 2, 3], [0.1, 0.1, 0.1]), ([1, 2, math.inf], [1, 2, 3])]
)
def test_correlation_without_meaning(a: list[float], b: list[float]) -> None:
    assert math.isnan(pair_correlation(a, b))
