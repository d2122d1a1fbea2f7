"""Checks that a report harms no file that it did not write: refusals, --overwrite, files edited by hand, stale files of ours,
and a sweep that learns of it before it trains."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import normlib
from normlib.cli import main
from normlib.results import contents
from normlib.results.contents import check_folder
from normlib.results.report import write_report
from normlib.results.store.files import StoreError
from normlib.results.store.manifest import MANIFEST, Manifest, hash_of_file
from normlib.results.store.record import Record
from normlib.results.store.store import Store
from normlib.results.study.identity import IdentityError
from tests.experiments.tiny_sweeps import TINY
from tests.results.factories import ACCURACY, LOSS, make_record
from tests.results.tuned_records import tuned_records

THEIRS = {
    "figures/architecture.svg": "<svg/>",
    "tables/dataset.tex": "\\begin{tabular}",
    "runs.csv": "mine,too\n1,2\n",
    "report.html": "<p>a thesis</p>",
}
NEEDED = ("runs.csv", "report.html")
"""Those of THEIRS whose names a report needs."""


def _records(norms: tuple[str, ...] = ("batch", "group"), **over: Any) -> list[Record]:
    return [
        make_record(norm=norm, batch_size=size, seed=seed, **over)
        for norm in norms for size in (2, 32) for seed in range(2)
    ]  # fmt: skip


def _put(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _all_ours(folder: Path) -> bool:
    """Whether the manifest owns every file, as far as it has a name that a report needs."""
    manifest = Manifest.read(folder)
    assert manifest is not None
    return all(manifest.owns(name, hash_of_file(folder / name)) for name in _contents(folder) if name != MANIFEST)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with records in results/small_batch."""
    monkeypatch.chdir(tmp_path)
    for record in _records():
        Store("results", "small_batch").write(record)
    return tmp_path


def test_the_users_own_files_survive_and_are_named(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _put(Path("paper"), THEIRS)
    before = _contents(Path("paper"))
    assert main(["report", "--to", "paper/"]) == 2
    complaint = capsys.readouterr().err
    assert len(complaint.splitlines()) == 1 and "--overwrite" in complaint and "--to" in complaint
    assert [name for name in THEIRS if f"paper/{name}" in complaint] == list(NEEDED)
    assert _contents(Path("paper")) == before and not Path("paper/.locks").exists()

    assert main(["report", "--to", "paper/", "--overwrite"]) == 0
    after = _contents(Path("paper"))
    assert [name for name in THEIRS if after[name] != before[name]] == list(NEEDED)
    assert main(["report", "--to", "paper/"]) == 0, "what was replaced is ours"
    assert _contents(Path("paper")) == after


@pytest.mark.parametrize("others", [{}, {"notes.md": "mine", "tables/dataset.tex": "mine"}])
def test_other_names_are_no_hindrance(others: dict[str, str], tmp_path: Path) -> None:
    _put(tmp_path / "new", others)
    write_report(tmp_path / "new", _records())
    write_report(tmp_path / "new", [])
    kept = _contents(tmp_path / "new")
    assert sorted(kept) == sorted([MANIFEST, "runs.csv", "verdicts.md", *others])
    assert {name: kept[name].decode() for name in others} == others
    assert (tmp_path / "new" / "tables").exists() == bool(others) and not (tmp_path / "new" / "figures").exists()


@pytest.mark.parametrize("name", ["tables/accuracy.tex", "tables/workloads.md", "verdicts.md"])
def test_a_file_that_was_edited_is_the_users(name: str, tmp_path: Path) -> None:
    """tables/workloads.md is of two networks, and stale in the second report."""
    write_report(tmp_path, [*_records(), *_records(model="convnet")])
    edited = (tmp_path / name).read_text() + "% rounded by hand\n"
    (tmp_path / name).write_text(edited)
    before = _contents(tmp_path)
    stale = name == "tables/workloads.md"
    if not stale:
        with pytest.raises(StoreError, match=name):
            write_report(tmp_path, _records())
        assert _contents(tmp_path) == before
    write_report(tmp_path, _records(), overwrite=not stale)
    assert ((tmp_path / name).read_text() == edited) == stale
    assert not (tmp_path / "tables" / "workloads.csv").exists(), "stale and as we wrote it"


def test_the_same_content_is_no_conflict_and_without_a_manifest_nothing_else_is_ours(tmp_path: Path) -> None:
    write_report(tmp_path, _records())
    (tmp_path / MANIFEST).unlink()
    before = _contents(tmp_path)
    with pytest.raises(StoreError, match=r"runs.csv.*(, [^ ]*){4} and \d+ more cannot be replaced"):
        write_report(tmp_path, _records(norms=("layer", "none")))
    assert _contents(tmp_path) == before
    write_report(tmp_path, _records())
    write_report(tmp_path, _records(norms=("layer", "none")))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mine",
        "[1]",
        '{"files": 3, "format": 1}',
        '{"format": 2, "files": {}}',
        '{"format": 1, "files": {"../a.md": []}}',
    ],
)
def test_a_file_that_is_no_manifest_owns_nothing(text: str, tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(StoreError, match=MANIFEST):
        write_report(tmp_path, _records())
    assert _contents(tmp_path) == {MANIFEST: text.encode()}
    write_report(tmp_path, _records(), overwrite=True)
    assert _all_ours(tmp_path)


@pytest.mark.parametrize("name", ["../mine.md", "{folder}/mine.md", "a/../../mine.md"])
def test_a_manifest_reaches_no_file_outside_its_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / "mine.md").write_text("mine")
    files = {name.format(folder=tmp_path): [hash_of_file(tmp_path / "mine.md")]}
    _put(tmp_path / "here", {MANIFEST: json.dumps({"format": 1, "files": files})})
    write_report(tmp_path / "here", _records(), overwrite=True)
    assert (tmp_path / "mine.md").exists()


def _folder(path: Path) -> None:
    path.mkdir()


def _link(path: Path) -> None:
    path.symlink_to("/somewhere/else")


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _file(path: Path) -> None:
    path.write_text("mine")


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    ("name", "make"),
    [
        *(("runs.csv", make) for make in (_folder, _link, _pipe)),
        *(("tables", make) for make in (_file, _link, _pipe)),
        *((MANIFEST, make) for make in (_folder, _link)),
    ],
)
def test_what_is_no_plain_file_is_never_replaced(
    name: str, make: Callable[[Path], None], overwrite: bool, tmp_path: Path
) -> None:
    make(tmp_path / name)
    for refused in (
        lambda: write_report(tmp_path, _records(), overwrite=overwrite),
        lambda: check_folder(tmp_path, [ACCURACY], overwrite),
    ):
        with pytest.raises(StoreError, match=rf"something else is at .*{name}.*Move it away"):
            refused()
        assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_folder_that_is_a_link_is_used_and_kept(tmp_path: Path) -> None:
    _put(tmp_path / "elsewhere", {"dataset.tex": "mine"})
    (tmp_path / "paper").mkdir()
    (tmp_path / "paper" / "tables").symlink_to(tmp_path / "elsewhere")
    write_report(tmp_path / "paper", _records())
    assert (tmp_path / "elsewhere" / "accuracy.tex").exists()
    write_report(tmp_path / "paper", [])
    assert (
        _contents(tmp_path / "elsewhere") == {"dataset.tex": b"mine"} and (tmp_path / "paper" / "tables").is_symlink()
    )


@pytest.mark.parametrize("taken", [False, True])
def test_rows_of_unpaired_runs_are_written_but_over_nobodys_file(taken: bool, tmp_path: Path) -> None:
    records = _records()
    write_report(tmp_path, records)
    records[0] = Record(**{**records[0].to_dict(), "hashes": {**records[0].hashes, "trunk": "0123"}})
    records += _records(norms=("layer",))
    if taken:
        (tmp_path / "runs.csv").write_text("mine")
    before = _contents(tmp_path)
    with pytest.raises(StoreError if taken else IdentityError):
        write_report(tmp_path, records)
    changed = {name for name, content in _contents(tmp_path).items() if content != before[name]}
    assert changed == (set() if taken else {"runs.csv", MANIFEST})
    if not taken:
        assert _all_ours(tmp_path), "the older tables, too"


@pytest.mark.parametrize(
    "name", ["runs.csv", "verdicts.md", "report.html", "tables/accuracy.tex", "figures/accuracy.png"]
)
def test_a_sweep_learns_of_it_before_it_trains(name: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _put(Path("fresh/comparison"), {name: "mine"})
    assert main(["compare", *TINY, "norm=layer", "seed=0", "jobs=1", "results_dir=fresh"]) == 2
    assert f"fresh/comparison/{name}" in capsys.readouterr().err
    assert _contents(Path("fresh")) == {f"comparison/{name}": b"mine"}


def test_a_sweep_replaces_what_it_is_told_to(tmp_path: Path) -> None:
    theirs = {"runs.csv": "mine", "tables/workloads.md": "mine", "tables/dataset.tex": "mine"}
    _put(tmp_path / "comparison", theirs)
    asked = [*TINY, "norm=layer", "seed=0", "jobs=1", f"results_dir={tmp_path}"]
    with pytest.raises(StoreError, match="runs.csv.* cannot be replaced"):
        normlib.compare(*asked, quiet=True)
    assert len(normlib.compare(*asked, quiet=True, overwrite=True)) == 1
    now = {name: (tmp_path / "comparison" / name).read_text() for name in theirs}
    assert {name for name in theirs if now[name] != "mine"} == {"runs.csv"}, "workloads.md was not needed"


def test_every_name_is_known_before_there_is_a_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names: set[str] = set()
    monkeypatch.setattr(contents, "check_place", lambda folder, possible, overwrite: names.update(possible))
    check_folder(tmp_path, [ACCURACY, LOSS])
    for records in (_records(), [*_records(), *_records(model="convnet")], tuned_records()):
        write_report(tmp_path, records)
        manifest = Manifest.read(tmp_path)
        assert manifest is not None and set(manifest.hashes) <= names
