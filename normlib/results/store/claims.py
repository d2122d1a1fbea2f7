"""Claims: at most one process works on a name at a time, and nothing stays claimed when a process dies.

In: a folder for the lock files and a name. Out: whether the name is ours, for the length of a `with` block.
The operating system holds the lock and frees it when its process ends, however it ends; so a file that is left over is
only litter. This file knows nothing of records.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from normlib.results.store.files import StoreError, unwritable

if TYPE_CHECKING:
    from filelock import BaseFileLock

LOCK_SUFFIX = ".lock"
ATTEMPTS = 20  # another process may remove the empty lock folder between our making and our using it
PATIENCE_SECONDS = 60.0  # what is waited for takes a second at most; so long a wait means a process that hangs
PAUSE_SECONDS = 0.02


@contextlib.contextmanager
def claim(folder: Path, name: str) -> Iterator[bool]:
    """Claim a name without waiting: True inside the block if it is ours, False if somebody has it.

    The lock file is removed while it is still held, so that nothing is littered. Whoever opened it meanwhile then
    locks a file that has lost its name; filelock (3.21 and later) notices, and that claim answers False.
    """
    lock = _acquired(folder / f"{name}{LOCK_SUFFIX}")
    if lock is None:
        yield False
        return
    try:
        yield True
    finally:
        with contextlib.suppress(OSError):  # Windows removes no open file; filelock does it there on release
            Path(lock.lock_file).unlink()
        lock.release()
        remove_if_empty(folder)


@contextlib.contextmanager
def wait_for(folder: Path, name: str) -> Iterator[None]:
    """Claim a name, and wait for it while another process has it. StoreError after a minute."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        with claim(folder, name) as ours:
            if ours:
                yield
                return
        if time.monotonic() > until:
            raise StoreError(
                f"one process at a time may be at work on {name}, and another has held {folder / name}{LOCK_SUFFIX} for "
                f"{PATIENCE_SECONDS:.0f} seconds; stop that process if it hangs, then try again"
            )
        time.sleep(PAUSE_SECONDS)


def clean(folder: Path) -> None:
    """Remove lock files that nobody holds, which killed processes left."""
    for path in list(folder.glob(f"*{LOCK_SUFFIX}")):
        with claim(folder, path.name.removesuffix(LOCK_SUFFIX)):
            pass
    remove_if_empty(folder)


def remove_if_empty(folder: Path) -> None:
    """Remove the lock folder; if others are at work it is not empty and stays."""
    with contextlib.suppress(OSError):
        folder.rmdir()


def _acquired(path: Path) -> BaseFileLock | None:
    import filelock  # not at the top: reading records needs no lock

    for _ in range(ATTEMPTS):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(path)
            lock.acquire(blocking=False)
            return lock
        except filelock.Timeout:
            return None
        except FileNotFoundError:
            continue  # the folder vanished
        except OSError as error:
            if not isinstance(error, FileExistsError) or path.parent.is_file():  # one look: it may vanish between two
                raise unwritable(path, error) from error
    return None  # so busy a folder that somebody else is at work in it
