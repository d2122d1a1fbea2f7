"""`export`: writes the selected runs to one file. Reads records and YAML; never imports torch."""

from __future__ import annotations

from collections.abc import Sequence

from normlib.experiments.complaints import ConfigError
from normlib.experiments.selection import select
from normlib.results.messages import MOST_NAMED, runs
from normlib.results.store.export import WRITERS, check_path, export
from normlib.results.store.frame import frame, latest
from normlib.results.store.places import user_path
from normlib.results.study.views import filtered


def export_runs(arguments: Sequence[str], config_dirs: Sequence[str] = (), to: str | None = None) -> list[str]:
    """Write the runs of an experiment, or of the named folders, to the file `to`. Returns what a reader must know.

    Raises ConfigError without a file or without runs, and ExportError for an impossible place or format.
    """
    if to is None:
        raise ConfigError(f"export writes one file: name it with --to FILE; its suffix is one of {', '.join(WRITERS)}")
    path = user_path(to, "--to")
    check_path(path)
    selection = select(arguments, config_dirs)
    kept, superseded = latest(selection.found.records)
    chosen = filtered(frame(kept), selection.filters)
    if not len(chosen):
        raise ConfigError(f"there is nothing to export: none of {runs(len(kept))} is among those asked for")
    export(chosen, path)
    messages = [
        *selection.found.warnings,
        *(f"left out: {problem}" for problem in selection.found.problems[:MOST_NAMED]),
    ]
    if len(selection.found.problems) > MOST_NAMED:
        messages.append(f"left out: {len(selection.found.problems) - MOST_NAMED} more files that are not sound records")
    if superseded:
        messages.append(f"{runs(superseded)} left out: newer records of the same spec exist")
    return [*messages, f"{runs(len(chosen))} with {len(chosen.columns)} columns in {to}"]
