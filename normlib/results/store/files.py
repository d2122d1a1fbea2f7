"""Writes a file so that a reader sees either the old one or the new one, never a part. Knows nothing about its content."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import platform
import re
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from normlib.errors import NormlibError

TEMPORARY_SUFFIX = ".tmp"
STRAY_AFTER_SECONDS = 3600.0  # writing takes seconds; an hour allows for clocks that disagree
_WRITER = re.compile(r"\.((?P<machine>[0-9a-f]{8})-)?(?P<process>\d+)-[0-9a-f]{8}\.tmp$")


class StoreError(NormlibError, OSError):
    """A results folder cannot be used. The message states the rule, what came and the fix."""


def write_atomically(path: Path, content: str | bytes | Callable[[BinaryIO], None]) -> None:
    """Write to a hidden temporary name in the same folder, then rename.

    `content` may be a function that writes to a file. There is no fsync. A killed process cannot lose what the kernel
    already has. After a power cut, the checksum of a record shows that its file did not reach the disk, and the run is
    made again. An fsync would cost more than a short run.
    """
    temporary = temporary_path(path)
    try:
        with open(temporary, "xb") as file:
            if callable(content):
                content(file)
            else:
                file.write(content.encode() if isinstance(content, str) else content)
        os.replace(temporary, path)
    except OSError as error:
        _remove(temporary)
        raise unwritable(path, error) from error
    except BaseException:  # Ctrl-C between the two
        _remove(temporary)
        raise


def temporary_path(path: Path) -> Path:
    """A hidden name beside `path` that names the writing process, so `remove_strays` knows which writers are dead."""
    return path.with_name(f".{path.name}.{_machine()}-{os.getpid()}-{secrets.token_hex(4)}{TEMPORARY_SUFFIX}")


def remove_strays(folder: Path) -> None:
    """Remove the temporary files that dead processes have left in a folder. Those of another machine go after an hour."""
    for path in folder.glob(f".*{TEMPORARY_SUFFIX}"):
        writer = _WRITER.search(path.name)
        if writer is None:
            continue
        here = writer["machine"] == _machine() and os.name != "nt"  # Windows cannot be asked for a process
        with contextlib.suppress(OSError):
            old = time.time() - path.stat().st_mtime > STRAY_AFTER_SECONDS
            if old or (here and not _is_alive(int(writer["process"]))):
                path.unlink()


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # a process of another user
        return True
    return True


@functools.cache
def _machine() -> str:
    """A hash that identifies this machine since its last start among those that share the folder. It hides the name."""
    start = Path("/proc/sys/kernel/random/boot_id")
    started = start.read_text(encoding="utf-8") if start.is_file() else ""
    return hashlib.sha256(f"{platform.node()}/{started}".encode()).hexdigest()[:8]


def unwritable(path: Path, error: OSError) -> StoreError:
    """The one message for a path that cannot be written."""
    return StoreError(
        f"results are written to {path}, but that is not possible ({error.strerror or error}); "
        "free the path or permit writing there, or choose another with results_dir=<folder>"
    )
