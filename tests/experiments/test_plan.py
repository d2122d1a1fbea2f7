"""Checks the plan: which runs an experiment and a command line multiply out to, with which ids, and which are skipped."""

from __future__ import annotations

import math
import shlex
from collections import Counter
from pathlib import Path

import pytest

from normlib.errors import NormlibError
from normlib.experiments.complaints import ConfigError
from normlib.experiments.config import Composer
from normlib.experiments.folders import experiment_file
from normlib.experiments.plan import Plan, make_plan, make_run
from tests.experiments.tiny_sweeps import ACTIONS, TASK, TINY, ids, write_plugin


def labels_and_seeds(plan: Plan) -> list[tuple[str, int]]:
    return [(run.labels["norm"], run.spec["seed"]) for run in plan.runs]


@pytest.fixture
def own_folder(tmp_path: Path) -> str:
    """A folder of a user's own: an arm, an experiment, one that uses a plugin, and one with an interpolation."""
    (tmp_path / "norm").mkdir()
    (tmp_path / "experiment").mkdir()
    (tmp_path / "norm" / "group8.yaml").write_text("defaults:\n  - group\nnum_groups: 8\n")
    head = "# @package _global_\n"
    params = "hydra:\n  sweeper:\n    params:\n      norm: {norms}\n      seed: range(2)\n"
    (tmp_path / "experiment" / "own.yaml").write_text(head + params.format(norms="layer,group8"))
    plugin = write_plugin(tmp_path, "plain", "my_norm")
    (tmp_path / "experiment" / "plugged.yaml").write_text(
        head + params.format(norms="layer,my_norm") + f"plugins: [{plugin}]\n"
    )
    (tmp_path / "experiment" / "literal.yaml").write_text(head + params.format(norms="layer,none"))
    (tmp_path / "experiment" / "interpolated.yaml").write_text(
        head + params.format(norms="layer,none") + "data:\n  split_seed: ${seed}\n"
    )
    return str(tmp_path)


def test_axes_of_the_file_are_replaced_one_by_one() -> None:
    plan = make_plan([*TASK, "data.train=512", "training.steps=3", "norm=none,layer", "seed=5,7"])
    batch_sizes = plan.order["data.batch_size"]
    assert len(plan.runs) == 2 * 2 * len(batch_sizes) and len(batch_sizes) >= 5
    assert {run.spec["seed"] for run in plan.runs} == {5, 7}
    assert {run.labels["norm"] for run in plan.runs} == {"none", "layer"}
    assert {run.spec["data"]["batch_size"] for run in plan.runs} == set(map(int, batch_sizes))


@pytest.mark.parametrize(
    ("axis", "values"),
    [
        ("seed=range(3)", [0, 1, 2]),
        ("seed=range(1,8,3)", [1, 4, 7]),
        ("seed=choice(3,1)", [1, 3]),
        ("seed=4,2,4", [2, 4]),
        ("seed=7", [7]),
    ],
)
def test_the_grammar_of_sweeps(axis: str, values: list[int]) -> None:
    assert [run.spec["seed"] for run in make_plan([*TINY, "norm=layer", axis]).runs] == values


def test_a_glob_takes_every_norm_that_it_matches() -> None:
    assert {label for label, _ in labels_and_seeds(make_plan([*TINY, "norm=glob(batch*)", "seed=0"]))} == {
        "batch", "batch_renorm", "batch_renorm_fraction",
    }  # fmt: skip


def test_equal_runs_are_planned_once() -> None:
    plan = make_plan([*TINY, "norm=layer", "optimizer.lr=0.1,1e-1,0.10", "seed=0"])
    assert len(plan.runs) == 1


def test_one_arm_under_two_names_is_refused(own_folder: str) -> None:
    (Path(own_folder) / "norm" / "g8.yaml").write_text("defaults:\n  - group\nnum_groups: 8\n")
    for comparison in (True, False):
        with pytest.raises(ConfigError, match="norm=group8,g8: these are the same settings"):
            make_plan([*TINY, "norm=batch,group8,g8", "seed=0"], [own_folder], comparison)
    assert make_plan([*TINY, "norm=batch,group,g8", "norm.eps=1e-3", "seed=0"], [own_folder]).runs


def test_seeds_come_first_and_the_longest_runs_of_a_seed_first() -> None:
    plan = make_plan([*TASK, "training.epochs=1", "data.batch_size=32,2,8", "norm=layer", "seed=1,0"])
    assert [(run.spec["seed"], run.spec["data"]["batch_size"]) for run in plan.runs] == [
        (seed, batch_size) for seed in (0, 1) for batch_size in (2, 8, 32)
    ]


def test_what_makes_no_sense_is_skipped_with_the_reason_and_only_that() -> None:
    plan = make_plan(
        [
            "norm=instance,batch,layer",
            "model=mlp,convnet",
            "model.width=8",
            "model.depth=2",
            "data.batch_size=1,8",
            "seed=0",
            "control=false",
        ]
    )
    skipped = {
        (run.labels["norm"], run.labels["model"], run.spec["data"]["batch_size"]): run.skip_reason
        for run in plan.runs
        if run.skip_reason
    }
    assert set(skipped) == {("instance", "mlp", 1), ("instance", "mlp", 8), ("batch", "mlp", 1)}
    assert all("only one value" in str(reason) for reason in skipped.values())


@pytest.mark.parametrize(
    "overrides",
    [
        ["norm=none,layer", "seed=0,1"],
        ["norm=layer", "seed=0", "norm.eps=1e-3,1e-5", "optimizer.lr=0.1"],
        ["norm=layer", "seed=0", "site.norm_batch_size=null,4"],
        ["norm=layer", "seed=0", "site.activation='tanh',\"relu\""],
        ["norm=layer", "seed=0", "optimizer=sgd,adamw", "optimizer.lr=1e-2"],
        ["norm=layer", "seed=0", "data.shape=[4],[2,2]"],
    ],
    ids=lambda overrides: " ".join(overrides),
)
def test_setting_values_gives_the_ids_that_composing_each_run_gives(overrides: list[str]) -> None:
    plan = make_plan([*TINY, *overrides])
    assert len(plan.runs) == math.prod(map(len, plan.axes.values())) >= 2
    for run in plan.runs:
        words = shlex.split(run.command)
        assert words[:2] == ["normlib", "train"]
        again, _ = make_run(words[2:])
        assert (again.id, again.spec, again.labels) == (run.id, run.spec, run.labels)


def test_the_command_of_a_run_with_folders_and_plugins_makes_it_again(own_folder: str) -> None:
    for experiment in ("own", "plugged"):
        for run in make_plan([*TINY, f"experiment={experiment}", "seed=1"], [own_folder]).runs:
            words = shlex.split(run.command)
            folder = words.index("--config-dir")
            assert words[folder + 1] == own_folder
            again, _ = make_run(words[2:folder] + words[folder + 2 :], [own_folder])
            assert again.id == run.id


def test_a_users_own_experiment_and_arm(own_folder: str) -> None:
    plan = make_plan([*TINY, "experiment=own"], [own_folder])
    assert plan.experiment == "own"
    assert Counter(labels_and_seeds(plan)) == Counter((norm, seed) for norm in ("layer", "group8") for seed in (0, 1))
    arm = next(run for run in plan.runs if run.labels["norm"] == "group8")
    (same,) = make_plan([*TINY, "experiment=own", "norm=group", "norm.num_groups=8", "seed=0"], [own_folder]).runs
    assert arm.spec["norm"] == same.spec["norm"] and arm.id == same.id


def test_an_experiment_names_its_plugins(own_folder: str) -> None:
    plan = make_plan([*TINY, "experiment=plugged"], [own_folder])
    assert {label for label, _ in labels_and_seeds(plan)} == {"layer", "my_norm"}
    assert all(run.plugins == (f"{own_folder}/my_plain.py",) for run in plan.runs)


def test_an_interpolation_is_followed_run_by_run(own_folder: str) -> None:
    plan = make_plan([*TINY, "experiment=interpolated"], [own_folder])
    assert [run.spec["data"]["split_seed"] for run in plan.runs] == [0, 0, 1, 1]
    for seed in (0, 1):  # the same ids as with the value written out
        literal = make_plan([*TINY, "experiment=literal", f"seed={seed}", f"data.split_seed={seed}"], [own_folder])
        assert ids(literal) == {run.id for run in plan.runs if run.spec["seed"] == seed}


@pytest.mark.parametrize(
    ("axis", "pairs"),
    [
        ("data.split_seed=0,3", {(0, 0), (0, 3), (1, 0), (1, 3)}),
        ("data.split_seed=${seed}", {(0, 0), (1, 1)}),
        ("data.split_seed=${seed},7", {(0, 0), (0, 7), (1, 1), (1, 7)}),
    ],
)
def test_the_split_is_an_axis_and_may_follow_the_seed(axis: str, pairs: set[tuple[int, int]]) -> None:
    plan = make_plan([*TINY, "norm=none", "seed=0,1", axis])
    assert {(run.spec["seed"], run.spec["data"]["split_seed"]) for run in plan.runs} == pairs
    assert len(plan.runs) == len(pairs)


def test_what_an_interpolation_makes_is_checked() -> None:
    with pytest.raises(ConfigError, match="0.1"):
        make_plan([*TINY, "norm=none", "seed=0,1", "optimizer.lr=0.1", "data.split_seed=${optimizer.lr}"])
    with pytest.raises(ConfigError, match="sead"):
        make_plan([*TINY, "norm=none", "seed=0,1", "data.split_seed=${sead}"])


@pytest.mark.parametrize("kind", ["interpolated", "literal"])
def test_hydra_composes_once_for_each_choice_of_groups(
    kind: str, own_folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = Counter[str]()
    compose = Composer.compose

    def counted(self: Composer, *arguments: object) -> object:
        calls["compose"] += 1
        return compose(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Composer, "compose", counted)
    runs = make_plan([*TINY, f"experiment={kind}", "norm=layer,none", "seed=range(4)"], [own_folder]).runs
    assert len(runs) == 8
    once, per_choice = 1, 2
    assert calls["compose"] == once + per_choice


@pytest.mark.parametrize(
    "override",
    ["results_dir=elsewhere", "data_dir=elsewhere", "jobs=1", "retry_failed=false", "save_weights=true", "logger=csv",
     "rows=optimizer.lr", "columns=optimizer.lr", "evaluation.points=1"],
)  # fmt: skip
def test_what_cannot_change_a_number_is_not_in_the_id(override: str) -> None:
    assert make_run([*TINY, "norm=layer", override])[0].id == make_run([*TINY, "norm=layer"])[0].id


@pytest.mark.parametrize(
    "override",
    ["threads=2", "seed=1", "norm=none", "norm.eps=1e-4", "data.split_seed=1", "evaluation.points=2", "optimizer.lr=0.2",
     "model.width=9", "training.precision=bf16-mixed", "init.scale=0.5", "schedule=constant", "site.dropout=0.1"],
)  # fmt: skip
def test_what_can_change_a_number_is_in_the_id(override: str) -> None:
    norm = [] if override.startswith("norm=") else ["norm=layer"]
    assert make_run([*TINY, *norm, override])[0].id != make_run([*TINY, "norm=layer"])[0].id


def test_the_device_is_in_the_id(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, _ = make_run([*TINY, "norm=layer"])
    monkeypatch.setattr("normlib.experiments.resolve.known_accelerator", lambda name: "cuda")
    assert make_run([*TINY, "norm=layer"])[0].id != cpu.id


def test_steps_take_the_place_of_epochs_in_the_id() -> None:
    some, others = (make_run([*TINY, f"training.epochs={epochs}"])[0] for epochs in (1, 9))
    assert some.id == others.id and some.planned_steps == 3


def test_train_makes_one_run() -> None:
    with pytest.raises(ConfigError, match="norm=batch,layer names several"):
        make_run([*TINY, "norm=batch,layer"])


@pytest.mark.parametrize("kind", sorted(ACTIONS))
def test_planning_trains_nothing(kind: str, tmp_path: Path) -> None:
    plugin = write_plugin(tmp_path, kind, f"my_{kind}")
    before = sorted(tmp_path.iterdir())
    assert len(make_plan([*TINY, f"plugins=[{plugin}]", f"norm=my_{kind}", "seed=0"]).runs) == 1
    assert sorted(tmp_path.iterdir()) == before


def test_a_mapping_on_an_axis_is_merged_into_what_is_there() -> None:
    plan = make_plan(["norm=none", "model=mlp", "data.batch_size=8", "seed=0", "optimizer={lr:0.1},{weight_decay:0.5}"])
    settings = [(run.spec["optimizer"]["lr"], run.spec["optimizer"]["weight_decay"]) for run in plan.runs]
    assert sorted(settings) == [(0.005, 0.5), (0.1, 0.0)]  # the experiment's own: 0.005 and 0


def test_a_momentum_that_the_horizon_would_override_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"site\.horizon=320 sets the momentum"):
        make_plan(["norm=batch", "norm.momentum=0.5", "seed=0"])
    assert make_plan(["norm=batch", "norm.momentum=0.5", "site.horizon=null", "seed=0"]).runs


def test_any_setting_of_any_arm_can_span_a_table() -> None:
    assert make_plan(["norm=batch", "threads=1,2", "columns=threads", "seed=0"]).runs
    assert make_plan(["norm=batch,group", "columns=norm.num_groups", "seed=0"]).runs


def test_an_experiment_that_builds_on_another_has_its_settings(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    head = "# @package _global_\n"
    (tmp_path / "experiment" / "base.yaml").write_text(head + "columns: optimizer.lr\nrows: model\n")
    (tmp_path / "experiment" / "child.yaml").write_text(head + "defaults: [base]\nrows: norm\n")
    file = experiment_file("child", [str(tmp_path)])
    assert (file["columns"], file["rows"]) == ("optimizer.lr", "norm")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (
            ["metric=acuracy"],
            "metric=acuracy: no metric of task=classification is named 'acuracy'; did you mean 'accuracy'",
        ),
        (["target=95"], "target is the accuracy to reach, a fraction above 0 and up to 1"),
        (["target=.inf"], "target"),
    ],
)
def test_a_metric_or_a_target_that_no_report_could_show_is_refused_before_anything_runs(
    asked: list[str], message: str
) -> None:
    with pytest.raises(NormlibError, match=message):
        make_plan([*TINY, "norm=layer", *asked])


def test_the_plan_knows_the_metrics_of_its_runs() -> None:
    plan = make_plan([*TINY, "norm=layer", "metric=loss", "target=0.3"])
    assert {"accuracy", "loss"} <= {metric.name for metric in plan.metrics}
