"""The columns of the frame: which hold results. All other names are free for settings.

In: a column's name. Out: whether the experimenter chose its values. This file imports nothing, so reading a record
needs no pandas.
"""

from __future__ import annotations

SEED = "seed"
"""The column that numbers the replicates."""
MACHINE = "machine"
"""The label of records merged from machines that contradict each other. Otherwise there is no such column."""
LOOKS = "looks"
"""The label of runs whose number of seeds was not fixed ahead: the numbers of seeds at which looks are taken."""
REINITIALIZED = "reinitialized"
"""The trunk's parameters that a run's norm reinitialized, a JSON list. No such column if no run has any."""

BATCH_SIZES = ("data.batch_size", "batch_size")
"""Names of the setting for the samples per optimizer step: in normlib, and in tables made elsewhere."""
ARM = "norm"
"""The label that names the arm."""
CONTROL = "control"
"""Whether a run belongs to the control, which is the baseline a second time."""
METRIC_FACTS = "metric_facts"
"""The facts of the run's metrics, the main one first: a JSON list, empty if the run never had any."""
CHANGES = "changes"
"""What was switched off or changed in the network, a JSON list. No such column if no run has any."""

UNKNOWN_SPLIT = "measured"
"""In place of the split in a figure's column (test.accuracy), for figures made elsewhere, whose split is unknown."""
STEP = "step"
"""After such a split: the step to which its figures are rounded, or 0 if they are not."""

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
    """Whether the experimenter chose a column of the frame, a label or a key of the spec, or it was measured."""
    return column not in _NOT_SETTINGS and column.partition(".")[0] not in (*RESULT_GROUPS, UNKNOWN_SPLIT)


def arm_label(label: str, control: bool = True) -> str:
    """The label of an arm on an axis of norms: its own, or the label of the control that repeats it."""
    return f"{label}_control" if control else label
