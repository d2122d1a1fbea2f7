"""Claims: at most one process works on a name at a time, and a claim ends when its process dies.

In: a folder for the lock files, and a name. Out: whether this process has the name, for the length of a `with` block.
The operating system holds the lock and frees it when the process ends, in whatever way. So a leftover lock file does no
harm. This file knows nothing of records.
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
ATTEMPTS = 20  # another process may remove the empty lock folder before we use it
PATIENCE_SECONDS = 60.0  # the awaited work takes a second at most; a longer wait means a process that hangs
PAUSE_SECONDS = 0.02


@contextlib.contextmanager
def claim(folder: Path, name: str) -> Iterator[bool]:
    """Claim a name without waiting. Inside the block: True if this process has it, False if another has.

    The lock file is removed while it is still held, so no files are left over. If another process opened it meanwhile,
    it locks a file without a name. filelock (3.21 and later) notices, and that claim gives False.
    """
    lock = _acquired(folder / f"{name}{LOCK_SUFFIX}")
    if lock is None:
        yield False
        return
    try:
        yield True
    finally:
        with contextlib.suppress(OSError):  # Windows cannot remove an open file; filelock does it on release
            Path(lock.lock_file).unlink()
        lock.release()
        remove_if_empty(folder)


@contextlib.contextmanager
def wait_for(folder: Path, name: str) -> Iterator[None]:
    """Claim a name, and wait while another process has it. Raises StoreError after a minute."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        with claim(folder, name) as ours:
            if ours:
                yield
                return
        if time.monotonic() > until:
            raise StoreError(
                f"one process at a time may work on {name}, and another has held {folder / name}{LOCK_SUFFIX} for "
                f"{PATIENCE_SECONDS:.0f} seconds; stop that process if it hangs, then try again"
            )
        time.sleep(PAUSE_SECONDS)


def clean(folder: Path) -> None:
    """Remove lock files that killed processes have left."""
    for path in list(folder.glob(f"*{LOCK_SUFFIX}")):
        with claim(folder, path.name.removesuffix(LOCK_SUFFIX)):
            pass
    remove_if_empty(folder)


def remove_if_empty(folder: Path) -> None:
    """Remove the lock folder. While others are at work it is not empty, and stays."""
    with contextlib.suppress(OSError):
        folder.rmdir()


def _acquired(path: Path) -> BaseFileLock | None:
    import filelock  # not at the top, since reading records needs no lock

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
            if (
                not isinstance(error, FileExistsError) or path.parent.is_file()
            ):  # checked once, since it may vanish in between
                raise unwritable(path, error) from error
    return None  # a folder this busy has another process in it
