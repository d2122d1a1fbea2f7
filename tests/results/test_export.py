"""Checks the export: what goes into a file comes out again, mixed columns included; and every place it cannot go to."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path

import pandas as pd
import pytest

from normlib.results.store.export import ExportError, export
from normlib.results.store.frame import frame
from tests.results.factories import make_record


@pytest.fixture
def runs() -> pd.DataFrame:
    """Runs with whole numbers that some lack, truth values that some lack, and a setting of several types."""
    kinds = [{"num_groups": 8}, {"num_groups": None}, {}, {"guard": True}]
    mixed = [0.1, "auto", None, True]
    return frame(
        make_record(
            norm_settings=kind, spec={"schedule": {"name": "x", "warmup": value}}, seed=seed, accuracy=0.1 + 0.2
        )
        for seed, (kind, value) in enumerate(zip(kinds, mixed, strict=True))
    )


def test_parquet_holds_every_column_with_its_type(runs: pd.DataFrame, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="the parquet extra is not installed")
    back = pd.read_parquet(export(runs, tmp_path / "runs.parquet"))
    as_text = pd.Series(["0.1", "auto", None, "true"], name="schedule.warmup")
    pd.testing.assert_series_equal(back["schedule.warmup"], as_text, check_dtype=False)
    pd.testing.assert_frame_equal(back.drop(columns=as_text.name), runs.drop(columns=as_text.name))
    assert back["norm.num_groups"].dtype == "Int64" and back["test.accuracy"][0] == 0.1 + 0.2


def test_csv_holds_every_row_and_column(runs: pd.DataFrame, tmp_path: Path) -> None:
    back = pd.read_csv(export(runs, tmp_path / "runs.csv"))
    assert list(back.columns) == list(runs.columns) and list(back["id"]) == list(runs["id"])
    assert back["test.accuracy"][0] == 0.1 + 0.2 and "8,,," not in back.columns


def test_json_lines_hold_each_value_as_it_was(runs: pd.DataFrame, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in export(runs, tmp_path / "runs.jsonl").read_text().splitlines()]
    assert [row["schedule.warmup"] for row in rows] == [0.1, "auto", None, True]
    assert [row["norm.num_groups"] for row in rows] == [8, None, None, None]
    assert rows[0]["test.accuracy"] == 0.1 + 0.2 and rows[0]["seed"] == 0 and rows[3]["norm.guard"] is True
    assert all(list(row) == list(runs.columns) for row in rows)


def test_an_older_file_is_replaced_and_nothing_lies_beside_it(runs: pd.DataFrame, tmp_path: Path) -> None:
    for rows in (runs, runs[:1]):
        export(rows, tmp_path / "runs.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["runs.csv"]
    assert len(pd.read_csv(tmp_path / "runs.csv")) == 1


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("runs.xlsx", r"one of \.parquet, \.csv, \.jsonl"),
        ("runs", "none of them"),
        ("folder.csv", "is a folder"),
        ("nowhere/runs.csv", "that does not exist"),
        ("pipe.csv", "is a pipe or a device"),
    ],
)
def test_a_place_that_it_cannot_go_to(name: str, what: str, runs: pd.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(ExportError, match=what):
        export(runs, tmp_path / name)
    assert (tmp_path / "pipe.csv").is_fifo()


def test_a_link_leads_to_the_file_that_is_written(runs: pd.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "runs.csv").symlink_to("far/data.csv")
    export(runs, tmp_path / "runs.csv")
    assert (tmp_path / "runs.csv").is_symlink() and len(pd.read_csv(tmp_path / "far" / "data.csv")) == len(runs)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(runs: pd.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(ExportError, match="cannot be written"):
        export(runs, tmp_path / "closed" / "runs.csv")


def test_a_failing_disk_is_an_error_of_ours(
    runs: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(ExportError, match=r"runs\.csv cannot be written \(No space left on device\)"):
        export(runs, tmp_path / "runs.csv")
    assert list(tmp_path.iterdir()) == []


def test_parquet_without_pyarrow_says_how_to_get_it(
    runs: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ExportError, match=r"pip install 'normlib\[parquet\]'"):
        export(runs, tmp_path / "runs.parquet")
