"""Checks seed=auto from the plan to the report: rounds of seeds on what is undecided, stops, faults, and verdicts that stay."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import pytest

import normlib
from normlib.cli import main
from normlib.experiments.complaints import ConfigError
from normlib.experiments.execute import Outcome
from normlib.experiments.plan import Plan, make_plan
from normlib.experiments.reporting import report_on_state
from normlib.experiments.state import State, progress_of
from normlib.experiments.sweep import run_missing
from normlib.results.elsewhere.arms import compare_arms
from normlib.results.stats import looks
from normlib.results.store.columns import LOOKS, arm_label
from normlib.results.store.record import Record
from normlib.results.store.store import Store
from normlib.results.study.comparison import BETTER, EQUAL, UNKNOWN, WORSE
from tests.experiments.tiny_sweeps import TASK, Watcher, contents

MOST = 9
PLANNED = looks(MOST)
ALL = ["condition.level=clear,even,noisy", "columns=condition.level", "rope=0.005", "name=mine", "jobs=2"]
AUTO = ["seed=auto", f"most_seeds={MOST}"]


def words(folder: Path, *more: str) -> list[str]:
    """The comparison of the staged figures, whose function lies in `folder`, with its results beside it."""
    file = folder / "staged_figures.py"
    if not file.exists():
        shutil.copy(Path(__file__).with_name("staged_figures.py"), file)
    return [f"function={file}:train", "norm=batch,group,layer", *ALL, f"results_dir={folder}/results", *AUTO, *more]


def plan_in(folder: Path, *more: str) -> Plan:
    return make_plan(words(folder, *more))


def stored(folder: Path, name: str = "mine") -> Sequence[Record]:
    return Store(folder / "results", name).scan().records


def seeds_of(records: Sequence[Record]) -> dict[tuple[str, str], int]:
    """By arm and level, how many seeds have a record; they are the first ones, without a gap."""
    seeds = defaultdict(set)
    for record in records:
        seeds[arm_label(record.labels["norm"], record.control), record.spec["condition"]["level"]].add(
            record.spec["seed"]
        )
    assert all(found == set(range(len(found))) for found in seeds.values())
    return {cell: len(found) for cell, found in seeds.items()}


def verdicts(folder: Path, **asked: str | float) -> dict[tuple[str, str], tuple[str, int]]:
    """By arm and level, the verdict on what the folder holds, and the seeds that it rests on."""
    frame = normlib.load_results(folder / "results/mine")
    table = compare_arms(frame, **{"columns": "condition.level", "rope": 0.005, **asked})  # type: ignore[arg-type]
    return {(row.arm, row.column): (row.verdict, row.seeds) for row in table.itertuples()}


class Rounds(Watcher):
    """Remembers each round: where it stood, and how many runs it had. Stops with Ctrl-C after so many runs."""

    def __init__(self, after_runs: int | None = None) -> None:
        super().__init__()
        self.after_runs = after_runs
        self.rounds: list[tuple[str, int]] = []
        self.bounds: list[tuple[int, int]] = []

    def start(self, state: State) -> None:
        super().start(state)
        self.rounds.append((state.title, len(state.missing)))
        self.bounds.append((len(state.missing), len(state.missing) + len(state.later)))

    def ended(self, outcome: Outcome) -> None:
        super().ended(outcome)
        if len(self.ended_runs) == self.after_runs:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Rounds]:
    """The comparison, done once without a stop."""
    folder, rounds = tmp_path_factory.mktemp("finished"), Rounds()
    run_missing(plan_in(folder), rounds)
    return folder, rounds


def test_seeds_are_added_to_what_is_undecided_and_to_its_baseline_and_control(finished: tuple[Path, Rounds]) -> None:
    folder, rounds = finished
    found, seeds = verdicts(folder), seeds_of(stored(folder))
    assert found["group", "clear"][0] == BETTER and found["layer", "clear"][0] == WORSE
    assert found["group", "even"][0] == found["layer", "even"][0] == EQUAL
    assert found["group", "noisy"] == found["layer", "noisy"] == (UNKNOWN, MOST)
    for level in ("clear", "even", "noisy"):
        arms = {arm: seeds[arm, level] for arm in ("group", "layer")}
        assert arms == {arm: found[arm, level][1] for arm in arms}, "no seed that no look needed"
        assert seeds["batch", level] == seeds["batch_control", level] == max(arms.values())
    assert seeds["group", "clear"] < MOST and max(seeds.values()) == MOST
    assert rounds.rounds[0][1] == 4 * 3 * PLANNED[0]
    assert rounds.rounds[-1] == (f"mine, look {len(PLANNED)} of {len(PLANNED)} after {MOST} seeds, 2 of 6 comparisons undecided", 4 * (MOST - PLANNED[-2]))  # fmt: skip
    total = sum(number for _, number in rounds.rounds)
    left = [total - sum(number for _, number in rounds.rounds[:done]) for done in range(len(rounds.rounds))]
    assert all(least <= runs <= most for (least, most), runs in zip(rounds.bounds, left, strict=True))
    assert {record.labels[LOOKS] for record in stored(folder)} == {" ".join(map(str, PLANNED))}


def test_a_sweep_that_is_done_has_nothing_to_do(finished: tuple[Path, Rounds]) -> None:
    folder, _ = finished
    before, watcher = contents(folder / "results", "mine"), Watcher()
    run_missing(plan_in(folder), watcher)
    assert not watcher.ended_runs and contents(folder / "results", "mine") == before
    state = progress_of(plan_in(folder))
    assert not state.missing and not state.later


@pytest.mark.parametrize("after_runs", [5, 40])
def test_a_stop_at_any_time_costs_nothing(after_runs: int, finished: tuple[Path, Rounds], tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_missing(plan_in(tmp_path), Rounds(after_runs))
    before = contents(tmp_path / "results", "mine")
    run_missing(plan_in(tmp_path), Watcher())
    after = contents(tmp_path / "results", "mine")
    assert {run: after[run] for run in before} == before, "nothing is done twice"
    done = stored(finished[0])
    assert seeds_of(stored(tmp_path)) == seeds_of(done)
    assert sorted(map(str, (r.metrics for r in stored(tmp_path)))) == sorted(map(str, (r.metrics for r in done)))
    assert verdicts(tmp_path) == verdicts(finished[0])


def test_more_seeds_in_the_folder_change_nothing_that_was_decided(
    finished: tuple[Path, Rounds], tmp_path: Path
) -> None:
    shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True)
    run_missing(make_plan([*words(tmp_path)[:-2], "seed=range(12)"]), Watcher())
    assert min(seeds_of(stored(tmp_path)).values()) == 12
    assert {record.labels.get(LOOKS) for record in stored(tmp_path)} == {None, " ".join(map(str, PLANNED))}
    assert verdicts(tmp_path) == verdicts(finished[0]), "judged by looks, also where some seeds were made without"
    sheet = (report_on_state(progress_of(plan_in(tmp_path)), "normlib compare").folder / "tables/paired.md").read_text()
    assert "cannot show it" not in sheet
    assert (
        main(["report", f"results_dir={tmp_path}/results", "name=mine", "columns=condition.level", "rope=0.005"]) == 0
    )
    assert "Some runs were made otherwise" in (tmp_path / "results/mine/tables/paired.md").read_text()


def test_seeds_that_are_there_already_are_used_and_what_is_decided_gets_no_more(tmp_path: Path) -> None:
    run_missing(make_plan([*words(tmp_path)[:-2], f"seed=range({PLANNED[0]})"]), Watcher())
    assert all(LOOKS not in record.labels for record in stored(tmp_path))
    rounds = Rounds()
    run_missing(plan_in(tmp_path), rounds)
    assert rounds.rounds[0][0].startswith(f"mine, look 2 of {len(PLANNED)} after {PLANNED[1]} seeds")
    assert {record.labels.get(LOOKS) for record in stored(tmp_path)} == {" ".join(map(str, PLANNED))}


def test_the_report_later_on_judges_by_looks_and_says_how_many_were_taken(
    finished: tuple[Path, Rounds], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, said = finished[0] / "results/mine", f"{len(PLANNED)} of {len(PLANNED)} looks taken; 2 of 6 comparisons undecided after {MOST} seeds"  # fmt: skip
    asked = ["columns=condition.level", "rope=0.005"]
    assert main(["report", str(folder), *asked, "--to", str(tmp_path / "a")]) == 0
    assert said in " ".join(capsys.readouterr().out.split())
    shutil.copytree(folder, tmp_path / "part")
    for run in list((tmp_path / "part/runs").glob("*.json"))[::2]:
        run.unlink()
    merged = ["report", str(folder), str(tmp_path / "part"), *asked, "--to", str(tmp_path / "b")]
    table = ["report", str(tmp_path / "a/runs.csv"), "--columns", "condition.level", "--rope", "0.005"]
    assert main(merged) == 0 and main([*table, "--to", str(tmp_path / "c")]) == 0
    for name in ("a", "b", "c"):
        verdicts_file, grid, lines = ((tmp_path / name / path).read_text() for path in ("verdicts.md", "tables/differences.md", "tables/paired.csv"))  # fmt: skip
        assert said in verdicts_file and said in grid and "cannot show it" not in grid + verdicts_file
        header, *rows = (line.split(",") for line in lines.splitlines())
        at = {row[header.index("looks")]: row[header.index("n")] for row in rows}
        assert at and all(int(n) == PLANNED[int(taken) - 1] for taken, n in at.items())


def test_runs_with_fixed_seeds_keep_the_fixed_test(tmp_path: Path) -> None:
    run_missing(make_plan([*words(tmp_path)[:-2], "seed=range(3)"]), Watcher())
    assert verdicts(tmp_path)["group", "clear"] == ("too few", 0)
    folder = report_on_state(progress_of(make_plan([*words(tmp_path)[:-2], "seed=range(3)"])), "normlib").folder
    header, *rows = (line.split(",") for line in (folder / "tables/paired.csv").read_text().splitlines())
    assert {row[header.index("looks_planned")] for row in rows} == {"0"}


def test_a_run_that_fails_is_tried_once_a_sweep_and_keeps_nobody_waiting(tmp_path: Path) -> None:
    plan = plan_in(tmp_path, "condition.level=clear", "condition.raises='GroupNorm 1'")
    watcher = Watcher()
    swept = run_missing(plan, watcher)
    failed = [record for record in swept.records.values() if record.status == "failed"]
    assert swept.failed and len(failed) == 1 and watcher.ended_runs.count(failed[0].id) == 1
    first = verdicts(tmp_path)["group", "clear"]
    assert first[0] == BETTER
    (tmp_path / "repaired").touch()
    again = Watcher()
    assert not run_missing(plan, again).failed
    assert again.ended_runs == [failed[0].id], "and with its figure no later seed is needed"
    assert verdicts(tmp_path)["group", "clear"][1] <= first[1]


def test_an_arm_without_figures_and_one_that_diverged_without_one_are_no_reason_to_go_on(tmp_path: Path) -> None:
    one = words(tmp_path, "condition.level=noisy", "condition.explodes='GroupNorm 0'")
    one[1] = "norm=batch,group"
    run_missing(make_plan(one), Watcher())
    assert set(seeds_of(stored(tmp_path)).values()) == {PLANNED[0]}
    raising = [f"function={tmp_path}/staged_figures.py:fails", *one[1:], "name=raising"]
    (tmp_path / "staged_figures.py").write_text("def fails(norm_layer, seed, level, explodes):\n    raise ValueError\n")
    swept = run_missing(make_plan(raising), Watcher())
    assert {record.spec["seed"] for record in swept.records.values()} == set(range(PLANNED[0]))


def test_most_seeds_may_be_raised_and_lowered_later(finished: tuple[Path, Rounds], tmp_path: Path) -> None:
    shutil.copytree(finished[0], tmp_path, dirs_exist_ok=True)
    rounds = Rounds()
    run_missing(plan_in(tmp_path, "most_seeds=16"), rounds)
    assert max(seeds_of(stored(tmp_path)).values()) == 16 and rounds.rounds[-1][0].startswith("mine, look 7 of 7 after 16 seeds")  # fmt: skip
    further, found = contents(tmp_path / "results", "mine"), verdicts(tmp_path)
    watcher = Watcher()
    run_missing(plan_in(tmp_path, "most_seeds=7"), watcher)
    assert not watcher.ended_runs and contents(tmp_path / "results", "mine") == further and verdicts(tmp_path) == found


def test_trials_come_first_and_both_views_go_on_until_they_are_decided(tmp_path: Path) -> None:
    tuned = ["tuning={axis:optimizer.lr,values:[0.0005,0.005,0.05],replicates:2}", "name=mine", f"results_dir={tmp_path}/results"]  # fmt: skip
    tiny = [*TASK, "data.batch_size=8", "training.steps=5", "jobs=2", "norm=batch,layer", "seed=auto", "most_seeds=5"]
    plan, rounds = make_plan([*tiny, *tuned]), Rounds()
    state = progress_of(plan)
    least, most = len(state.missing), len(state.missing) + len(state.later)
    assert len({run.id for run in state.missing}) == 3 * 3 * 2 + 3 * 4
    run_missing(plan, rounds)
    records = stored(tmp_path)
    assert least <= len(records) <= most
    assert (
        rounds.rounds[0] == ("mine, trials", 18)
        and rounds.rounds[1][0] == "mine, evaluation, look 1 of 2 after 4 seeds"
    )
    evaluated = [record for record in records if record.labels["stage"] != "trial"]
    assert {record.labels[LOOKS] for record in evaluated} == {"4 5"} and max(r.spec["seed"] for r in evaluated) == 4
    assert all(LOOKS not in record.labels for record in records if record.labels["stage"] == "trial")
    report = report_on_state(progress_of(plan), "normlib compare")
    text = (report.folder / "verdicts.md").read_text()
    assert text.count("2 of 2 looks taken") == 2 and "cannot show it" not in text


def test_the_plan_says_the_next_round_and_the_bounds(finished: tuple[Path, Rounds], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    assert main(["plan", *words(tmp_path)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"seed: auto, at most {MOST}: looked at after {', '.join(map(str, PLANNED))} seeds" in shown
    assert (
        f"at least 0 s for {12 * PLANNED[0]} runs, at most 0 s for {12 * MOST} runs" in shown
        and "next is look 1 of" in shown
    )
    assert main(["plan", *words(finished[0])]) == 0
    assert "nothing to train" in capsys.readouterr().out


REFUSED = [
    (["train", "seed=auto"], "train compares nothing"),
    (["train", "-m", "seed=auto", "norm=batch,group"], "train -m compares nothing"),
    (["train", "seed=auto", "--cfg", "job"], "train compares nothing"),
    (["compare", "seed=auto", "most_seeds=3"], "the first look at the comparisons is after 4 seeds; give 4 or more"),
    (["compare", "seed=range(3)", "most_seeds=20"], "with seed=auto; add that, or leave it out"),
    (["compare", "seed=auto,1"], "seed"),
    (["plan", "seed=auto", "norm=batch"], "batch is the only row (norm); add another one"),
    (["plan", "seed=auto", "norm=group,layer"], "no row (norm) is the baseline, 'batch'"),
    (["compare", "seed=auto", "most_seeds=ten"], "most_seeds"),
]


@pytest.mark.parametrize(("arguments", "said"), REFUSED, ids=[" ".join(arguments) for arguments, _ in REFUSED])
def test_what_makes_no_sense_is_refused(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert said in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_an_experiments_file_asks_for_it_and_the_command_line_takes_it_back(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment/own.yaml").write_text(
        "# @package _global_\nhydra:\n  sweeper:\n    params:\n      norm: batch,none\n      seed: auto\nmost_seeds: 5\n"
    )
    own = [*TASK, "data.batch_size=8", "training.steps=3", "experiment=own"]
    assert make_plan(own, [str(tmp_path)]).looks == looks(5)
    assert make_plan([*own, "most_seeds=7"], [str(tmp_path)]).looks == looks(7)
    fixed = make_plan([*own, "seed=0,1"], [str(tmp_path)])
    assert fixed.looks == () and {run.spec["seed"] for run in fixed.runs} == {0, 1}
    with pytest.raises(ConfigError, match="train -m compares nothing"):
        make_plan(own, [str(tmp_path)], comparison=False)


def test_sweep_in_python_takes_auto(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    function = words(tmp_path)[0].removeprefix("function=")
    runs = normlib.sweep(
        function, ["batch", "group"], {"level": ["clear"]}, "auto", quiet=True, settings={"most_seeds": 5}
    )
    assert 4 <= runs["seed"].nunique() <= 5 and set(runs[LOOKS]) == {"4 5"}
