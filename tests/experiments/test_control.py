"""Checks the control of a comparison: the baseline twice, paired with itself, wherever rows are norms and nobody objects."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from normlib.cli import main
from normlib.experiments.complaints import ConfigError
from normlib.experiments.control import CONTROL_NOISE
from normlib.experiments.estimate import estimate
from normlib.experiments.plan import Plan, make_plan, make_run
from normlib.experiments.sweep import run_missing
from normlib.results.store.columns import arm_label
from normlib.results.store.record import Record
from normlib.training.spec import Run
from tests.experiments.tiny_sweeps import TASK, TINY, Watcher
from tests.results.factories import make_record


def arm(run: Run | Record) -> str:
    """What tables call the run's arm."""
    return arm_label(run.labels["norm"], run.control)


def labels(plan: Plan) -> set[str]:
    return {arm(run) for run in plan.runs}


def outside_norm(spec: dict) -> dict:
    return {key: value for key, value in spec.items() if key != "norm"}


def test_every_run_of_the_baseline_has_its_double_and_no_other_run_has() -> None:
    plan = make_plan([*TASK, "training.steps=3", "norm=layer,batch,none", "data.batch_size=8,16", "seed=0,1"])
    by_label = {label: [run for run in plan.runs if arm(run) == label] for label in labels(plan)}
    assert {label: len(runs) for label, runs in by_label.items()} == {
        "layer": 4, "batch": 4, "batch_control": 4, "none": 4,
    }  # fmt: skip
    for run, double in zip(by_label["batch"], by_label["batch_control"], strict=True):
        assert outside_norm(double.spec) == outside_norm(run.spec) and double.id != run.id
        assert double.spec["norm"] == {**run.spec["norm"], "gamma_noise": CONTROL_NOISE}
        assert double.labels == run.labels and double.control and not run.control
        words = shlex.split(double.command)
        assert make_run(words[2:])[0].id == double.id, "the command makes it again"
    assert plan.control == "batch_control"
    assert plan.order["norm"] == ["layer", "batch", "none"]


def test_any_arm_may_be_the_baseline_also_one_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "norm").mkdir()
    (tmp_path / "norm" / "group4.yaml").write_text("defaults:\n  - group\nnum_groups: 4\n")
    plan = make_plan([*TINY, "norm=batch,group4", "seed=0", "baseline=group4"], [str(tmp_path)])
    assert labels(plan) == {"batch", "group4", "group4_control"}
    assert plan.order["norm"] == ["batch", "group4"]


@pytest.mark.parametrize(
    "override",
    ["control=false", "rows=optimizer.lr", "norm.gamma_noise=0,1e-3", "norm.gamma_noise=1e-6"],
)
def test_where_there_is_none(override: str) -> None:
    plan = make_plan([*TINY, "norm=batch,layer", "seed=0", override])
    assert labels(plan) == {"batch", "layer"} and plan.control is None
    assert plan.order["norm"] == ["batch", "layer"]


def test_there_is_none_where_the_default_baseline_is_no_arm_and_one_that_was_asked_for_has_to_be() -> None:
    assert labels(make_plan([*TINY, "norm=group,layer", "seed=0"])) == {"group", "layer"}
    with pytest.raises(ConfigError, match="baseline=grup: no row .norm. is named 'grup'; did you mean 'group'"):
        make_plan([*TINY, "norm=group,layer", "seed=0", "baseline=grup"])
    with pytest.raises(ConfigError, match=r"baseline=3: no row .model.depth. is named"):
        make_plan([*TINY, "rows=model.depth", "model.depth=1,2", "seed=0", "baseline=3"])
    assert make_plan([*TINY, "rows=model.depth", "model.depth=1,2", "seed=0", "baseline=2"]).runs


def test_multirun_has_none() -> None:
    assert labels(make_plan([*TINY, "norm=batch,layer"], comparison=False)) == {"batch", "layer"}


def test_an_arm_that_starts_with_noise_of_its_own_is_not_doubled(tmp_path: Path) -> None:
    (tmp_path / "norm").mkdir()
    (tmp_path / "norm" / "noisy.yaml").write_text("defaults:\n  - batch\ngamma_noise: 0.1\n")
    plan = make_plan([*TINY, "norm=noisy,layer", "seed=0", "baseline=noisy"], [str(tmp_path)])
    assert labels(plan) == {"noisy", "layer"}


def test_an_arm_with_the_controls_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "norm").mkdir()
    (tmp_path / "norm" / "batch_control.yaml").write_text("defaults:\n  - batch\neps: 1e-3\n")
    with pytest.raises(ConfigError, match="norm=batch_control: that is the name of the control"):
        make_plan([*TINY, "norm=batch,batch_control", "seed=0"], [str(tmp_path)])
    assert labels(make_plan([*TINY, "norm=batch,batch_control", "control=false"], [str(tmp_path)])) == {
        "batch", "batch_control",
    }  # fmt: skip


def test_a_baseline_that_makes_no_sense_has_a_control_that_makes_none() -> None:
    plan = make_plan([*TINY, "norm=instance,layer", "seed=0", "baseline=instance"])
    reasons = {arm(run): run.skip_reason for run in plan.runs}
    assert reasons["instance"] == reasons["instance_control"] is not None and reasons["layer"] is None


def test_the_time_of_a_control_is_known_from_the_baseline() -> None:
    plan = make_plan([*TINY, "norm=batch", "seed=0"])
    run, double = (next(r for r in plan.runs if arm(r) == name) for name in ("batch", "batch_control"))
    other = make_record(spec={**run.spec, "norm": {"name": "other"}}, seconds_per_step=50.0)
    asked = estimate([double], [make_record(spec=dict(run.spec), seconds_per_step=2.0), other])
    assert asked.rough_runs == 0 and 6 <= asked.seconds < 7, "three steps of two seconds"


def test_a_comparison_trains_it_on_the_same_trunk_and_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    narrow = [*TASK, "data.batch_size=8", "training.steps=40", "norm=batch,layer", "seed=0,1"]
    assert main(["plan", *narrow]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "norm: batch, layer" in shown
    assert "control: batch_control is batch with noise of 1e-06 on its scales at the start" in shown
    records = list(run_missing(make_plan(narrow), Watcher()).records.values())
    by_arm = {(arm(record), record.spec["seed"]): record for record in records}
    assert len(by_arm) == len(records) == 6
    for seed in (0, 1):
        run, double = by_arm["batch", seed], by_arm["batch_control", seed]
        assert double.hashes == run.hashes
        assert double.curves["train"]["loss"] != run.curves["train"]["loss"]
