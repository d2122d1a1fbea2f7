"""Checks the looks at a comparison: against scipy and by hand, at any stop, and that planted faults claim too much."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.stats

from normlib.results.stats import Looked, holm, look_at, looks, mean_interval, sign_flip_p
from normlib.results.stats.sequential import EXACT_FROM, shares

ROUNDING = 1e-9  # relative; scipy sums in another order, and the tail of t magnifies the last digit of a mean


def drawn(n: int, seed: int = 0, mean: float = 0.6) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 1.0, n)


@pytest.mark.parametrize("most_seeds", range(1, 130))
def test_looks_rise_to_the_last_and_their_shares_are_the_whole(most_seeds: int) -> None:
    planned = looks(most_seeds)
    assert planned[-1] == most_seeds and list(planned) == sorted(set(planned)) and planned[0] >= 1
    spent = shares(planned)
    assert len(spent) == len(planned) and all(share > 0 for share in spent)
    assert math.fsum(spent) == pytest.approx(1, abs=1e-12) and spent[-1] >= 0.3 - 1e-12


def test_looks_are_few_and_the_first_come_early() -> None:
    assert looks(40) == (4, 5, 6, 7, 9, 12, 16, 21, 29, 40)
    assert looks(11) == (4, 5, 6, 7, 9, 11)
    assert looks(10) == (4, 5, 6, 7, 10)  # a look at 9 of 10 could save one seed


def test_what_cannot_be_planned_is_refused() -> None:
    with pytest.raises(ValueError, match="most_seeds=0; a comparison needs at least one seed"):
        looks(0)
    for planned in ([], [0, 3], [3, 3], [5, 4]):
        with pytest.raises(ValueError, match=r"must be positive and rise, as those of looks\(40\) do"):
            look_at([1.0, 2.0, 3.0], planned)


@pytest.mark.parametrize("seed", range(5))
def test_few_seeds_get_the_t_test_of_each_look_over_its_share(seed: int) -> None:
    differences, planned = drawn(9, seed), looks(40)
    by_hand = 1.0
    for k, n in enumerate(planned[:5]):
        p = scipy.stats.ttest_1samp(differences[:n], 0).pvalue / shares(planned)[k]
        by_hand = min(by_hand, max(p, 4 / 4**n))
        looked = look_at(differences[:n], planned)
        assert looked.p == pytest.approx(by_hand, rel=ROUNDING)
        assert (looked.looks, looked.n) == (k + 1, n)


@pytest.mark.parametrize("seed", range(3))
def test_many_seeds_get_the_exact_sign_flip_of_each_look_over_its_share(seed: int) -> None:
    differences, planned = drawn(29, seed), (EXACT_FROM, 16, 29, 40)
    spent = shares(planned)
    for k in range(3):
        by_hand = min(1.0, *(sign_flip_p(differences[:n]) / share for n, share in zip(planned[: k + 1], spent)))
        assert look_at(differences[: planned[k]], planned).p == by_hand


def test_the_interval_is_that_of_the_last_look_at_its_share() -> None:
    differences, planned = drawn(12), looks(40)
    interval = mean_interval(differences, 1 - 0.05 * shares(planned)[5], resolution=0.1 * math.sqrt(2))
    looked = look_at(differences, planned, resolution=0.1)
    assert looked.low == pytest.approx(float(interval.mean - interval.half_width), rel=ROUNDING)
    assert looked.high == pytest.approx(float(interval.mean + interval.half_width), rel=ROUNDING)


@pytest.mark.parametrize("mean", [0.0, 0.4, -0.4, 1.5])
def test_equality_is_two_one_sided_t_tests(mean: float) -> None:
    differences, planned, region = 0.2 * drawn(16, mean=0) + mean, looks(40), 1.0
    by_hand = 1.0
    for n, share in list(zip(planned, shares(planned)))[:7]:
        below = scipy.stats.ttest_1samp(differences[:n], region, alternative="less").pvalue
        above = scipy.stats.ttest_1samp(differences[:n], -region, alternative="greater").pvalue
        by_hand = min(by_hand, max(max(below, above) / share, 2 / 4**n))
    assert look_at(differences, planned, region=region).p_equal == pytest.approx(by_hand, rel=1e-6)
    assert (by_hand < 0.01) == (abs(mean) < 1)


def test_a_look_is_taken_once_all_its_seeds_had_their_turn() -> None:
    differences, planned = drawn(16), looks(40)
    nothing = look_at(differences[:2], planned, region=1.0)
    assert (nothing.looks, nothing.n) == (0, 0)
    assert all(math.isnan(figure) for figure in (nothing.p, nothing.p_equal, nothing.low, nothing.high))
    for length in range(4, 17):
        last = max(n for n in planned if n <= length)
        assert look_at(differences[:length], planned, region=1.0) == look_at(differences[:last], planned, region=1.0)


def test_missing_seeds_count_as_a_turn_and_not_as_a_difference() -> None:
    differences = np.array([2.0, math.nan, 2.5, 1.5, math.nan])
    looked = look_at(differences, (4, 5))
    assert (looked.looks, looked.n) == (2, 3)
    p = scipy.stats.ttest_1samp([2.0, 2.5, 1.5], 0).pvalue
    assert looked.p == pytest.approx(max(p / max(shares((4, 5))), 4 / 4**3), rel=ROUNDING)
    none = look_at([math.nan] * 5, (3, 5), region=1.0)
    assert none.p == none.p_equal == 1.0 and math.isnan(none.low) and (none.looks, none.n) == (2, 0)
    one = look_at([math.nan, 5.0, math.nan], (3, 5))
    assert one.p == 1.0 and math.isnan(one.low) and one.n == 1


def test_without_a_region_nothing_is_said_of_equality() -> None:
    assert math.isnan(look_at(drawn(5), looks(40)).p_equal)


@pytest.mark.parametrize("region", [0.0, -1.0, math.nan])
def test_a_region_is_above_0(region: float) -> None:
    with pytest.raises(ValueError, match="give a size above 0, or None"):
        look_at(drawn(5), looks(40), region=region)


def test_what_is_no_comparison_is_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(5,\), 1 of them infinite"):
        look_at([0.0, 1.0, math.inf, 1.0, 1.0], looks(40))
    with pytest.raises(ValueError, match=r"shape \(5, 2\)"):
        look_at(np.zeros((5, 2)), looks(40))


def test_differences_without_spread() -> None:
    same, none = look_at([0.5] * 5, looks(40), region=0.4), look_at([0.0] * 5, looks(40), region=0.4)
    assert same == Looked(4 / 4**5, 1.0, 0.5, 0.5, 2, 5)
    assert none == Looked(1.0, 2 / 4**5, 0.0, 0.0, 2, 5)
    # Rounded to steps of 0.5, five equal differences say much less.
    rounded = look_at([0.5] * 5, looks(40), resolution=0.5)
    assert rounded.p > 0.1 and rounded.low < 0 < 1 < rounded.high


@pytest.mark.parametrize("n", [4, 7, 16, 29])
def test_another_sign_and_another_unit_change_nothing(n: int) -> None:
    differences, planned = np.round(drawn(n), 1), looks(40)
    here = look_at(differences, planned, 0.1, 1.0)
    mirrored, scaled = look_at(-differences, planned, 0.1, 1.0), look_at(8 * differences, planned, 0.8, 8.0)
    assert (mirrored.p, mirrored.p_equal) == pytest.approx((here.p, here.p_equal), rel=ROUNDING)
    assert (mirrored.low, mirrored.high) == pytest.approx((-here.high, -here.low), rel=ROUNDING)
    assert (scaled.p, scaled.p_equal) == pytest.approx((here.p, here.p_equal), rel=ROUNDING)
    assert (scaled.low, scaled.high) == pytest.approx((8 * here.low, 8 * here.high), rel=ROUNDING)


def test_a_p_never_rises_with_another_look() -> None:
    differences = drawn(40, mean=0.2)
    found = [look_at(differences[:n], looks(40), region=1.0) for n in looks(40)]
    assert all(later.p <= sooner.p and later.p_equal <= sooner.p_equal for sooner, later in itertools.pairwise(found))
    assert found[-1].p < found[0].p


def test_six_seeds_are_enough_for_25_comparisons_and_four_for_one() -> None:
    clear, planned = 86 + np.array([0.4, -0.7, 0.1, 0.9, -0.3, 0.2]), looks(40)

    def decided(n: int, comparisons: int) -> bool:
        return bool(holm([look_at(clear[:n], planned).p, *[1.0] * (comparisons - 1)])[0] <= 0.05)

    assert decided(4, 3) and decided(5, 12) and decided(6, 51)
    assert not decided(4, 4) and not decided(5, 13) and not decided(6, 52)


def test_from_many_seeds_on_p_is_valid_at_any_stop_for_every_pattern_of_signs() -> None:
    """Of all 2^14 patterns of signs, at most a share of alpha has p <= alpha at either look: exact, whatever the sizes."""
    planned = (EXACT_FROM, EXACT_FROM + 1)
    sizes = np.random.default_rng(1).exponential(size=planned[-1])
    sizes[2] = sizes[5]  # tied sums as well
    signs = np.array(list(itertools.product([1.0], *[[1.0, -1.0]] * (planned[-1] - 1))))  # the other half mirrors it
    p = np.sort([look_at(pattern * sizes, planned).p for pattern in signs])
    share = np.arange(1, len(p) + 1) / len(p)
    assert (share <= p + 1e-12).all()
    assert p[0] <= 4 / len(p)  # not valid by saying nothing


@pytest.mark.parametrize("fails", [0.1, 0.3, 0.5])
def test_scores_of_two_outcomes_claim_no_more_often_than_p_says(fails: float) -> None:
    """Every outcome of five seeds of two arms that fail as often, with its probability."""
    chances = {-1.0: fails * (1 - fails), 0.0: fails**2 + (1 - fails) ** 2, 1.0: fails * (1 - fails)}
    outcomes = list(itertools.product(chances, repeat=5))
    chance = np.array([math.prod(chances[difference] for difference in outcome) for outcome in outcomes])
    p = np.array([look_at(outcome, looks(40)).p for outcome in outcomes])
    assert all(chance[p <= level].sum() <= level + 1e-12 for level in np.unique(p))
    all_equal = np.array([abs(sum(outcome)) == 5 for outcome in outcomes])
    assert p[all_equal].max() == 4 / 4**5
    # The bound leaves half of the level to the other looks, where half of the runs fail, and no more.
    assert fails < 0.5 or chance[all_equal].sum() == pytest.approx(p[all_equal].max() / 2, rel=ROUNDING)
