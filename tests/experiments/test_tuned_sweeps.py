"""Checks tuning from the plan to the records: equal trials, choices on validation, fresh seeds, and stops at any time."""

from __future__ import annotations

import itertools
import json
import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import pytest

from normlib.cli import main
from normlib.experiments.execute import Outcome
from normlib.experiments.plan import Plan, make_plan
from normlib.experiments.reporting import report_on_state
from normlib.experiments.state import State, progress_of
from normlib.experiments.sweep import run_missing
from normlib.experiments.tuning import FIRST_TUNING_SEED
from normlib.results.store.columns import arm_label
from normlib.results.store.record import Record
from normlib.results.store.store import Store
from normlib.results.study.tuning import FIXED, TRIAL, TUNED
from tests.experiments.tiny_sweeps import TASK, Watcher, contents, write_plugin

RATES = (0.0005, 0.005, 0.05)
TUNING = "tuning={axis:optimizer.lr,values:[0.0005,0.005,0.05],replicates:2}"
SMALL = [*TASK, "data.batch_size=8", "training.steps=5", "seed=0,1", "jobs=2"]
SWEEP = [*SMALL, "norm=layer,none", TUNING]
TRIALS, EVALUATIONS = 2 * 3 * 2, 2 * 2  # arms × values × replicates, arms × seeds


def plan_in(results: Path, *overrides: str) -> Plan:
    norm = [] if any(override.startswith("norm=") for override in overrides) else ["norm=layer,none"]
    return make_plan([*SMALL, *norm, TUNING, f"results_dir={results}", *overrides])


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Record]]:
    """The sweep, done once without a stop: its folder and its records."""
    results = tmp_path_factory.mktemp("finished")
    return results, run_missing(plan_in(results), Watcher()).records


def stages(plan: Plan) -> Counter[str]:
    return Counter(run.labels["stage"] for run in plan.runs)


def stored(results: Path) -> Sequence[Record]:
    return Store(results, "comparison").scan().records


def best_rates(records: Sequence[Record]) -> dict[str, float]:
    """Each arm's rate by the records of its trials, worked out here once more."""
    sums: dict[str, dict[float, float]] = defaultdict(lambda: defaultdict(float))
    for record in records:
        if record.labels["stage"] == TRIAL:
            accuracy = record.metrics["validation"]["accuracy"]
            sums[record.labels["norm"]][record.spec["optimizer"]["lr"]] += accuracy or 0.0
    return {arm: min(rates, key=lambda rate, of=rates: (-of[rate], rate)) for arm, rates in sums.items()}


def test_every_arm_and_condition_has_the_same_trials_on_seeds_of_their_own(tmp_path: Path) -> None:
    plan = plan_in(tmp_path, "norm=batch,layer", "data.batch_size=8,16", "control=true")
    trials = defaultdict(set)
    for run in plan.runs:
        if run.labels["stage"] == TRIAL:
            arm = arm_label(run.labels["norm"], run.control), run.spec["data"]["batch_size"]
            trials[arm].add((run.spec["optimizer"]["lr"], run.spec["seed"]))
    arms = itertools.product(("batch", "batch_control", "layer"), (8, 16))
    assert dict(trials) == {
        arm: set(itertools.product(RATES, (FIRST_TUNING_SEED, FIRST_TUNING_SEED + 1))) for arm in arms
    }
    evaluation = [run for run in plan.runs if run.labels["stage"] == FIXED]
    assert {(run.spec["seed"], run.spec["optimizer"]["lr"]) for run in evaluation} == {(0, 0.005), (1, 0.005)}
    assert {run.labels["tuning"] for run in plan.runs} == {"optimizer.lr"}
    # 0.005 is the fixed value and a value of the grid, and there is one run of it.
    assert {run.spec["optimizer"]["lr"] for run in plan.candidates} == {0.0005, 0.05}
    assert {run.labels["stage"] for run in plan.candidates} == {TUNED}


def test_trials_choose_on_validation_and_the_chosen_values_are_evaluated(
    finished: tuple[Path, dict[str, Record]],
) -> None:
    results, records = finished
    plan = plan_in(results)
    chosen = best_rates(list(records.values()))
    tuned = {arm: rate for arm, rate in chosen.items() if rate != 0.005}
    assert stages(progress_of(plan).plan) == Counter({TRIAL: TRIALS, FIXED: EVALUATIONS, TUNED: 2 * len(tuned)})
    evaluated = {
        (record.labels["norm"], record.spec["optimizer"]["lr"], record.spec["seed"])
        for record in records.values()
        if record.labels["stage"] == TUNED
    }
    assert tuned, "else this test would show nothing"
    assert evaluated == {(arm, rate, seed) for arm, rate in tuned.items() for seed in (0, 1)}
    assert {record.id for record in stored(results)} == set(records)
    before = contents(results)
    assert run_missing(plan, Watcher()).records == records and contents(results) == before, "done once"


class Stopper(Watcher):
    """Stops the sweep with Ctrl-C after some runs, or when a stage begins."""

    def __init__(self, after_runs: int | None = None, at_stage: int | None = None) -> None:
        super().__init__()
        self.after_runs, self.at_stage, self.stages = after_runs, at_stage, 0

    def start(self, state: State) -> None:
        self.stages += 1
        if self.stages == self.at_stage:
            raise KeyboardInterrupt
        super().start(state)

    def ended(self, outcome: Outcome) -> None:
        super().ended(outcome)
        if len(self.ended_runs) == self.after_runs:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("stop", "least", "most"),
    [
        ({"after_runs": 3}, 3, TRIALS),  # such runs are so short that workers may end all that was handed out
        ({"at_stage": 2}, TRIALS, TRIALS),
        ({"after_runs": TRIALS + 1}, TRIALS + 1, TRIALS + 2 * EVALUATIONS),
    ],
    ids=["among the trials", "between the stages", "in evaluation"],
)
def test_a_stop_at_any_time_costs_nothing(
    stop: dict[str, int], least: int, most: int, finished: tuple[Path, dict[str, Record]], tmp_path: Path
) -> None:
    plan = plan_in(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run_missing(plan, Stopper(**stop))
    before = contents(tmp_path)
    assert least <= len(before) <= most
    records = run_missing(plan, Watcher()).records
    after = contents(tmp_path)
    assert {key: after[key] for key in before} == before, "nothing is done twice"
    assert set(after) == set(records) == {run.id for run in progress_of(plan).plan.runs}
    assert {key: record.metrics for key, record in records.items()} == {
        key: record.metrics for key, record in finished[1].items()
    }


def counts(shown: str) -> dict[str, list[int]]:
    rows = re.findall(r"^ *(done|diverged|failed|missing|skipped) +(\d+) +(\d+) +(\d+) *$", shown, re.MULTILINE)
    return {status: [int(number) for number in numbers] for status, *numbers in rows}


def test_plan_and_compare_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["plan", *SWEEP]) == 0
    shown = capsys.readouterr().out
    assert counts(shown)["missing"] == [TRIALS, EVALUATIONS, 0]
    shown = " ".join(shown.split())
    assert "tuning: optimizer.lr among 0.0005, 0.005, 0.05, for each arm and condition alike" in shown
    assert f"{EVALUATIONS} more runs at chosen values, once the trials are done" in shown
    assert re.search(r"estimated time: at most .* s trials, .* s at the fixed value, .* s at chosen values", shown)

    assert main(["compare", *SWEEP]) == 0
    shown = capsys.readouterr().out
    assert "comparison, trials: 12 runs: 0 done before, 12 to do" in shown
    assert re.search(r"comparison, evaluation: \d+ runs: 0 done before", shown)
    assert re.search(r"last: (layer|none) optimizer\.lr=[\d.]+ seed=100000\d: ", shown), "a trial is named by its value"

    tuned = sum(record.labels["stage"] == TUNED for record in stored(Path("results")))
    assert main(["plan", *SWEEP]) == 0
    shown = capsys.readouterr().out
    assert counts(shown)["done"] == [TRIALS, EVALUATIONS, tuned] and counts(shown)["missing"] == [0, 0, 0]
    assert "nothing to train" in shown and "more runs" not in shown

    assert main(["plan", *SWEEP, "seed=range(4)"]) == 0
    assert counts(capsys.readouterr().out)["missing"] == [0, EVALUATIONS, tuned], "known, since the trials are done"


def test_an_arm_whose_trials_fail_is_evaluated_at_the_fixed_value_alone_until_it_is_mended(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    plugin = write_plugin(tmp_path, "raising")
    sweep = [*SMALL, TUNING, f"plugins=[{plugin}]", "norm=layer,raising", f"results_dir={tmp_path}"]
    assert main(["compare", *sweep]) == 1
    done = Counter((record.labels["norm"], record.labels["stage"], record.status) for record in stored(tmp_path))
    assert done["raising", TRIAL, "failed"] == 6 and done["raising", FIXED, "failed"] == 2
    assert not any(stage == TUNED and norm == "raising" for norm, stage, _ in done)
    assert done["layer", TRIAL, "done"] == 6

    (tmp_path / "mended").touch()
    run_missing(make_plan(sweep), Watcher())
    records = stored(tmp_path)
    assert {record.status for record in records} == {"done"}
    rate = best_rates(records)["raising"]
    assert {record.spec["optimizer"]["lr"] for record in records if record.labels["norm"] == "raising"
            and record.labels["stage"] != TRIAL} == {0.005, rate}  # fmt: skip
    capfd.readouterr()


def test_a_chosen_value_that_becomes_the_fixed_one_gets_its_label_and_is_not_trained_again(
    finished: tuple[Path, dict[str, Record]], tmp_path: Path
) -> None:
    done, records = finished
    shutil.copytree(done, tmp_path, dirs_exist_ok=True)
    arm, rate = next((arm, rate) for arm, rate in best_rates(list(records.values())).items() if rate != 0.005)
    plan = plan_in(tmp_path, f"norm={arm}", f"optimizer.lr={rate}")
    watcher = Watcher()
    relabelled = run_missing(plan, watcher).records
    assert watcher.ended_runs == []
    for record in relabelled.values():
        assert record.labels["stage"] == (TRIAL if record.spec["seed"] >= FIRST_TUNING_SEED else FIXED)
        assert record.metrics == records[record.id].metrics
        assert Store(tmp_path, "comparison").read(record.id) == record


def test_a_plan_without_tuning_leaves_the_stages_and_shows_its_runs_as_one_comparison(
    finished: tuple[Path, dict[str, Record]], tmp_path: Path
) -> None:
    done, _ = finished
    shutil.copytree(done, tmp_path, dirs_exist_ok=True)
    before = contents(tmp_path)
    plan = plan_in(tmp_path, "tuning=null", "seed=range(3)")
    records = run_missing(plan, Watcher()).records
    after = contents(tmp_path)
    assert {key: after[key] for key in before} == before and len(after) == len(before) + 2
    assert Counter(record.labels.get("stage") for record in records.values()) == {FIXED: EVALUATIONS, None: 2}
    report = report_on_state(progress_of(plan), "normlib compare")
    assert len(report.frame) == 6 and [study.view for study in report.studies] == [""]
    report = report_on_state(progress_of(plan_in(tmp_path)), "normlib compare")
    assert [study.view for study in report.studies] == ["tuned", "fixed"]


def test_values_are_typed_as_overrides_are(tmp_path: Path) -> None:
    for key, values in {"site.norm_batch_size": (None, 4), "optimizer.lr_rule": ("linear", "sqrt"),
                        "optimizer.decay_norm": (True, False)}.items():  # fmt: skip
        listed = json.dumps(values)
        plan = plan_in(tmp_path, f"tuning={{axis:{key},values:{listed},replicates:1}}", "norm=none", "seed=0")
        section, _, name = key.partition(".")
        assert {run.spec[section][name] for run in plan.runs} == set(values)


def test_an_experiments_file_declares_tuning_and_the_command_line_changes_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "own.yaml").write_text(
        "# @package _global_\nhydra:\n  sweeper:\n    params:\n      norm: layer,none\n      seed: range(2)\n"
        "tuning:\n  axis: optimizer.lr\n  values: [0.01, 0.1]\n  replicates: 3\n"
    )
    plan = make_plan([*TASK, "training.steps=3", "experiment=own"], [str(tmp_path)])
    assert stages(plan) == {TRIAL: 2 * 2 * 3, FIXED: 2 * 2}
    plan = make_plan([*TASK, "training.steps=3", "experiment=own", "tuning.replicates=1"], [str(tmp_path)])
    assert stages(plan) == {TRIAL: 2 * 2, FIXED: 2 * 2}
    plan = make_plan([*TASK, "training.steps=3", "experiment=own", "tuning=null"], [str(tmp_path)])
    assert len(plan.runs) == 4 and all("stage" not in run.labels for run in plan.runs)
    assert main(["list", "--config-dir", str(tmp_path)]) == 0
    assert "tuning.values=[0.01,0.1]" in capsys.readouterr().out
