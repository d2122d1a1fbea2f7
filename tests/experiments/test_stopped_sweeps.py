"""Checks that a sweep stopped by Ctrl-C or by SIGKILL loses no finished run, repeats none, and ends with the same table.

A norm that waits for a file to appear stops each sweep at the same point: both layer runs done, both workers busy.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from normlib.cli import main
from tests.experiments.tiny_sweeps import TINY, contents, files_in, statuses, write_plugin

PATIENCE_SECONDS = 60  # only a sweep that hangs takes so long

pytestmark = pytest.mark.skipif(not hasattr(os, "killpg"), reason="this system has no process groups")


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE_SECONDS} s for {what}"
        time.sleep(0.02)


def group_is_gone(group: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, 0)
        return False
    return True


def arguments(folder: Path, seeds: str) -> list[str]:
    plugin = folder / "my_waiting.py"
    return [
        "compare", *TINY, f"plugins=[{plugin}]", "norm=layer,waiting", f"seed={seeds}", "jobs=2", f"results_dir={folder}/results",
    ]  # fmt: skip


@contextlib.contextmanager
def started(folder: Path, seeds: str) -> Iterator[subprocess.Popen[str]]:
    """`normlib compare` in a process group of its own, of which nothing outlives the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "normlib", *arguments(folder, seeds)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder, start_new_session=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_stopped_twice_and_finished(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_plugin(tmp_path, "waiting")
    results = tmp_path / "results"
    locks = results / "small_batch" / ".locks"

    with started(tmp_path, "0,1") as process:  # Ctrl-C: the terminal sends it to the whole group
        wait_for(lambda: len(contents(results)) == 2 and len(files_in(locks)) == 2, "two runs done and two begun")
        os.killpg(process.pid, signal.SIGINT)
        shown, complaint = process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == 130
        assert "every finished run is kept" in complaint and "Traceback" not in shown + complaint
        wait_for(lambda: group_is_gone(process.pid), "the workers to be gone")
    interrupted = contents(results)
    assert statuses(results) == {("layer", 0): "done", ("layer", 1): "done"}
    assert not locks.exists()

    with started(tmp_path, "2,3") as process:  # SIGKILL, to everything at once
        wait_for(lambda: len(contents(results)) == 4 and len(files_in(locks)) == 2, "four runs done and two begun")
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == -signal.SIGKILL
        wait_for(lambda: group_is_gone(process.pid), "everything to be gone")
    killed = contents(results)
    assert {key: killed[key] for key in interrupted} == interrupted
    assert set(statuses(results).values()) == {"done"}

    (tmp_path / "open").touch()
    assert main(arguments(tmp_path, "range(4)")) == 0
    finished = contents(results)
    assert {key: finished[key] for key in killed} == killed, "no finished run is repeated"
    assert statuses(results) == {(norm, seed): "done" for norm in ("layer", "waiting") for seed in range(4)}
    assert not locks.exists()

    undisturbed = tmp_path / "undisturbed"
    assert main([*arguments(tmp_path, "range(4)"), f"results_dir={undisturbed}"]) == 0
    assert contents(undisturbed).keys() == finished.keys()
    for table in ("accuracy.csv", "accuracy.md"):
        first, second = (folder / "small_batch" / "tables" / table for folder in (undisturbed, results))
        assert first.read_text() == second.read_text()
    capsys.readouterr()
