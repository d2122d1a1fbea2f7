"""The control: the baseline a second time, on another trajectory. This file has its rules and trains nothing.

It starts from the same trunk and gets the same batches as the baseline. Only noise on the norm's scales, far below
anything that matters, separates the two. So a comparison with it shows what chance alone does. Its runs have the
baseline's labels and a field that marks them (`Run.control`). Tables call it `results.columns.arm_label`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CONTROL_NOISE = 1e-6
"""Eight steps of float32 at 1: too small to make a start better or worse, and too large to be rounded away."""

CONTROL_OVERRIDE = f"norm.gamma_noise={CONTROL_NOISE}"


def control_of(settings: Mapping[str, Any], swept: bool) -> str | None:
    """The arm that an experiment's control repeats, or None without a control.

    There is one if rows are norms and `control` is true. `swept`: the experiment or the command line sets
    norm.gamma_noise itself, so there is nothing to add.
    """
    return settings["baseline"] if settings["control"] and settings["rows"] == "norm" and not swept else None
