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

ARM = "norm"
"""The label that names the arm."""
CONTROL = "control"
"""Whether a run is the control's: the baseline a second time."""
METRIC_FACTS = "metric_facts"
"""The facts of the run's metrics, the main one first: a JSON list, empty where a run never had any."""
CHANGES = "changes"
"""What was switched off or changed in the network, a JSON list; where no run has any there is no such column."""

SCALARS_AHEAD = ("id", "experiment", "status", "reason")
SCALARS_BEHIND = (
    "planned_steps", "steps", "samples", "seconds_training", "seconds_per_step", "samples_per_second",
    "peak_memory_bytes", "state_size", "data_version", "started", "ended", CONTROL, METRIC_FACTS, "command",
)  # fmt: skip
RESULT_GROUPS = (
    "train", "validation", "test", "parameters", "batch_sizes", "start", "norm_report", "hashes", "code", "environment",
)  # fmt: skip
LISTS = (REINITIALIZED, CHANGES)
_NOT_SETTINGS = frozenset((*SCALARS_AHEAD, *LISTS, *SCALARS_BEHIND))


def is_setting(column: str) -> bool:
    """Whether a column of the frame was chosen by the experimenter, not measured: a label or a key of the spec."""
    return column not in _NOT_SETTINGS and column.partition(".")[0] not in RESULT_GROUPS


def arm_label(label: str, control: bool = True) -> str:
    """The label of an arm on an axis of norms: its own, or that of the control which doubles it."""
    return f"{label}_control" if control else label
