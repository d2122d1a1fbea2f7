"""The control: the baseline a second time, on another trajectory. A rule, and nothing trained.

It starts from the same trunk and is fed the same batches as the baseline; only noise far below anything that matters, on
the scales of the norm, sets the two apart. What a comparison says of it is what chance alone says. Its runs have the
baseline's labels and a field that marks them (`Run.control`); `results.columns.arm_label` is what tables call it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

CONTROL_NOISE = 1e-6
"""Eight steps of float32 at 1: too small to make a better or a worse start, and large enough that it is not rounded away."""

CONTROL_OVERRIDE = f"norm.gamma_noise={CONTROL_NOISE}"


def control_of(settings: Mapping[str, Any], swept: bool) -> str | None:
    """The arm that an experiment's control doubles, or None where there is no control.

    There is one unless `control` is false, where rows are norms. `swept`: whether the experiment or the command line sets
    norm.gamma_noise itself, which leaves nothing to add.
    """
    return settings["baseline"] if settings["control"] and settings["rows"] == "norm" and not swept else None
