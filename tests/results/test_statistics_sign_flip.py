"""Checks the sign-flip test against every pattern of signs and against scipy, and Holm's correction against statsmodels."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.stats

from normlib.results.stats import holm, replicates_needed, sign_flip_p, smallest_sign_flip_p

# A share of at most 2^12 patterns is exact; this is float64 rounding of that share.
ROUNDING = 1e-12


def by_brute_force(differences: list[float]) -> float:
    """The share of all patterns that are at least as extreme."""
    patterns = list(itertools.product([1, -1], repeat=len(differences)))
    observed = abs(math.fsum(differences)) - 1e-9  # sums of what is tested here differ by more, or are equal
    return sum(abs(math.fsum(np.multiply(signs, differences))) >= observed for signs in patterns) / len(patterns)


@pytest.mark.parametrize("n", range(1, 13))
@pytest.mark.parametrize("step", [None, 1 / 300])
def test_it_is_the_share_of_all_patterns(n: int, step: float | None) -> None:
    differences = np.random.default_rng(n).normal(0.005, 0.005, n)
    if step:  # accuracies come in steps: many patterns tie
        differences = np.round(differences / step) * step
    assert sign_flip_p(differences) == pytest.approx(by_brute_force(list(differences)), abs=ROUNDING)


@pytest.mark.parametrize("n", [2, 5, 10])
def test_it_is_scipys_exact_permutation_test(n: int) -> None:
    differences = np.random.default_rng(n).normal(0.5, 1.0, n)
    scipys = scipy.stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=np.inf, vectorized=False
    )
    assert sign_flip_p(differences) == pytest.approx(scipys.pvalue, abs=ROUNDING)


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        ([0.5], 1.0),
        ([0.0, 0.0, 0.0], 1.0),
        ([1.0, -1.0], 1.0),
        ([0.1, 0.1], 0.5),
        ([0.1] * 6, 2 / 64),
        ([0.3, math.nan, 0.1, math.nan], 0.5),
        ([0.1, 0.2, -0.3], 1.0),  # 0.1 + 0.2 is not 0.3 in floats; the sum is 0 all the same
        ([0.0, 1.0, 1.0, 1.0], 0.25),  # a zero counts under either sign
    ],
)
def test_by_hand(differences: list[float], p: float) -> None:
    assert sign_flip_p(differences) == p


def test_the_limit_of_the_exact_test_and_the_estimate_above_it() -> None:
    assert sign_flip_p([0.5] * 40) == 2 / 2**40
    assert sign_flip_p([0.5] * 41) == 1 / 100_001  # never 0
    generator = np.random.default_rng(3)
    differences = generator.normal(0.3, 1.0, 41)
    estimate = sign_flip_p(differences)
    # Normal differences: close to the t test's p, which is 0.05 to 0.2 here; 0.01 is 8 standard errors of the estimate.
    assert estimate == pytest.approx(scipy.stats.ttest_1samp(differences, 0).pvalue, abs=0.01)
    assert sign_flip_p(differences) == estimate


def test_nothing_to_test_and_what_cannot_be_averaged() -> None:
    assert math.isnan(sign_flip_p([])) and math.isnan(sign_flip_p([math.nan]))
    with pytest.raises(ValueError, match=r"1 infinite differences.*use outperformance"):
        sign_flip_p([0.1, math.inf])


def test_the_smallest_p_and_the_replicates_that_holm_needs() -> None:
    assert [smallest_sign_flip_p(n) for n in (0, 1, 5, 6)] == [1.0, 1.0, 0.0625, 0.03125]
    assert [replicates_needed(m) for m in (1, 9, 25, 30)] == [6, 9, 10, 11]
    for comparisons in (1, 7, 9, 25, 30, 1000):
        n = replicates_needed(comparisons)
        family = np.ones(comparisons)
        family[0] = smallest_sign_flip_p(n)
        assert holm(family)[0] <= 0.05
        family[0] = smallest_sign_flip_p(n - 1)
        assert holm(family)[0] > 0.05


@pytest.mark.parametrize(("comparisons", "level"), [(0, 0.05), (5, 0.0), (5, 1.0)])
def test_needed_for_what(comparisons: int, level: float) -> None:
    with pytest.raises(ValueError, match="at least one comparison and a level between 0 and 1"):
        replicates_needed(comparisons, level)


@pytest.mark.parametrize("m", [1, 2, 25, 100])
def test_holm_is_statsmodels(m: int) -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest", reason="statsmodels is not installed")
    p = np.round(np.random.default_rng(m).uniform(size=m) ** 3, 2)  # two decimals: ties
    assert holm(p) == pytest.approx(multitest.multipletests(p, method="holm")[1], abs=ROUNDING)


def test_holm_by_hand() -> None:
    np.testing.assert_array_equal(holm([0.25, 0.01, math.nan, 0.02]), [0.25, 0.03, math.nan, 0.04])
    np.testing.assert_array_equal(holm([[0.5, 0.02], [0.01, 0.01]]), [[0.5, 0.04], [0.04, 0.04]])
    assert holm([]).shape == (0,) and np.isnan(holm([math.nan])).all()
    with pytest.raises(ValueError, match=r"p value of 1\.5"):
        holm([0.1, 1.5])
