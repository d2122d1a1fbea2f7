"""Checks what trials choose: on validation alone, among equal trials alone, and which runs each view then holds."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest

from normlib.results.store.frame import frame
from normlib.results.store.record import DIVERGED, DONE, FAILED, SKIPPED, Record
from normlib.results.study.axes import ReportError
from normlib.results.study.tuning import FIXED, FOUND, TRIAL, TUNED, choices, is_chosen, tuned_axis, views
from tests.results.factories import make_record

AXIS = "optimizer.lr"
FIRST_TRIAL = 1_000_000


def run(
    stage: str, lr: Any, validation: float = 0.5, *, seed: int = 0, norm: str = "batch", size: int = 32,
    status: str = DONE, test: float = 0.5, spec: dict[str, Any] | None = None, axis: str = AXIS, **over: Any,
) -> Record:  # fmt: skip
    """A record of one stage: its rate, and its accuracies on validation and test."""
    labels = {"norm": norm, "model": "mlp", "data": "digits", "optimizer": "sgd", "stage": stage, "tuning": axis}
    optimizer = {"name": "sgd", "lr": lr, "weight_decay": 0.0}
    record = make_record(
        norm=norm, batch_size=size, seed=seed + (FIRST_TRIAL if stage == TRIAL else 0), status=status,
        spec={"optimizer": optimizer, **(spec or {})}, labels=labels, reason=None if status == DONE else status, **over,
    )  # fmt: skip
    if record.trained:
        for split, accuracy in (("validation", validation), ("test", test)):
            record.metrics[split]["accuracy"] = accuracy  # type: ignore[index]
    return record


def trials(means: dict[Any, Any], replicates: int = 2, **settings: Any) -> list[Record]:
    """Trials of every value; a list gives one accuracy a trial, a word the status of the last one."""
    records = []
    for lr, scores in means.items():
        for seed in range(replicates):
            score = scores[seed] if isinstance(scores, list) else scores
            status = score if isinstance(score, str) else DONE
            accuracy = 0.0 if isinstance(score, str) else score
            records.append(run(TRIAL, lr, accuracy, seed=seed, status=status, **settings))
    return records


def only(found: pd.DataFrame) -> dict[str, Any]:
    (row,) = found.to_dict("records")
    return row


def test_the_best_mean_on_validation_chooses_and_the_test_figure_has_no_say() -> None:
    records = [run(TRIAL, 0.01, 0.7, seed=0, test=1.0), run(TRIAL, 0.01, 0.9, seed=1, test=1.0)]
    records += trials({0.1: [0.85, 0.85], 1.0: [0.1, 0.1]})
    found = only(choices(frame(records), AXIS))
    assert found["chosen"] == 0.1 and not found["at_edge"] and found["trials"] == 6
    assert found["validation"] == pytest.approx(0.85, abs=1e-12)  # rounding of a mean of two
    assert list(found["means"]) == [0.01, 0.1, 1.0]
    assert found["means"][0.01] == pytest.approx(0.8, abs=1e-12)
    assert (found["missing"], found["why_not"]) == (0, "")


@pytest.mark.parametrize(
    ("means", "chosen", "at_edge"),
    [
        ({0.01: 0.9, 0.1: 0.8, 1.0: 0.7}, 0.01, True),
        ({0.01: 0.7, 0.1: 0.8, 1.0: 0.9}, 1.0, True),
        ({1.0: 0.9, 0.01: 0.7, 0.1: 0.9}, 0.1, False),  # of equals the smaller, in whatever order they came
        ({0.01: [0.1, 0.7], 0.1: [0.7, 0.1], 1.0: 0.3}, 0.01, True),  # equal but for rounding
        ({8: 0.7, 16: 0.9, 128: 0.8}, 16, False),  # by size, not by alphabet
        ({10: 0.9, 320: 0.7, None: 0.95}, None, False),  # null is no number, and may be chosen
        ({10: 0.9, 320: 0.7, None: 0.8}, 10, True),
        ({"linear": 0.7, "constant": 0.7}, "constant", False),  # words have no edge
        ({True: 0.7, False: 0.9}, False, False),
    ],
)
def test_edges_ties_and_kinds_of_values(means: dict[Any, Any], chosen: Any, at_edge: bool) -> None:
    found = only(choices(frame(trials(means)), AXIS))
    assert found["chosen"] == chosen and type(found["chosen"]) is type(chosen)
    assert found["at_edge"] is at_edge and found["why_not"] == ""


def test_a_diverged_trial_counts_with_what_it_scored() -> None:
    records = trials({0.01: 0.6, 0.1: 0.5}) + [
        run(TRIAL, 1.0, 0.99, seed=0),
        run(TRIAL, 1.0, 0.1, seed=1, status=DIVERGED),
    ]
    found = only(choices(frame(records), AXIS))
    assert found["chosen"] == 0.01 and found["trials"] == 6
    assert found["means"][1.0] == pytest.approx(0.545, abs=1e-12)


def test_a_value_with_a_failed_trial_cannot_be_chosen() -> None:
    found = only(choices(frame(trials({0.01: 0.6, 0.1: [0.99, FAILED], 1.0: 0.5})), AXIS))
    assert found["chosen"] == 0.01 and found["trials"] == 5
    assert math.isnan(found["means"][0.1])


@pytest.mark.parametrize(("status", "words"), [(FAILED, "failed"), (SKIPPED, "was skipped")])
def test_without_one_good_value_there_is_no_choice(status: str, words: str) -> None:
    found = only(choices(frame(trials({0.01: [0.6, status], 0.1: [status, 0.9]})), AXIS))
    assert found["why_not"] == f"no choice: every value has a trial that {words}"
    assert math.isnan(found["validation"]) and not found["at_edge"] and found["missing"] == 0


def test_nothing_is_chosen_among_unequal_trials() -> None:
    records = trials({0.01: 0.6, 0.1: 0.9}) + trials({0.01: 0.7}, norm="group") + trials({0.1: 0.8}, 1, norm="group")
    batch, group = choices(frame(records), AXIS).to_dict("records")
    assert batch["chosen"] == 0.1 and batch["why_not"] == ""
    assert (group["missing"], group["why_not"]) == (1, "no choice yet: 1 of 4 trials have no record")


def test_each_arm_and_condition_has_its_own_choice_in_order() -> None:
    records = [
        *trials({0.01: 0.6, 0.1: 0.9}, norm="group", size=128),
        *trials({0.01: 0.9, 0.1: 0.6}, norm="group", size=8),
        *trials({0.01: 0.9, 0.1: 0.6}, norm="batch", size=128),
        *trials({0.01: 0.6, 0.1: 0.9}, norm="batch", size=8),
    ]
    found = choices(frame(records), AXIS)
    assert list(found.columns) == ["norm", "data.batch_size", *FOUND]
    assert found.iloc[:, :3].to_numpy().tolist() == [
        ["batch", 8, 0.1], ["batch", 128, 0.01], ["group", 8, 0.01], ["group", 128, 0.1],
    ]  # fmt: skip


def test_an_arms_own_settings_tell_conditions_apart_and_what_follows_the_seed_or_the_axis_does_not() -> None:
    records = []
    for groups in (4, 8):
        for lr in (0.01, 0.1):
            for seed in (0, 1):
                optimizer = {"name": "sgd", "lr": lr, "weight_decay": lr / 10}
                training = {"epochs": 5, "steps": None, "precision": "32", "pace": seed}
                good = (lr == 0.01) == (groups == 4)
                records.append(
                    run(TRIAL, lr, 0.9 if good else 0.5, seed=seed, norm="group", norm_settings={"num_groups": groups},
                        spec={"optimizer": optimizer, "training": training})
                )  # fmt: skip
    found = choices(frame(records), AXIS)
    assert list(found.columns) == ["norm", "norm.num_groups", *FOUND]
    assert found[["norm.num_groups", "chosen"]].to_numpy().tolist() == [[4, 0.01], [8, 0.1]]


def test_no_trials_no_choices_and_an_unknown_axis_is_refused() -> None:
    plain = frame([make_record()])
    assert not len(choices(plain, AXIS)) and tuned_axis(plain) is None
    assert views(plain, AXIS)[FIXED] is plain and not len(views(plain, AXIS)[TUNED])
    tried = frame(trials({0.01: 0.6, 0.1: 0.9}, axis="optimizer.rate"))
    with pytest.raises(ReportError, match="optimizer.rate"):
        choices(tried, "optimizer.rate")


def experiment() -> list[Record]:
    """Two arms: batch chooses the fixed rate, group another; evaluation of both views, and of a rate that none chose."""
    evaluation = [
        run(stage, lr, seed=seed, norm=norm, test=test)
        for stage, lr, norm, test in (
            (FIXED, 0.1, "batch", 0.8), (FIXED, 0.1, "group", 0.3), (TUNED, 0.01, "group", 0.9), (TUNED, 1.0, "group", 0.99),
        )
        for seed in (0, 1)
    ]  # fmt: skip
    return [*trials({0.01: 0.5, 0.1: 0.9}), *trials({0.01: 0.9, 0.1: 0.5}, norm="group"), *evaluation]


def test_the_two_views_hold_evaluation_alone() -> None:
    table = frame(experiment())
    assert tuned_axis(table) == AXIS
    tuned, fixed = (views(table, AXIS)[name] for name in (TUNED, FIXED))
    assert tuned[["norm", "seed", "test.accuracy"]].to_numpy().tolist() == [
        ["batch", 0, 0.8], ["batch", 1, 0.8], ["group", 0, 0.9], ["group", 1, 0.9],
    ]  # fmt: skip
    assert fixed[["norm", "seed", "test.accuracy"]].to_numpy().tolist() == [
        ["batch", 0, 0.8], ["batch", 1, 0.8], ["group", 0, 0.3], ["group", 1, 0.3],
    ]  # fmt: skip
    assert {"stage", "tuning", AXIS}.isdisjoint(tuned.columns)
    assert {"stage", "tuning"}.isdisjoint(fixed.columns) and AXIS in fixed
    chosen = is_chosen(table, choices(table, AXIS), AXIS)
    assert table[chosen & (table["stage"] != TRIAL)]["id"].tolist() == tuned["id"].tolist()


def test_an_arm_whose_trials_failed_is_failed_in_the_tuned_view_and_as_it_was_in_the_fixed_one() -> None:
    records = experiment() + trials({0.01: [0.6, FAILED], 0.1: [FAILED, 0.6]}, norm="layer")
    records += [run(FIXED, 0.1, norm="layer", seed=seed, test=0.7) for seed in (0, 1)]
    tuned, fixed = (views(frame(records), AXIS)[name] for name in (TUNED, FIXED))
    layer = tuned[tuned["norm"] == "layer"]
    assert layer["status"].tolist() == [FAILED, FAILED] and layer["seed"].tolist() == [0, 1]
    assert set(layer["reason"]) == {"no choice: every value has a trial that failed"}
    assert layer[["test.accuracy", "validation.accuracy", "seconds_per_step", "id"]].isna().all(axis=None)
    assert tuned[tuned["norm"] != "layer"]["status"].eq(DONE).all()
    assert fixed[fixed["norm"] == "layer"]["test.accuracy"].tolist() == [0.7, 0.7]


def test_an_arm_that_makes_no_sense_is_skipped_in_both_views() -> None:
    skipped = trials({0.01: [SKIPPED, SKIPPED], 0.1: [SKIPPED, SKIPPED]}, norm="instance")
    skipped += [run(FIXED, 0.1, norm="instance", seed=seed, status=SKIPPED) for seed in (0, 1)]
    for view in views(frame(experiment() + skipped), AXIS).values():
        assert view[view["norm"] == "instance"]["status"].tolist() == [SKIPPED, SKIPPED]
        assert set(view[view["norm"] == "instance"]["reason"]) == {SKIPPED}


def test_an_arm_with_trials_to_come_is_not_in_the_tuned_view_yet() -> None:
    records = experiment() + trials({0.01: 0.6}, norm="layer") + [run(FIXED, 0.1, norm="layer")]
    both = views(frame(records), AXIS)
    assert "layer" not in set(both[TUNED]["norm"]) and "layer" in set(both[FIXED]["norm"])


def test_the_newest_axis_is_the_one_that_is_tuned_and_has_its_own_trials() -> None:
    older = [run(TRIAL, 7.0, 1.0, axis="optimizer.weight_decay", started="2024-01-01T10:00:00+00:00")]
    table = frame([*older, *experiment()])
    assert tuned_axis(table) == AXIS
    assert set(choices(table, AXIS)["why_not"]) == {""} and 7.0 not in choices(table, AXIS)["means"].iloc[0]
