"""Checks the writing of a report's files where it is cut short at any step, and where two processes do it at once."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from normlib.results.store import claims, placing
from normlib.results.store.claims import claim
from normlib.results.store.files import StoreError, _machine, write_atomically
from normlib.results.store.manifest import MANIFEST, Manifest, hash_of_file
from normlib.results.store.placing import check_place, place


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _foreign(folder: Path) -> list[str]:
    """The files that the manifest does not own, but for itself."""
    manifest = Manifest.read(folder)
    assert manifest is not None
    return [
        name for name in _contents(folder) if name != MANIFEST and not manifest.owns(name, hash_of_file(folder / name))
    ]


class Killed(BaseException):
    """Ends the process as far as a test can."""


CONTENTS = [
    {"runs.csv": "1", "tables/a.md": "1", "tables/b.md": "1", "figures/a.svg": "1"},
    {"runs.csv": "2", "tables/a.md": "2", "c.md": "2"},
]
STEPS = 5 + 2  # the manifest twice and three files written; two files removed


@pytest.mark.parametrize("step", range(STEPS + 1))
def test_a_report_killed_at_any_step_leaves_only_files_of_ours(
    step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = [step]

    def counted(path: Path, act: Callable[..., None], *rest: object) -> None:
        if left[0] == 0:
            raise Killed
        left[0] -= 1
        act(path, *rest)

    unlink = Path.unlink
    place(tmp_path, CONTENTS[0])
    (tmp_path / "notes.md").write_text("mine")
    with monkeypatch.context() as patch:
        patch.setattr(placing, "write_atomically", lambda path, text: counted(path, write_atomically, text))
        patch.setattr(
            Path, "unlink", lambda path, **k: unlink(path, **k) if path.suffix == ".lock" else counted(path, unlink)
        )
        if step < STEPS:
            with pytest.raises(Killed):
                place(tmp_path, CONTENTS[1])
        else:
            place(tmp_path, CONTENTS[1])
    assert _foreign(tmp_path) == ["notes.md"]
    place(tmp_path, CONTENTS[1])
    wanted = {name: text.encode() for name, text in CONTENTS[1].items()} | {"notes.md": b"mine"}
    assert {name: content for name, content in _contents(tmp_path).items() if name != MANIFEST} == wanted
    assert not (tmp_path / "figures").exists()
    whole = tmp_path / "whole"
    place(whole, CONTENTS[1])
    assert (whole / MANIFEST).read_bytes() == (tmp_path / MANIFEST).read_bytes()


def test_what_a_kill_in_the_middle_of_a_file_leaves_is_removed(tmp_path: Path) -> None:
    place(tmp_path, CONTENTS[0])
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    end = f"{_machine()}-{dead.pid}-0123abcd.tmp"
    litter = [tmp_path / "figures" / f".a.svg.{end}", tmp_path / f".{MANIFEST}.{end}"]
    theirs = [tmp_path / ".notes.tmp", tmp_path / ".runs.csv.tmp"]
    for path in (*litter, *theirs):
        path.touch()
    place(tmp_path, CONTENTS[1])
    assert not any(path.exists() for path in litter) and not (tmp_path / "figures").exists()
    assert all(path.exists() for path in theirs)


def test_two_at_once_wait_for_each_other(tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def often(number: int) -> None:
        try:
            for turn in range(20):
                place(tmp_path, {"runs.csv": f"{number} {turn}", f"tables/{number}.md": "x"})
                check_place(tmp_path, ["runs.csv", "tables/0.md", "tables/1.md"])
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=often, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == [] and _foreign(tmp_path) == [] and len(_contents(tmp_path)) == 3
    assert not (tmp_path / ".locks").exists()


def test_the_wait_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "PATIENCE_SECONDS", 0.1)
    with claim(tmp_path / ".locks", "report"), pytest.raises(StoreError, match="stop that process"):
        place(tmp_path, CONTENTS[0])
    assert _contents(tmp_path) == {}
    place(tmp_path, CONTENTS[0])
