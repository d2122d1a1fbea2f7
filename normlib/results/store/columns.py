"""The columns of the frame: which are results, and so which names are free for settings.

In: a column's name. Out: whether an experimenter chose what it holds. This file imports nothing, so that reading a record
needs no pandas.
"""

from __future__ import annotations

SEED = "seed"
"""The column that numbers the replicates."""
MACHINE = "machine"
"""The label of records that were merged from machines which contradict each other; else there is no such column."""
LOOKS = "looks"
"""The label of runs whose number of seeds was not fixed ahead: the numbers of seeds at which their comparisons are looked at."""
REINITIALIZED = "reinitialized"
"""The trunk's parameters that a run's norm started anew, a JSON list; where no run has any there is no such column."""

BATCH_SIZES = ("data.batch_size", "batch_size")
"""How the setting is called that says how many samples an optimizer step takes: here, and in tables made elsewhere."""
ARM = "norm"
"""The label that names the arm."""
CONTROL = "control"
"""Whether a run is the control's: the baseline a second time."""
METRIC_FACTS = "metric_facts"
"""The facts of the run's metrics, the main one first: a JSON list, empty where a run never had any."""
CHANGES = "changes"
"""What was switched off or changed in the network, a JSON list; where no run has any there is no such column."""

UNKNOWN_SPLIT = "measured"
"""Where a split would stand in a figure's column, as test.accuracy: of figures that were made elsewhere it is not known."""
STEP = "step"
"""Behind such a split, the step to which its figures are rounded, 0 where they are not."""

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
    return column not in _NOT_SETTINGS and column.partition(".")[0] not in (*RESULT_GROUPS, UNKNOWN_SPLIT)


def arm_label(label: str, control: bool = True) -> str:
    """The label of an arm on an axis of norms: its own, or that of the control which doubles it."""
    return f"{label}_control" if control else label
