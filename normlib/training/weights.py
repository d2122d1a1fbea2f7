"""The final weights of a run as a file, written whole or not at all, and checked before anyone relies on it.

In: a network's state. Out: `<folder of the experiment>/weights/<run id>.pt`, which `torch.load` reads.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from normlib.results.files import StoreError, unwritable, write_atomically


def write_weights(state: Mapping[str, Any], path: Path) -> None:
    """Write a network's state. StoreError where that cannot be."""
    import torch  # which workers import while they start, and a plan does without

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda file: torch.save(state, file))
    except StoreError:
        raise
    except OSError as error:
        raise unwritable(path, error) from error
    except RuntimeError as error:  # what torch makes of a full disk
        raise unwritable(path, OSError(str(error).splitlines()[0])) from error


def are_sound(path: Path) -> bool:
    """Whether a file holds whole weights: a ZIP archive, as torch writes, whose every part agrees with its checksum."""
    if not path.is_file():
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (OSError, zipfile.BadZipFile):
        return False
