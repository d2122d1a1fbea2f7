"""Checks the store: whole files or none, broken ones named and kept, claims that exclude and end with a process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from normlib.results.store import files
from normlib.results.store.claims import claim
from normlib.results.store.files import STRAY_AFTER_SECONDS
from normlib.results.store.record import RecordError
from normlib.results.store.store import BROKEN, Store, StoreError
from tests.results.factories import make_record


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results", "small_batch")


def test_what_is_written_is_read_and_nothing_else_is_left(store: Store) -> None:
    records = [make_record(seed=seed) for seed in range(3)]
    for record in records:
        assert store.write(record) == record
    assert store.read(records[1].id) == records[1]
    assert sorted(path.name for path in store.runs.iterdir()) == sorted(f"{record.id}.json" for record in records)
    assert {record.id for record in store.scan().records} == {record.id for record in records}
    assert store.statuses() == {record.id: "done" for record in records}


def test_an_empty_or_absent_folder_has_no_records(store: Store) -> None:
    assert store.scan().records == () and store.statuses() == {} and store.read("0" * 16) is None
    store.clean()
    assert not store.folder.exists()


def test_a_newer_record_replaces_the_older(store: Store) -> None:
    store.write(make_record(status="failed", reason="killed"))
    store.write(make_record(accuracy=0.5))
    assert [record.status for record in store.scan().records] == ["done"]


def test_broken_files_are_named_and_the_others_go_on(store: Store) -> None:
    good, cut, edited, renamed = (make_record(seed=seed) for seed in range(4))
    for record in (good, cut, edited, renamed):
        store.write(record)
    store.path(cut.id).write_text(cut.to_json()[:500])
    store.path(edited.id).write_text(edited.to_json().replace('"steps": 200', '"steps": 201', 1))
    store.path(renamed.id).rename(store.path("f" * 16))
    scan = store.scan()
    assert scan.records == (good,)
    assert {problem.path for problem in scan.problems} == {store.path(i) for i in (cut.id, edited.id, "f" * 16)}
    assert store.statuses() == {good.id: "done", cut.id: BROKEN, edited.id: BROKEN, "f" * 16: BROKEN}
    with pytest.raises(RecordError, match=cut.id):
        store.read(cut.id)


def test_a_broken_file_is_set_aside_and_not_lost(store: Store) -> None:
    record = make_record()
    for number in (1, 2):
        store.write(record)
        store.path(record.id).write_text(f"broken {number}")
        aside = store.set_aside(record.id)
        assert aside is not None and aside.name == f"{record.id}.json.broken-{number}"
        assert aside.read_text() == f"broken {number}"
    assert store.statuses() == {}
    assert store.set_aside(record.id) is None


def test_a_write_that_fails_leaves_the_old_record_and_no_litter(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    old = make_record(accuracy=0.5)
    store.write(old)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "replace", full)
    with pytest.raises(StoreError, match="No space left"):
        store.write(replace(old, labels={"norm": "another"}))
    assert store.read(old.id) == old
    assert len(list(store.runs.iterdir())) == 1


def test_a_folder_that_cannot_be_written_is_an_error_with_a_fix(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file where the folder should be")
    store = Store(tmp_path / "results", "small_batch")
    for attempt in (store.prepare, lambda: store.write(make_record()), lambda: store.claim("a").__enter__()):
        with pytest.raises(StoreError, match="results_dir="):
            attempt()


def test_prepare_leaves_nothing_behind(store: Store) -> None:
    store.prepare()
    assert list(store.runs.iterdir()) == []


def test_stray_temporary_files_are_ignored_and_old_ones_cleaned(store: Store) -> None:
    store.write(make_record())
    fresh, old = (store.runs / f".{name}.json.0a0a0a0a-1-0123abcd.tmp" for name in ("fresh", "old"))
    for path in (fresh, old):
        path.write_text("{")
    long_ago = os.stat(old).st_mtime - STRAY_AFTER_SECONDS - 1
    os.utime(old, (long_ago, long_ago))
    assert len(store.scan().records) == 1 and not store.scan().problems
    store.clean()
    assert fresh.exists() and not old.exists()


def test_a_claim_excludes_others_and_leaves_no_file(store: Store) -> None:
    with store.claim("a") as ours:
        assert ours
        with store.claim("a") as theirs, store.claim("b") as other:
            assert not theirs
            assert other
        assert (store.locks / "a.lock").exists()
        store.clean()  # a lock that is held stays
        with store.claim("a") as theirs:
            assert not theirs
    with store.claim("a") as again:
        assert again
    assert not store.locks.exists()


HOLD = (
    "import sys; from pathlib import Path; from normlib.results.store.claims import claim\n"
    "with claim(Path(sys.argv[1]), 'a') as ours:\n"
    "    print(ours, flush=True); sys.stdin.read()\n"
)


def _holder(store: Store) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(store.locks)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_a_killed_process_leaves_nothing_locked(store: Store) -> None:
    with _holder(store) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "True\n"
        with store.claim("a") as ours:
            assert not ours
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    assert (store.locks / "a.lock").exists()
    store.clean()
    assert not store.locks.exists()
    with store.claim("a") as ours:
        assert ours


def test_many_claimers_never_hold_a_name_together(store: Store) -> None:
    inside: list[int] = []
    counts: list[int] = []

    def work(worker: int) -> None:
        for _ in range(150):
            with claim(store.locks, "a") as ours:
                if ours:
                    inside.append(worker)
                    time.sleep(0)  # let the others in, if anything does
                    counts.append(len(inside))
                    inside.remove(worker)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert set(counts) == {1}
    assert not store.locks.exists()
