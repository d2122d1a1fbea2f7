"""The columns of the frame: which are results, and so which names are free for settings.

In: a column's name. Out: whether an experimenter chose what it holds. This file imports nothing, so that reading a record
needs no pandas.
"""

from __future__ import annotations

SEED = "seed"
"""The column that numbers the replicates."""
MACHINE = "machine"
"""The label of records that were merged from machines which contradict each other; else there is no such column."""
REINITIALIZED = "reinitialized"
"""The trunk's parameters that a run's norm started anew, a JSON list; where no run has any there is no such column."""

SCALARS_AHEAD = ("id", "experiment", "status", "reason")
SCALARS_BEHIND = (
    "planned_steps", "steps", "samples", "seconds_training", "seconds_per_step", "samples_per_second",
    "peak_memory_bytes", "state_size", "data_version", "started", "ended", "command",
)  # fmt: skip
RESULT_GROUPS = ("train", "validation", "test", "parameters", "norm_report", "hashes", "code", "environment")
_NOT_SETTINGS = frozenset((*SCALARS_AHEAD, REINITIALIZED, *SCALARS_BEHIND))


def is_setting(column: str) -> bool:
    """Whether a column of the frame was chosen by the experimenter, not measured: a label or a key of the spec."""
    return column not in _NOT_SETTINGS and column.partition(".")[0] not in RESULT_GROUPS
