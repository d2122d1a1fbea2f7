"""Checks the family of tests against the baseline: which comparisons have too few replicates where Holm's method steps down."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from normlib.results.tables.against_baseline import Against, against_baseline, against_columns
from normlib.results.tables.table import Cell
from tests.results.factories import ACCURACY


def _values(gains: dict[str, tuple[float, int]]) -> dict[str, NDArray[np.float64]]:
    """Values of 8 replicates by arm; of an arm the first n are there, better than the baseline by about its gain."""
    baseline = np.linspace(0.5, 0.6, 8)
    noise = np.linspace(0.99, 1.01, 8)
    return {"batch": baseline} | {
        arm: np.where(np.arange(8) < n, baseline + gain * noise, np.nan) for arm, (gain, n) in gains.items()
    }


def _against(gains: dict[str, tuple[float, int]]) -> dict[str, Against]:
    return against_baseline(_values(gains), "batch", {})


def _cells(against: Against) -> tuple[Cell, Cell]:
    """The difference and its p, as a table shows them."""
    difference, p = against_columns("slope", "batch", lambda row: against, ACCURACY, "points")
    return difference.cell(None), p.cell(None)


def test_an_arm_with_fewer_replicates_passes_behind_one_that_has_passed() -> None:
    """Of two, 7 replicates are needed, but once the other has passed only p = 0.05 is: 6 replicates can."""
    found = _against({"group": (0.1, 8), "layer": (0.1, 6)})
    layer = found["layer"]
    assert (layer.n, layer.n_needed, layer.p_holm) == (6, 7, 2 / 2**6) and layer.clear and not layer.too_few
    difference, p = _cells(layer)
    assert p.text == "0.031" and difference.strong and difference.text.startswith("+10.0 (+9.9 to ")


def test_an_arm_with_fewer_replicates_is_stuck_behind_one_that_has_not_passed() -> None:
    values = _values({"group": (0.1, 8), "layer": (0.1, 6)})
    values["group"] = values["batch"] + 0.1 * np.array([1, -1] * 4)  # no difference
    layer = against_baseline(values, "batch", {})["layer"]
    assert layer.too_few and not layer.clear and _cells(layer)[1].text == "too few seeds (6 of 7)"


def test_what_could_have_passed_and_did_not_shows_its_p() -> None:
    values = _values({"group": (0.1, 8), "layer": (0.1, 6)})
    values["layer"] = np.where(np.arange(8) < 6, values["batch"] + 0.1 * np.array([1, -1] * 4), np.nan)
    layer = against_baseline(values, "batch", {})["layer"]
    assert not layer.too_few and not layer.clear and _cells(layer)[1].text == "1.00"


@pytest.mark.parametrize("seed", range(5))
def test_nothing_is_both_clear_and_of_too_few_replicates(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(40):
        found = _against({f"arm{k}": (float(rng.choice([0, 0.1])), int(rng.integers(1, 9))) for k in range(5)})
        assert not any(each.clear and each.too_few for each in found.values())
        assert all(each.n < each.n_needed for each in found.values() if each.too_few)
