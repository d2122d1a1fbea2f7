"""Checks reading folders into one frame: one or several, twice the same, broken files, and whatever is no such folder."""

from __future__ import annotations

import warnings
from pathlib import Path

import pandas as pd
import pytest

import normlib
from normlib.results.store.folders import FolderError, read_folders
from normlib.results.store.record import Record
from normlib.results.store.store import Store
from tests.results.factories import make_record


def _fill(folder: Path, *records: Record) -> Store:
    store = Store(folder.parent, folder.name)
    for record in records:
        store.write(record)
    return store


def test_a_folder_is_a_frame_with_a_row_a_run(tmp_path: Path) -> None:
    _fill(tmp_path / "a", *(make_record(seed=seed) for seed in range(3)))
    with warnings.catch_warnings(action="error"):
        runs = normlib.load_results(tmp_path / "a")
    assert isinstance(runs, pd.DataFrame) and sorted(runs["seed"]) == [0, 1, 2]
    assert {"norm", "data.batch_size", "test.accuracy", "hashes.trunk"} <= set(runs.columns)


def test_several_folders_merge_and_one_named_twice_counts_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _fill(tmp_path / "a", make_record(seed=0), make_record(seed=1))
    _fill(tmp_path / "b", make_record(seed=1), make_record(seed=2))
    monkeypatch.chdir(tmp_path / "a")
    with warnings.catch_warnings(action="error"):
        assert sorted(normlib.load_results(".", "../b", str(tmp_path / "a"))["seed"]) == [0, 1, 2]


def test_broken_records_are_named_and_the_others_go_on(tmp_path: Path) -> None:
    store = _fill(tmp_path / "a", make_record(seed=0), broken := make_record(seed=1))
    store.path(broken.id).write_text(broken.to_json()[:200])
    with pytest.warns(UserWarning, match=f"left out: .*{broken.id}.json: is cut short"):
        assert list(normlib.load_results(tmp_path / "a")["seed"]) == [0]


def test_superseded_runs_and_contradictions_are_told(tmp_path: Path) -> None:
    edited = make_record(code={"norm": "edited"}, started="2026-01-01T00:00:00+00:00")
    _fill(tmp_path / "a", make_record(), edited)
    with pytest.warns(UserWarning, match="1 of 2 runs left out"):
        assert list(normlib.load_results(tmp_path / "a")["id"]) == [edited.id]
    _fill(tmp_path / "b", edited)
    _fill(tmp_path / "c", Record(**{**edited.to_dict(), "hashes": {**edited.hashes, "trunk": "0123"}}))
    with pytest.warns(UserWarning, match="disagree on the hashes of 1 run") as said:
        runs = normlib.load_results(tmp_path / "b", tmp_path / "c")
    assert runs["machine"].nunique() == 2
    assert all(warning.filename == __file__ for warning in said), "a warning points at the line that asked"


@pytest.mark.parametrize(
    ("folder", "what"),
    [
        ("nowhere", "nowhere does not exist"),
        ("file", "file is a file"),
        ("results", "it holds experiments: results/a, results/gallery/b"),
        ("results/a/runs", "name the folder above it, results/a$"),
        ("empty", "it is empty"),
        ("other", "it holds notes.txt"),
        ("bare", "no records in bare/runs"),
    ],
)
def test_what_is_no_folder_of_results_is_told_with_what_there_is(
    folder: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for store in ("results/a", "results/gallery/b"):
        _fill(Path(store), make_record())
    for name in ("empty", "other", "bare/runs"):
        Path(name).mkdir(parents=True)
    for name in ("file", "other/notes.txt"):
        Path(name).touch()
    with pytest.raises(FolderError, match=what):
        normlib.load_results("results/a", folder)


def test_no_folder_at_all_is_an_error() -> None:
    with pytest.raises(FolderError, match="none was named"):
        read_folders([])
