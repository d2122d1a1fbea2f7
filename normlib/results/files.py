"""Writing a file so that a reader sees the old one or the new one, never a half. Knows nothing of what it writes."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from normlib.errors import NormlibError

TEMPORARY_SUFFIX = ".tmp"


class StoreError(NormlibError, OSError):
    """A results folder that cannot be used; the message states the rule, what came and the fix."""


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write to a hidden temporary name in the same folder, then rename.

    There is no fsync: a killed process cannot lose what the kernel has, and after a power cut the checksum of a record
    shows a file that did not reach the disk, so that run is made again. An fsync would cost more than a short run.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}{TEMPORARY_SUFFIX}")
    try:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True) if temporary.parent.is_dir() else None
        raise unwritable(path, error) from error
    except BaseException:  # Ctrl-C between the two
        temporary.unlink(missing_ok=True)
        raise


def strays(path: Path) -> list[Path]:
    """The temporary files that killed processes left of writing a file, or that another process is just writing."""
    return list(path.parent.glob(f".{path.name}.*-????????{TEMPORARY_SUFFIX}"))


def unwritable(path: Path, error: OSError) -> StoreError:
    """The one message for a place that cannot be written."""
    return StoreError(
        f"results must be written where they belong, and {path} cannot be ({error.strerror or error}); "
        "free or permit that place, or choose another with results_dir=<folder>"
    )
