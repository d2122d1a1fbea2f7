"""Checks poor results and bad input on the command line of `report` and `export`: exit code 2 and one clear message with
nothing written, or a report whose cells say what is amiss; never a silent choice."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pytest

import normlib
from normlib.cli import main
from normlib.results.store.manifest import MANIFEST
from normlib.results.store.record import Record
from normlib.results.store.store import Store
from normlib.results.study.axes import ReportError
from tests.results.factories import make_record


def _fill(folder: str, records: Iterable[Record]) -> None:
    store = Store(Path(folder).parent, Path(folder).name)
    for record in records:
        store.write(record)


def _arm(norm: str, seeds: Iterable[int], **over: object) -> list[Record]:
    return [make_record(norm=norm, seed=seed, accuracy=0.9 + seed / 1000, **over) for seed in seeds]  # type: ignore[arg-type]


def _files() -> set[str]:
    return {str(path) for path in Path().rglob("*") if path.is_file()}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with results of two norms in results/small_batch, and things that are no results."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NORMLIB_DEBUG", raising=False)
    _fill("results/small_batch", [*_arm("batch", range(3)), *_arm("group", range(3))])
    _fill("results/merged", _arm("batch", range(1)))
    Path("broken/experiment").mkdir(parents=True)
    Path("broken/experiment/mine.yaml").write_text("rope: [1\n  rows:")
    Path("empty").mkdir()
    Path("file").touch()
    return tmp_path


# Arguments, and what the message must hold: what came, and the rule, what there is or the closest name.
REFUSED: list[tuple[str, tuple[str, ...]]] = [
    ("report rows=nrm", ("'nrm'", "norm")),
    ("report columns=batch_size", ("'batch_size'", "data.batch_size")),
    ("report rows=norm columns=norm", ("two different settings",)),
    ("report rows=seed", ("'seed'", "replicates")),
    ("report baseline=bach", ("baseline=bach", "did you mean 'batch'")),
    ("report norm=group baseline=batch", ("baseline=batch", "Known: group")),
    ("report rows=data.batch_size columns=norm baseline=33", ("baseline=33", "32")),
    ("report baseline=batch,group", ("baseline=batch,group", "one value")),
    ("report experiment=a,b", ("experiment=a,b", "one value")),
    ("report --config-dir nowhere", ("'nowhere'", "--config-dir")),
    ("report --config-dir broken experiment=mine", ("broken/experiment/mine.yaml is not YAML",)),
    ("report rope=-1", ("rope", "at least 0", "-1")),
    ("report rope=nan", ("rope", "at least 0")),
    ("report rope=wide", ("rope is a number", "rope=wide")),
    ("report target=2", ("target", "fraction", "2")),
    ("report target=0", ("target", "above 0")),
    ("report norm=grup", ("grup", "did you mean 'group'")),
    ("report nowhere", ("'nowhere'", "neither a folder", "key=value")),
    ("report file", ("file is a file",)),
    ("report empty", ("empty holds none", "it is empty")),
    ("report results", ("it holds experiments: results/merged, results/small_batch",)),
    ("report results/small_batch/runs", ("name the folder above it, results/small_batch",)),
    ("report results/small_batch empty", ("empty holds none",)),
    ("report results/small_batch --to file", ("--to", "file is a file")),
    ("report results/small_batch --to results/small_batch/runs", ("--to", "another folder")),
    ("report results/small_batch results/merged", ("results/merged", "--to")),
    ("export --to runs.xlsx", ("runs.xlsx", ".parquet, .csv, .jsonl")),
    ("export", ("--to FILE",)),
    ("export --to nowhere/runs.csv", ("nowhere", "does not exist")),
    ("export --to empty", ("suffix", "empty")),
    ("export nowhere --to runs.csv", ("'nowhere'",)),
    ("export norm=grup --to runs.csv", ("grup", "did you mean 'group'")),
    ("export norm=group results/merged --to runs.csv", ("norm=group", "batch")),
    ("export experiment=smallbatch --to runs.csv", ("no records", "results/smallbatch")),
]  # fmt: skip


@pytest.mark.parametrize(("line", "expected"), REFUSED, ids=[line for line, _ in REFUSED])
def test_refused_in_one_message_with_nothing_replaced(
    line: str, expected: tuple[str, ...], place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = _files()
    assert main(shlex.split(line)) == 2
    shown, complaint = capsys.readouterr()
    assert complaint.startswith(f"normlib {line.split()[0]}: ") and len(complaint.splitlines()) == 1
    for part in expected:
        assert part in complaint
    assert "Traceback" not in shown + complaint
    made = {f"results/small_batch/{name}" for name in ("runs.csv", MANIFEST)}
    assert _files() - before <= made, "but for the rows, which are always made"


# Records, and what the table of differences or the verdicts must say of them.
LABELLED: dict[str, tuple[list[Record], tuple[str, ...]]] = {
    "one seed": (
        [*_arm("batch", [0]), *_arm("group", [0])],
        ("0.0, too few seeds (1 of 6)",),
    ),
    "no baseline": (
        [*_arm("layer", range(3)), *_arm("group", range(3))],
        ("Nothing is compared", "'batch', is none of the rows (norm: group, layer)", "baseline=..."),
    ),
    "other seeds": (
        [*_arm("batch", range(6)), *_arm("group", range(6, 12))],
        ("unpaired", "no seed in common", "Welch"),
    ),
    "an arm failed": (
        [*_arm("batch", range(3)), *_arm("layer", range(3)), *_arm("group", range(3), status="failed", reason="boom")],
        ("failed 3/3", "boom"),
    ),
    "the baseline failed": (
        [*_arm("batch", range(2), status="failed", reason="boom"), *_arm("group", range(2))],
        ("batch: failed 2/2",),
    ),
    "unequal n": (
        [*_arm("batch", range(9)), *_arm("group", range(9)), *_arm("layer", range(7))],
        ("n = 9, unless a cell says otherwise", ", n=7"),
    ),
    "everything failed": (
        [*_arm("batch", range(2), status="failed", reason="boom"), *_arm("group", range(2), status="failed", reason="boom")],
        ("no figure: no run has been trained to its end",),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", LABELLED)
def test_poor_results_make_a_report_that_says_so(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    records, expected = LABELLED[case]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    _fill("results/small_batch", records)
    assert main(["report", "results/small_batch"]) == 0
    shown, complaint = capsys.readouterr()
    text = shown + Path("results/small_batch/verdicts.md").read_text()
    text += "".join(path.read_text() for path in sorted(Path("results/small_batch/tables").glob("*.md")))
    assert complaint == ""
    for part in expected:
        assert part in text, part


def test_arms_that_are_not_paired_are_refused_with_the_replicate_and_the_hash(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = make_record(norm="group", seed=1)
    changed = Record(**{**odd.to_dict(), "hashes": {**odd.hashes, "trunk": "0123"}})
    Store("results", "small_batch").path(odd.id).write_text(changed.to_json())
    assert main(["report"]) == 2
    complaint = capsys.readouterr().err
    assert "seed=1" in complaint and "'trunk'" in complaint and len(complaint.splitlines()) == 1
    with pytest.raises(ValueError, match="seed=1.*'trunk'"):
        normlib.compare_arms(normlib.load_results("results/small_batch"))


def test_only_broken_files_are_named_and_select_nothing(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    Path("results/odd/runs").mkdir(parents=True)
    Path("results/odd/runs/0123456789abcdef.json").write_text("{")
    assert main(["report", "results/odd", "norm=batch"]) == 0
    assert "left out: results/odd/runs/0123456789abcdef.json: is cut short" in capsys.readouterr().out
    assert main(["export", "results/odd", "--to", "runs.csv"]) == 2
    assert "nothing to export: none of 0 runs" in capsys.readouterr().err and not Path("runs.csv").exists()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_folders_without_permission(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("closed").mkdir(mode=0o500)
    for line in ("report --to closed", "export --to closed/runs.csv"):
        assert main(line.split()) == 2
        assert "closed" in capsys.readouterr().err


def test_in_python_bad_questions_are_errors_of_ours(place: Path) -> None:
    runs = normlib.load_results("results/small_batch")
    for wrong in ({"baseline": "bach"}, {"rope": -1}, {"arm": "nrm"}, {"value": "test.acuracy"}, {"columns": "seed"}):
        with pytest.raises(ReportError):
            normlib.compare_arms(runs, **wrong)  # type: ignore[arg-type]
    assert isinstance(normlib.compare_arms(runs), pd.DataFrame)
