"""Checks settings that only some choices have: applied to those, made once for the others, said, and told apart in tables."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from normlib.cli import main
from normlib.experiments.complaints import ConfigError
from normlib.experiments.plan import Plan, make_plan, make_run
from normlib.results.store.frame import frame
from normlib.results.store.record import SKIPPED
from normlib.results.study.axes import places
from normlib.training.outcome import unfinished
from tests.experiments.tiny_sweeps import TASK, TINY, ids

ONE = ["seed=0", "control=false"]


def settings(plan: Plan, group: str, setting: str) -> list[tuple[str, object]]:
    """Each run's choice in a group and its value of a setting, "has none" where the choice has no such setting."""
    return [(run.labels[group], run.spec[group].get(setting, "has none")) for run in plan.runs]


def told(plan: Plan) -> list[str]:
    """The notes of a plan but for the one on what it is based on."""
    return [note for note in plan.notes if not note.startswith("based on")]


def table_of(plan: Plan) -> object:
    """The frame of the plan's runs, as if each had a record."""
    return frame([unfinished(run, SKIPPED, "") for run in plan.runs])


@pytest.mark.parametrize("arms", ["norm=batch,group", "norm=group,batch", "norm=choice(batch,group)"])
def test_an_axis_of_one_arm_makes_the_others_once(arms: str) -> None:
    plan = make_plan([*TINY, *ONE, arms, "norm.num_groups=2,4"])
    assert sorted(settings(plan, "norm", "num_groups"), key=str) == [("batch", "has none"), ("group", 2), ("group", 4)]
    assert told(plan) == ["norm.num_groups=2,4 is a setting of group; batch has none and is run once"]


def test_one_value_reaches_those_that_have_the_setting() -> None:
    plan = make_plan([*TINY, *ONE, "norm=batch,layer,group", "norm.num_groups=2"])
    assert settings(plan, "norm", "num_groups") == [("batch", "has none"), ("layer", "has none"), ("group", 2)]
    assert told(plan) == ["norm.num_groups=2 is a setting of group; batch and layer have none"]


def test_the_arms_may_be_the_experiments() -> None:
    plan = make_plan([*TASK, "data.batch_size=8", "training.steps=3", *ONE, "norm.num_groups=2"])
    assert ("group", 2) in settings(plan, "norm", "num_groups") and len(plan.runs) == 6


@pytest.mark.parametrize(
    ("axes", "group", "setting", "values"),
    [
        (["data=synthetic,digits", "data.classes=3,5"], "data", "classes", {"synthetic": {3, 5}, "digits": {"has none"}}),
        (["optimizer=sgd,adamw", "optimizer.beta1=0.8,0.9"], "optimizer", "beta1", {"sgd": {"has none"}, "adamw": {0.8, 0.9}}),
        (["schedule=constant,cosine", "schedule.warmup=0,0.1"], "schedule", "warmup", {"constant": {"has none"}, "cosine": {0.0, 0.1}}),
    ],
)  # fmt: skip
def test_settings_of_every_group(axes: list[str], group: str, setting: str, values: dict[str, set[object]]) -> None:
    given = [
        each
        for each in ["model=mlp", "data.batch_size=8", "training.steps=3", "norm=none", *ONE]
        if not each.startswith(f"{group}=")
    ]
    plan = make_plan([*given, *axes])
    seen: dict[str, set[object]] = {}
    for choice, value in settings(plan, group, setting):
        seen.setdefault(choice, set()).add(value)
    assert seen == values and len(plan.runs) == 3
    assert len(told(plan)) == 1 and f"{group}.{setting}=" in told(plan)[0]


def test_two_groups_with_settings_of_their_own() -> None:
    plan = make_plan(
        [*TINY, *ONE, "norm=batch,group", "norm.num_groups=2,4", "optimizer=sgd,adamw", "optimizer.momentum=0,0.9"]
    )
    assert len(plan.runs) == 3 * 3 and len(told(plan)) == 2


def test_what_every_choice_has_is_said_of_none() -> None:
    plan = make_plan([*TINY, *ONE, "norm=batch,group", "norm.eps=1e-3,1e-5"])
    assert len(plan.runs) == 4 and told(plan) == []


def test_ids_and_commands_are_those_of_the_runs_alone() -> None:
    plan = make_plan([*TINY, "norm=batch,group", "norm.num_groups=2,4", "norm.eps=1e-3", "seed=0"])
    control = {run.id for run in plan.runs if run.spec["norm"]["gamma_noise"]}
    based = make_plan([*TINY, "norm=batch,group", "norm.num_groups=2,4", "norm.eps=1e-3", "seed=0", "control=false"])
    assert len(control) == 1 and ids(plan) - control == ids(based)
    for run in plan.runs:
        again, _ = make_run(shlex.split(run.command)[2:])
        assert (again.id, again.experiment) == (run.id, run.experiment)
        assert ("norm.num_groups" in run.command) == (run.spec["norm"]["name"] == "group")


def test_a_setting_that_no_choice_has_is_refused_with_the_closest_name() -> None:
    for value in ("2", "2,4"):
        with pytest.raises(
            ConfigError,
            match=r"norm=batch,group: norm.num_group: no setting is named 'num_group'; did you mean 'num_groups'",
        ):
            make_plan([*TINY, *ONE, "norm=batch,group", f"norm.num_group={value}"])
    with pytest.raises(ConfigError, match=r"norm.num_groups: no setting is named 'num_groups'. Known: "):
        make_plan([*TINY, *ONE, "norm=batch", "norm.num_groups=2"])  # one arm: nothing to leave it out for
    with pytest.raises(ConfigError, match="num_groups=four.*Integer"):
        make_plan([*TINY, *ONE, "norm=batch,group", "norm.num_groups=four"])
    with pytest.raises(ConfigError, match="num_groups=four.*Integer"):
        make_plan([*TINY, *ONE, "norm=batch,group", "norm.num_groups=2,four"])


def test_hydras_own_multirun_would_set_it_for_every_arm_and_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["train", "-m", *TINY, "norm=batch,group", "norm.num_groups=2,4", f"results_dir={tmp_path / 'results'}"]
    assert main(line) == 2
    assert "norm.num_groups=2,4 is a setting of group" in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


def test_the_plan_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", *TINY, *ONE, "norm=batch,group", "norm.num_groups=2,4"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "norm.num_groups=2,4 is a setting of group; batch has none and is run once" in shown


@pytest.mark.parametrize(
    ("rows", "columns", "row_labels", "column_labels", "sections"),
    [
        ("norm", "data.batch_size", ("batch", "group (num_groups=2)", "group (num_groups=4)"), ("8",), ("",)),
        ("norm", "norm.num_groups", ("batch", "group"), ("2", "4", "null"), ("",)),
        ("norm.num_groups", "norm", ("2", "4", "null"), ("batch", "group"), ("",)),
        ("data.batch_size", "optimizer.lr", ("8",), ("0.1",),
         ("norm=batch, norm.num_groups=null", "norm=group, norm.num_groups=2", "norm=group, norm.num_groups=4")),
    ],
)  # fmt: skip
def test_every_arm_has_a_place_of_its_own_in_the_tables(
    rows: str, columns: str, row_labels: tuple[str, ...], column_labels: tuple[str, ...], sections: tuple[str, ...]
) -> None:
    plan = make_plan(
        [
            *TINY,
            *ONE,
            "norm=batch,group",
            "norm.num_groups=2,4",
            "optimizer.lr=0.1",
            f"rows={rows}",
            f"columns={columns}",
        ]
    )
    laid = places(table_of(plan), rows, columns, plan.order)  # type: ignore[arg-type]
    assert (laid.row_labels, laid.column_labels, laid.sections) == (row_labels, column_labels, sections)
    assert len(set(zip(laid.rows, laid.columns, laid.section, strict=True))) == 3
    assert plan.row_labels == set(row_labels)
    stands = ", and stands at null in the tables" if "norm.num_groups" in (rows, columns) else ""
    assert told(plan) == [f"norm.num_groups=2,4 is a setting of group; batch has none and is run once{stands}"]


def test_a_baseline_is_one_row() -> None:
    arms = [*TINY, "seed=0", "norm=batch,group", "norm.num_groups=2,4"]
    with pytest.raises(ConfigError, match=r"no row \(norm\) is named 'group'.*group \(num_groups=2\)"):
        make_plan([*arms, "baseline=group"])
    assert make_plan([*arms, "baseline='group (num_groups=2)'"]).runs
