"""Checks the learning curves: means and intervals by hand, diverged runs kept, several seeds on a split."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pytest

from normlib.results.analyses.learning_curves import learning_curves
from normlib.results.frame import frame
from normlib.results.record import Record
from normlib.results.study import Question, Study
from tests.results.factories import make_record

T_1 = math.tan(math.pi * 0.475)  # 97.5 % quantile of Student's t with 1 degree of freedom, closed form
ROUNDING = 1e-12  # float64 on numbers near 1


def _study(records: Iterable[Record], **question: Any) -> Study:
    records = list(records)
    return Study(frame(records), Question(**question), {record.id: record.curves for record in records})


def _curves(
    accuracies: Sequence[float | None], steps: Sequence[int] = (10, 20), seconds: float = 1.0
) -> dict[str, Any]:
    steps = list(steps[: len(accuracies)])
    return {
        "train": {"step": steps, "loss": [2.0 / step for step in steps]},
        "validation": {
            "step": steps, "samples": [32 * step for step in steps], "seconds": [seconds * step for step in steps],
            "loss": [0.1] * len(steps), "accuracy": list(accuracies),
        },
    }  # fmt: skip


def test_mean_and_interval_over_seeds_by_hand() -> None:
    study = _study(
        make_record(norm=norm, seed=seed, curves=_curves([0.5 + 0.1 * seed, 0.9], seconds=1.0 + seed))
        for norm in ("group", "batch")
        for seed in range(2)
    )
    curves = learning_curves(study, "", "32")
    assert list(curves) == ["batch", "group"]
    curve = curves["batch"]
    assert curve.steps.tolist() == [10, 20] and curve.samples.tolist() == [320, 640]
    assert curve.seconds.tolist() == [15, 30] and curve.n.tolist() == [2, 2]
    assert curve.accuracy.tolist() == pytest.approx([0.55, 0.9], abs=ROUNDING)
    assert curve.half_width.tolist() == pytest.approx([T_1 * 0.05, 0.0], abs=ROUNDING)
    assert curve.train_steps.tolist() == [10, 20] and curve.train_loss.tolist() == [0.2, 0.1]


def test_one_seed_has_no_interval_and_one_point_is_a_curve() -> None:
    curve = learning_curves(_study([make_record(curves=_curves([0.5]))]), "", "32")["batch"]
    assert curve.steps.tolist() == [10] and curve.n.tolist() == [1] and math.isnan(curve.half_width[0])


def test_a_diverged_run_keeps_what_its_broken_network_scores() -> None:
    study = _study(
        [
            make_record(seed=0, curves=_curves([0.6, 0.9])),
            make_record(seed=1, status="diverged", accuracy=0.1, steps=12, curves=_curves([0.4])),
        ]
    )
    curve = learning_curves(study, "", "32")["batch"]
    assert curve.n.tolist() == [2, 2] and curve.seconds.tolist() == [10, 20]
    assert curve.accuracy.tolist() == pytest.approx([0.5, 0.5], abs=ROUNDING)


def test_an_arm_of_which_every_run_diverged_or_failed() -> None:
    lost = [make_record(norm="group", seed=seed, status="diverged", steps=12, curves=_curves([0.4])) for seed in (0, 1)]
    failed = [make_record(norm="layer", seed=seed, status="failed", reason="killed") for seed in (0, 1)]
    curves = learning_curves(_study([make_record(curves=_curves([0.6, 0.9])), *lost, *failed]), "", "32")
    assert list(curves) == ["batch", "group"]
    assert curves["group"].steps.tolist() == [10] and curves["group"].accuracy.tolist() == [0.4]


def test_runs_that_were_looked_at_at_different_steps_are_averaged_where_both_were() -> None:
    study = _study(
        [
            make_record(seed=0, curves=_curves([0.5, 0.9], (10, 20))),
            make_record(seed=1, curves=_curves([0.7, 0.9], (15, 20))),
        ]
    )
    curve = learning_curves(study, "", "32")["batch"]
    assert curve.steps.tolist() == [10, 15, 20] and curve.n.tolist() == [1, 1, 2]
    assert curve.accuracy.tolist() == pytest.approx([0.5, 0.7, 0.9], abs=ROUNDING)


def test_with_crossed_splits_a_split_is_the_replicate() -> None:
    data = {"name": "digits", "batch_size": 32, "flip": False, "crop": 0}
    records = [
        make_record(
            norm=norm, seed=seed, spec={"data": {**data, "split_seed": split}},
            curves=_curves([0.5 + seed / 10 + split / 5]),
        )
        for norm in ("group", "batch")
        for split in range(2)
        for seed in range(2)
    ]  # fmt: skip
    curve = learning_curves(_study(records), "", "32")["batch"]
    assert curve.n.tolist() == [2] and curve.accuracy.tolist() == pytest.approx([0.65], abs=ROUNDING)
    assert curve.half_width.tolist() == pytest.approx([T_1 * 0.1], abs=ROUNDING)
    curve = learning_curves(_study(records[:-1]), "", "32")["batch"]  # one of its seeds on the second split is missing
    assert curve.n.tolist() == [1] and curve.accuracy.tolist() == pytest.approx([0.55], abs=ROUNDING)


def test_sections_and_columns_that_are_not_there() -> None:
    study = _study([make_record()])
    assert learning_curves(study, "", "64") == {}
    with pytest.raises(KeyError):
        learning_curves(study, "model=none", "32")
    assert np.isfinite(learning_curves(study, "", "32")["batch"].accuracy).all()
