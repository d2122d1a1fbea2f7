"""Records of runs that did not finish, and what every record says of its run. No Lightning, no training."""

from __future__ import annotations

import datetime
from typing import Any

from normlib.results.store.record import SKIPPED, Record
from normlib.training.spec import Run


def unfinished(run: Run, status: str, reason: str, started: str | None = None, trace: str | None = None) -> Record:
    """The record of a run without results: failed or skipped."""
    ended = now()
    environment: dict[str, Any] = {}
    if status != SKIPPED:
        from normlib.training.environment import describe  # imports torch, which would delay the start of workers

        environment = describe(run.spec["accelerator"], run.spec["threads"])
    return Record(
        **origin(run), status=status, reason=_text(reason), traceback=trace and _text(trace), started=started or ended, ended=ended,
        environment=environment,
    )  # fmt: skip


def origin(run: Run) -> dict[str, Any]:
    """What a record says of a run before it starts."""
    return {
        "id": run.id,
        "experiment": run.experiment,
        "command": run.command,
        "labels": dict(run.labels),
        "spec": dict(run.spec),
        "code": dict(run.code),
        "data_version": run.data_version,
        "planned_steps": run.planned_steps,
        "control": run.control,
    }


def _text(words: str) -> str:
    """The words in a form that a record can hold. An error may quote a file name that is not valid text."""
    return words.encode(errors="backslashreplace").decode()


def now() -> str:
    """The time in UTC, ISO 8601, to the millisecond."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
