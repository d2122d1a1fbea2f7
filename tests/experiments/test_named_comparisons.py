"""Checks where a comparison's records lie, name=, and that one which starts from an experiment says so, wherever it is shown."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest

from normlib.cli import main
from normlib.experiments.basis import COMPARISON
from normlib.experiments.complaints import ConfigError
from normlib.experiments.plan import make_plan, make_run
from normlib.results.store.store import Store
from tests.experiments.tiny_sweeps import TINY, ids
from tests.results.factories import make_record

SMALL = ["norm=layer", "model=mlp", "data.batch_size=128", "seed=0"]
"""A part of small_batch: three of its axes at one value."""


@pytest.mark.parametrize(
    ("given", "folder", "note"),
    [
        (SMALL, "small_batch", None),
        ([*SMALL, "seed=range(3)"], "small_batch", None),
        ([*SMALL, "seed=77"], "small_batch", None),  # one more replicate of the same comparison
        ([*SMALL, "norm='layer',\"none\""], "small_batch", None),
        ([*SMALL, "data.batch_size=choice(32,128)"], "small_batch", None),
        ([*SMALL, "jobs=1", "columns=optimizer.lr", "rope=1", "logger=none"], "small_batch", None),
        ([*SMALL, "training.epochs=2"], COMPARISON, "training.epochs=2"),
        ([*SMALL, "norm=layer,frn"], COMPARISON, "norm=layer,frn"),
        ([*SMALL, "data.batch_size=64,128"], COMPARISON, "data.batch_size=64,128"),
        ([*SMALL, "optimizer.lr=0.1,0.2", "training.steps=3"], COMPARISON, "optimizer.lr=0.1,0.2 training.steps=3"),
        ([*SMALL, "norm=glob(layer*)"], COMPARISON, "norm=layer,layer_position"),
        (["experiment=small_batch", *SMALL], "small_batch", None),
        (["experiment=small_batch", *SMALL, "training.epochs=2"], "small_batch", "training.epochs=2"),
        ([*SMALL, "name=mine"], "mine", ""),
        ([*SMALL, "name=mine", "training.epochs=2"], "mine", "training.epochs=2"),
        ([*SMALL, "name=small_batch", "training.epochs=2"], "small_batch", "training.epochs=2"),
        ([*SMALL, "name='my own'"], "my own", ""),
        ([*SMALL, "name=deep/down"], "deep/down", ""),
        (["experiment=tuned_rate", "name=mine", "norm=layer", "seed=0", "data.batch_size=128", "control=false"], "mine", ""),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, list) else "",
)  # fmt: skip
def test_the_folder_and_what_a_comparison_is_based_on(given: list[str], folder: str, note: str | None) -> None:
    merged = {word.partition("=")[0]: word for word in given}  # the later of two words of a key
    plan = make_plan(list(merged.values()))
    experiment = "tuned_rate" if "experiment=tuned_rate" in given else "small_batch"
    assert {run.experiment for run in plan.runs} == {plan.experiment} == {folder}
    assert list(plan.notes) == ([] if note is None else [f"based on {experiment}" + (f": {note}" if note else "")])
    again, _ = make_run(shlex.split(plan.runs[0].command)[2:])
    assert (again.experiment, again.id) == (folder, plan.runs[0].id)


def test_the_name_is_in_no_id() -> None:
    assert ids(make_plan([*SMALL, "name=mine"])) == ids(make_plan(SMALL))


def test_single_runs_have_names_too() -> None:
    assert make_run([*TINY, "norm=layer"])[0].experiment == "train"
    assert make_run([*TINY, "norm=layer", "name=mine"])[0].experiment == "mine"
    assert make_plan([*TINY, "norm=layer,none", "name=mine"], comparison=False).experiment == "mine"


def test_an_experiments_file_may_name_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    (tmp_path / "conf" / "experiment" / "own.yaml").write_text(
        "# @package _global_\nname: paper\nhydra:\n  sweeper:\n    params:\n      norm: layer\n      seed: 0\n"
    )
    assert make_plan([*TINY, "experiment=own"], ["conf"]).experiment == "paper"
    assert main(["report", "experiment=own", "--config-dir", "conf"]) == 2
    assert "results/paper/runs" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("family", ("that is an experiment", "experiment=family")),
        ("../evil", ("name=../evil", "a plain name")),
        ("/tmp/evil", ("name=/tmp/evil", "a plain name")),
        ("''", ("name=", "a plain name")),
        ("' '", ("name=", "a plain name")),
        (".", ("name=.", "a plain name")),
        ("a,b", ("name=a,b", "one value")),
        ("a" * 300, ("name", "300 bytes")),
    ],
    ids=lambda each: each[:9] if isinstance(each, str) else "",
)
def test_a_name_that_cannot_be_a_folder_of_its_own_is_refused(
    name: str,
    expected: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for verb in ("compare", "train", "report"):
        if verb == "report" and name in ("family", "a,b"):
            continue  # an experiment's folder is read under its name, and a list has a message of its own
        assert main([*verb.split(), *([] if verb == "report" else [*TINY, "norm=layer"]), f"name={name}"]) == 2
        complaint = capsys.readouterr().err
        assert len(complaint.splitlines()) == 1 and all(part in complaint for part in expected), complaint
    assert not list(tmp_path.iterdir())


def test_it_is_said_in_the_plan_the_terminal_and_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    line = [*TINY, "norm=layer,none", "seed=0", "name=mine", "jobs=1", "rope=0.5"]
    changed = "data=synthetic accelerator=cpu model.depth=2 model.width=8 data.shape=[4] data.test=32 data.train=64 data.validation=32"
    said = f"based on small_batch: {changed} training.steps=3"
    assert main(["plan", *line]) == 0 and said in " ".join(capsys.readouterr().out.split())
    assert main(["compare", *line]) == 0 and said in " ".join(capsys.readouterr().out.split())
    page = Path("results/mine/report.html")
    assert said in page.read_text()
    shutil.copytree("results/mine", "copy/elsewhere")
    page.unlink()
    for report in (["name=mine"], ["results/mine"], ["copy/elsewhere"]):  # from the records alone
        assert main(["report", *report, "rope=0.5"]) == 0
        assert said in " ".join(capsys.readouterr().out.split())
    assert said in page.read_text()


def test_a_report_on_a_name_asks_what_the_experiment_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for seed in range(2):
        for norm in ("layer", "batch", "none"):
            command = f"normlib train experiment=small_batch name=mine norm={norm} seed={seed} training.epochs=2"
            Store("results", "mine").write(make_record(norm=norm, seed=seed, command=command, experiment="mine"))
    assert main(["report", "name=mine"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "based on small_batch: training.epochs=2" in shown
    assert shown.index("batch") < shown.index("layer") < shown.index("none"), "in the order of small_batch"
    assert main(["export", "name=mine", "--to", "runs.csv"]) == 0 and "6 runs" in capsys.readouterr().out


def test_a_name_without_records_is_refused_and_the_others_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["report", "name=nothing"]) == 2
    assert "no records in results/nothing/runs" in capsys.readouterr().err
    Store("results", COMPARISON).write(make_record())
    for arguments in (["name=nothing"], [], ["experiment=nothing"]):
        assert main(["report", *arguments]) == 2
        assert "there are records of name=comparison" in capsys.readouterr().err


@pytest.mark.parametrize("seed", ["2**64", "18446744073709551616", "9223372036854775808", "-1", "-9223372036854775809", "1.5", "1e3", "nan", "true", "null", "[1]", "0,-1", "0,2**64"])  # fmt: skip
def test_a_seed_is_a_whole_number_of_at_most_64_bits(
    seed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for verb in ("plan", "train") if seed in ("2**64", "-1", "nan") else ("plan",):
        assert main([verb, *TINY, "norm=layer", f"seed={seed}"]) == 2
        complaint = capsys.readouterr().err
        assert len(complaint.splitlines()) == 1 and "seed" in complaint
    assert not list(tmp_path.iterdir())


def test_the_largest_seed_is_a_seed() -> None:
    with pytest.raises(ConfigError, match=r"2\*\*63"):
        make_run([*TINY, f"seed={2**63}"])
    assert make_run([*TINY, f"seed={2**63 - 1}"])[0].spec["seed"] == 2**63 - 1
