"""A sweep to be run in a process of its own beside another; a module, because a new process has to import it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def sweep(overrides: Sequence[str], done: Path) -> None:
    """Run a comparison and write its data frame to the file `done`."""
    import normlib

    done.write_text(normlib.compare(*overrides, quiet=True).to_csv())
