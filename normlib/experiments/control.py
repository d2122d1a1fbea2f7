"""The control: the baseline a second time, under a name of its own, on another trajectory. A rule, and nothing trained.

It starts from the same trunk and is fed the same batches as the baseline; only noise far below anything that matters, on
the scales of the norm, sets the two apart. What a comparison says of it is what chance alone says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

CONTROL_NOISE = 1e-6
"""Eight steps of float32 at 1: too small to make a better or a worse start, and large enough that it is not rounded away."""

CONTROL_OVERRIDE = f"norm.gamma_noise={CONTROL_NOISE}"


def control_label(baseline: str) -> str:
    """The name that the control has on the rows of a table."""
    return f"{baseline}_control"


def with_control(labels: Sequence[str], baseline: str) -> list[str]:
    """The labels along an axis, the control's right behind the baseline's if that is among them."""
    return [each for label in labels for each in ([label, control_label(label)] if label == baseline else [label])]


def control_of(settings: Mapping[str, Any], swept: bool) -> str | None:
    """The arm that an experiment's control doubles, or None where there is no control.

    There is one unless `control` is false, where rows are norms. `swept`: whether the experiment or the command line sets
    norm.gamma_noise itself, which leaves nothing to add.
    """
    return settings["baseline"] if settings["control"] and settings["rows"] == "norm" and not swept else None
