"""Carries parameters, running statistics and switches from an old layer to the norm in its place.

In: the old layer's description and the new norm, which changes. It notes what was carried over, what was not, and what
means something else now. The old layer stays as it is. What is carried over are the very same tensors in both.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from normlib.conversion.description import Description
from normlib.conversion.freeze import is_kept_in_eval
from normlib.norms.base import Norm


@dataclass
class Notes:
    """What the report says about one layer."""

    carried: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)


def carry_parameters(old: Description, norm: Norm, same: bool, notes: Notes) -> None:
    """Give `norm` the old layer's Parameters that play the same part in it. `same`: both are one method."""
    before = {name: tensor for name, tensor in old.state.items() if _is_parameter(name, tensor)}
    trained = not before or any(tensor.requires_grad for tensor in before.values())
    for name, parameter in list(norm.named_parameters(recurse=False)):
        # A scale starts at 1 and a shift at 0. A parameter that starts elsewhere plays another part.
        role = Norm.starts_at.get(name)
        alike = same or (role is not None and role == norm.starts_at.get(name) == old.starts_at.get(name))
        if alike and name in before and before[name].shape == parameter.shape:
            tensor = before.pop(name)
            setattr(
                norm, name, tensor if isinstance(tensor, nn.Parameter) else nn.Parameter(tensor, requires_grad=False)
            )
            notes.carried.append(name)
        else:
            parameter.requires_grad_(trained)
            start = norm.starts_at.get(name)
            notes.changed.append(f"{name} is new" + ("" if start is None else f" and starts at {start:g}"))
    notes.lost.extend(before)


def _is_parameter(name: str, tensor: Tensor) -> bool:
    return isinstance(tensor, nn.Parameter) or name in Norm.starts_at  # a frozen layer has its scale in a buffer


def carry_buffers(old: Description, norm: Norm, target: str, notes: Notes) -> None:
    """Give `norm`, of the method `target`, the old layer's running statistics that mean the same in it."""
    state = {name: tensor for name, tensor in old.state.items() if not _is_parameter(name, tensor)}
    persistent = [name for name, _ in norm.named_buffers(recurse=False) if name in norm.state_dict()]
    eps = old.eps or 0.0
    if (old.method, target) == ("batch", "batch_renorm") and "running_var" in state:
        state["running_std"] = (state.pop("running_var") + eps).sqrt()
        notes.changed.append("running_var became running_std, sqrt(running_var + eps)")
        if state.pop("num_batches_tracked", None) is not None:
            notes.changed.append("num_batches_tracked starts at 0: it is the clock of batch renorm's schedule")
    elif (old.method, target) == ("batch_renorm", "batch") and "running_std" in state:
        state["running_var"] = (state.pop("running_std").square() - eps).clamp(min=0)
        notes.changed.append("running_std became running_var, running_std^2 - eps")
    elif old.method != target:
        notes.lost.extend(state)
        state = {}
    for name in persistent:
        if name in state and state[name].shape == getattr(norm, name).shape:
            setattr(norm, name, state.pop(name))
            notes.carried.append(name)
    if norm.has_running_statistics and not any(name.startswith("running_") for name in notes.carried):
        notes.changed.append("running statistics are reinitialized")
    notes.lost.extend(state)


def carry_switches(old: Description, was: Any, norm: Norm, notes: Notes) -> None:
    """Set the switches of `norm` as the old layer `was` had them."""
    if old.frozen or is_kept_in_eval(was):  # the carried parameters already say whether they are trained
        if norm.has_running_statistics:
            norm.statistics = "running"
        norm.update_running = False
        notes.carried.append("frozen")
    elif isinstance(was, Norm):
        norm.norm_batch_size, norm.own_weight = was.norm_batch_size, was.own_weight
        norm.update_running = was.update_running
        if was.statistics in ("auto", "batch") or norm.has_running_statistics:
            norm.statistics = was.statistics
        else:
            notes.changed.append(f'statistics "{was.statistics}" became "auto": it keeps no running statistics')
    elif getattr(was, "running_mean", None) is not None and not getattr(was, "track_running_stats", True):
        norm.update_running = False  # torch then reads its running statistics in eval mode and never moves them
