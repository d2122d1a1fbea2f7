"""Says in words whether a converted model is still the same function.

In: the methods before and after, and how far outputs moved. Out: lines for the report. This file runs no model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from normlib.conversion.description import Description
from normlib.norms.base import Norm

STARTS: Mapping[str, float] = {"running_mean": 0.0, "running_var": 1.0, "running_std": 1.0}
SAME_AT_INFERENCE = {"batch", "batch_renorm"}  # with running statistics, which are carried over


def is_trained(old: Description) -> bool:
    """Whether a layer's scale, shift or running statistics differ from those of a new layer."""
    starts = {**STARTS, **old.starts_at}
    return any(_has_moved(tensor, starts[name]) for name, tensor in old.state.items() if name in starts)


def is_another_function(old: Description, target: str, norm: Norm) -> bool:
    """Whether the new layer computes something else than the old one at inference, parameters included."""
    if {old.method, target} <= SAME_AT_INFERENCE:
        return norm.has_running_statistics != ("running_mean" in old.state)
    settings = {
        name: getattr(norm, name, value) for name, value in old.settings.items() if name in ("num_groups", "scope")
    }
    return old.method != target or any(settings[name] != old.settings[name] for name in settings)


def explain_function_change(
    target: str, others: Sequence[str], num_layers: int, trained: bool, moved: float | None
) -> tuple[str, ...]:
    """Lines about the model as a whole. `others` are the old methods of layers that compute something else now."""
    lines = []
    if others and trained:
        before = ", ".join(dict.fromkeys(method or "another method" for method in others))
        lines.append(
            f"the function that the trained weights computed is gone: {len(others)} of {num_layers} layers were {before} and are "
            f"{target} now, which standardizes by other statistics"
        )
    if moved is not None:
        lines.append(f"the output on the example inputs moved by {moved:.2g} of its largest value")
    if others and trained:
        lines.append(
            "train the model before you use it, all layers and not the norms alone; to keep its function, convert to the method that "
            "it had"
        )
    return tuple(lines)


def _has_moved(tensor: Tensor, start: float) -> bool:
    return not tensor.is_meta and bool(torch.any(tensor.detach() != start))
