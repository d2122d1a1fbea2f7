"""Checks the verbs that read records, `report` and `export`: folders, flags, merging, and what they write where."""

from __future__ import annotations

import webbrowser
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import normlib
from normlib.cli import main
from normlib.results.store.record import Record
from normlib.results.store.store import Store
from tests.experiments.tiny_sweeps import contents, files_in
from tests.results.factories import make_record

HERE = {"cpu": "EPYC", "accelerator": "cpu", "torch": "2.6.0"}
THERE = {"cpu": "Xeon", "accelerator": "cpu", "torch": "2.6.0"}


def _fill(name: str, norms: Iterable[str] = ("batch", "group"), better: float = 0.0, **over: Any) -> list[Record]:
    """Records of 3 seeds in results/<name>, `better` by so much in accuracy."""
    records = [
        make_record(norm=norm, seed=seed, accuracy=0.9 + seed / 100 + better, **over)
        for norm in norms
        for seed in range(3)
    ]
    for record in records:
        Store("results", name).write(record)
    return records


def _rows(file: str) -> pd.DataFrame:
    return pd.read_csv(file)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def test_one_folder_is_reported_where_it_lies_with_its_experiments_settings(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _fill("elsewhere", norms=("none", "layer", "batch"))
    assert main(["report", "results/elsewhere"]) == 0
    table = _rows("results/elsewhere/tables/accuracy.csv")
    assert list(table["arm"]) == ["batch", "layer", "none"], "in the order of small_batch, which the records belong to"
    assert {name.split("/")[1] for name in files_in(place)} == {"elsewhere"}
    assert main(["report", "results/elsewhere", "norm=batch,layer", "--to", "out/here"]) == 0
    assert set(_rows("out/here/tables/accuracy.csv")["arm"]) == {"batch", "layer"}
    assert len(_rows("results/elsewhere/tables/accuracy.csv")) == 3, "the folder's own tables stay"


def test_several_folders_merge_into_a_folder_of_their_own(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _fill("a", norms=("batch",), environment=HERE)
    _fill("b", norms=("batch", "group"), environment=THERE)
    before = files_in(place)
    assert main(["report", "results/a", "results/b"]) == 0
    assert "do not agree" not in capsys.readouterr().out
    assert set(_rows("results/merged/tables/accuracy.csv")["arm"]) == {"batch", "group"}
    assert len(_rows("results/merged/runs.csv")) == 6
    assert all(name.startswith("results/merged/") for name in files_in(place) - before), "sources stay as they are"
    assert main(["report", "results/a", "./results/a"]) == 0, "one folder named twice is one folder"
    assert len(_rows("results/a/runs.csv")) == 3


def test_machines_that_contradict_each_other_have_sections(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _fill("a", environment=HERE)
    _fill("b", environment=THERE, better=0.01)
    records = contents(place / "results", "a") | contents(place / "results", "b")
    assert main(["report", "results/a", "results/b", "--to", "both"]) == 0
    shown = capsys.readouterr().out
    assert "disagree on the metrics of 6 runs" in shown and "machine=Xeon / cpu / torch 2.6.0" in shown
    table = _rows("both/tables/accuracy.csv")
    assert table.groupby("section")["n"].sum().to_dict() == {
        "machine=EPYC / cpu / torch 2.6.0": 6,
        "machine=Xeon / cpu / torch 2.6.0": 6,
    }
    assert main(["report", "results/a", "results/b", "machine='Xeon / cpu / torch 2.6.0'", "--to", "one"]) == 0
    assert len(_rows("one/tables/accuracy.csv")) == 2
    assert contents(place / "results", "a") | contents(place / "results", "b") == records


def test_what_is_asked_on_the_command_line_goes_before_the_experiments_file(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _fill("mine", experiment="mine", norms=("batch", "group", "layer"))
    (place / "conf" / "experiment").mkdir(parents=True)
    (place / "conf" / "experiment" / "mine.yaml").write_text("# @package _global_\nbaseline: group\nrope: 3\n")
    for asked, baseline in (([], "group"), (["baseline=layer"], "layer")):
        assert main(["report", "results/mine", "--config-dir", "conf", *asked]) == 0
        assert set(_rows("results/mine/tables/paired.csv")["baseline"]) == {baseline}
    assert "within ± 3 points" in Path("results/mine/tables/paired.md").read_text()
    assert main(["report", "results/mine", "rope=1.5"]) == 0
    assert "within ± 1.5 points" in Path("results/mine/tables/paired.md").read_text()


@pytest.mark.parametrize("there_is_a_browser", [True, False])
def test_the_page_opens_in_a_browser(
    there_is_a_browser: bool, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(url) or there_is_a_browser)
    _fill("small_batch")
    assert main(["report", "--open"]) == 0
    page = place / "results" / "small_batch" / "report.html"
    assert opened == [page.as_uri()] and page.is_file()
    assert ("no browser" in capsys.readouterr().out) != there_is_a_browser
    assert main(["report"]) == 0 and len(opened) == 1


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_export_writes_the_runs_that_are_asked_for(
    suffix: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if suffix == ".parquet":
        pytest.importorskip("pyarrow", reason="the parquet extra is not installed")
    _fill("small_batch")
    _fill("b", norms=("group", "layer"))
    before = files_in(place)
    assert main(["export", "norm=group", "--to", f"one{suffix}"]) == 0
    assert "3 runs with" in capsys.readouterr().out
    assert main(["export", "results/small_batch", "--to", f"all{suffix}", "results/b", "seed=0,1"]) == 0
    assert files_in(place) - before == {f"one{suffix}", f"all{suffix}"}
    read = {".parquet": pd.read_parquet, ".csv": pd.read_csv, ".jsonl": lambda file: pd.read_json(file, lines=True)}
    one, both = (read[suffix](f"{name}{suffix}") for name in ("one", "all"))
    assert set(one["norm"]) == {"group"} and len(one) == 3
    assert both.groupby("norm")["seed"].count().to_dict() == {"batch": 2, "group": 2, "layer": 2}
    assert list(one["test.accuracy"]) == list(
        normlib.load_results("results/b").query("norm == 'group'")["test.accuracy"]
    )


def test_settings_complete_behind_folders_and_flags(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = "normlib report results/a --to out norm=batch_re"
    monkeypatch.setenv("COMP_LINE", line)
    monkeypatch.setenv("COMP_POINT", str(len(line)))
    assert main(["-sc", "query=bash"]) == 0
    shown, complaint = capsys.readouterr()
    assert shown.split() == ["norm=batch_renorm", "norm=batch_renorm_fraction"] and complaint == ""


def test_a_mistyped_experiment_is_told_from_one_without_records(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", "experiment=small_bach", f"results_dir={tmp_path}"]) == 2
    assert "no experiment is named 'small_bach'; did you mean 'small_batch'" in capsys.readouterr().err
    assert main(["report", "experiment=small_batch", f"results_dir={tmp_path}"]) == 2
    assert "make them with `normlib compare experiment=small_batch`" in capsys.readouterr().err
