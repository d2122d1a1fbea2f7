"""Checks the learning curves: means and intervals by hand, diverged runs kept, several seeds on a split."""

from __future__ import annotations

import math

import numpy as np
import pytest

from normlib.results.study.learning_curves import learning_curves
from tests.results.factories import make_record, study_of
from tests.results.record_parts import curves_of

T_1 = math.tan(math.pi * 0.475)  # 97.5 % quantile of Student's t with 1 degree of freedom, closed form
ROUNDING = 1e-12  # float64 on numbers near 1
STEP = 1 / 250  # of the factory's validation accuracies


def _half_width(apart: float) -> float:
    """Of the mean of two accuracies so far apart, with the variance of their rounding."""
    return T_1 * math.sqrt((apart**2 / 2 + STEP**2 / 12) / 2)


def test_mean_and_interval_over_seeds_by_hand() -> None:
    study = study_of(
        make_record(norm=norm, seed=seed, curves=curves_of([0.5 + 0.1 * seed, 0.9], seconds=1.0 + seed))
        for norm in ("group", "batch")
        for seed in range(2)
    )
    curves = learning_curves(study, "", "32")
    assert list(curves) == ["batch", "group"]
    curve = curves["batch"]
    assert curve.steps.tolist() == [10, 20] and curve.samples.tolist() == [320, 640]
    assert curve.seconds.tolist() == [15, 30] and curve.n.tolist() == [2, 2]
    assert curve.mean.tolist() == pytest.approx([0.55, 0.9], abs=ROUNDING)
    assert curve.half_width.tolist() == pytest.approx([_half_width(0.1), _half_width(0.0)], abs=ROUNDING)
    assert curve.train_steps.tolist() == [10, 20] and curve.train_loss.tolist() == [0.2, 0.1]


def test_one_seed_has_no_interval_and_one_point_is_a_curve() -> None:
    curve = learning_curves(study_of([make_record(curves=curves_of([0.5]))]), "", "32")["batch"]
    assert curve.steps.tolist() == [10] and curve.n.tolist() == [1] and math.isnan(curve.half_width[0])


def test_a_diverged_run_keeps_what_its_broken_network_scores() -> None:
    study = study_of(
        [
            make_record(seed=0, curves=curves_of([0.6, 0.9])),
            make_record(seed=1, status="diverged", accuracy=0.1, steps=12, curves=curves_of([0.4])),
        ]
    )
    curve = learning_curves(study, "", "32")["batch"]
    assert curve.n.tolist() == [2, 2] and curve.seconds.tolist() == [10, 20]
    assert curve.mean.tolist() == pytest.approx([0.5, 0.5], abs=ROUNDING)


def test_an_arm_of_which_every_run_diverged_or_failed() -> None:
    lost = [
        make_record(norm="group", seed=seed, status="diverged", steps=12, curves=curves_of([0.4])) for seed in (0, 1)
    ]
    failed = [make_record(norm="layer", seed=seed, status="failed", reason="killed") for seed in (0, 1)]
    curves = learning_curves(study_of([make_record(curves=curves_of([0.6, 0.9])), *lost, *failed]), "", "32")
    assert list(curves) == ["batch", "group"]
    assert curves["group"].steps.tolist() == [10] and curves["group"].mean.tolist() == [0.4]


def test_runs_that_were_looked_at_at_different_steps_are_averaged_where_both_were() -> None:
    study = study_of(
        [
            make_record(seed=0, curves=curves_of([0.5, 0.9], (10, 20))),
            make_record(seed=1, curves=curves_of([0.7, 0.9], (15, 20))),
        ]
    )
    curve = learning_curves(study, "", "32")["batch"]
    assert curve.steps.tolist() == [10, 15, 20] and curve.n.tolist() == [1, 1, 2]
    assert curve.mean.tolist() == pytest.approx([0.5, 0.7, 0.9], abs=ROUNDING)


def test_sections_and_columns_that_are_not_there() -> None:
    study = study_of([make_record()])
    assert learning_curves(study, "", "64") == {}
    with pytest.raises(KeyError):
        learning_curves(study, "model=none", "32")
    assert np.isfinite(learning_curves(study, "", "32")["batch"].mean).all()
