"""Reads a file in a folder of records, where anything may stand under its name.

In: a path. Out: the file's bytes. This file reads only regular files, and never waits, as a pipe would make it.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from normlib.results.store.record import RecordError

KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
_AT_ONCE = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)


def read_regular(path: Path) -> bytes:
    """The bytes of a regular file, or of the one that a symbolic link leads to.

    Raises FileNotFoundError if there is none, and RecordError, which names the file, for any other obstacle.
    """
    try:
        _check(os.stat(path), path)  # before it is opened, since a device may react to that
        with open(path, "rb", buffering=0, opener=lambda name, flags: os.open(name, flags | _AT_ONCE)) as file:
            _check(os.fstat(file.fileno()), path)
            return file.readall()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise RecordError(f"cannot be read ({error.strerror})", "permit reading it", path) from error


def _check(found: os.stat_result, path: Path) -> None:
    if not stat.S_ISREG(found.st_mode):
        kind = KINDS.get(stat.S_IFMT(found.st_mode), "a device")
        raise RecordError(f"is {kind}, but a record is a regular file", "move it elsewhere", path)
