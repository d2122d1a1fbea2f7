"""`normlib` in processes of its own, to be watched and disturbed: started, waited for, and its workers found."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

PATIENCE_SECONDS = 60  # only a sweep that hangs takes so long


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


@contextlib.contextmanager
def started(words: list[str], folder: Path) -> Iterator[subprocess.Popen[str]]:
    """The command line in a process group of its own, of which nothing outlives the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "normlib", *words], text=True, cwd=folder, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        yield process
    finally:
        for number in (signal.SIGCONT, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
        process.communicate()


def workers(group: int) -> list[int]:
    """The processes of a group that do runs: those that the server has forked, so neither the parent nor its children."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError):
            stat = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(stat[2]) == group:
                parents[int(folder.name)] = int(stat[1])
    return sorted(process for process, parent in parents.items() if parents.get(parent) == group)
