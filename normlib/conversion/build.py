"""Builds the new layer for an old one's place, and notes what it took over.

In: the old layer's description and the method to build. Out: a `Replacement`. The old layer and the model stay as they
are. Parameters and running statistics that are taken over are the very same tensors in both.

These settings are taken over unless they are given. `affine` and `bias`: a layer without scale and shift stays without.
`eps`: if the new method's default is the family's 1e-5, since eps means something else otherwise. `scope`: if the new
method has one. All other settings are taken over within the same method only.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from normlib.conversion.carry import Notes, carry_buffers, carry_parameters, carry_switches
from normlib.conversion.description import Description
from normlib.conversion.function import is_another_function
from normlib.conversion.hooks import is_hooked
from normlib.norms import norms
from normlib.norms.base import Norm
from normlib.registry import Entry

FAMILY_EPS = 1e-5
SAME_IN_ALL = {
    "scope"
}  # settings that mean the same in every method; `scope` keeps a causal model's norm blind to later positions
EITHER_OR = ({"num_groups", "group_size"},)  # settings that say the same; the given one counts


@dataclass(frozen=True)
class Replacement:
    """The new layer.

    `module` goes where the old layer was, and `norm` is the norm in it. `is_another_function`: it computes something
    else than the old layer.
    """

    module: nn.Module
    norm: Norm
    notes: Notes
    is_another_function: bool


def build(
    old: Description, was: nn.Module, target: str, params: Mapping[str, Any], like: Tensor | None, activation: Any
) -> Replacement:
    """Build the norm `target` in the place of `was`.

    `like` gives device and type if the old layer has no numbers. `activation` makes the activation behind the norm, if
    the old layer had one of its own. Raises ValueError for settings that the new norm refuses.
    """
    entry, same, notes = norms[target], old.method == target, Notes()
    norm = _construct(entry, old, _settings(old, entry, params, notes), like)
    norm.train(was.training)
    if old.measured:
        notes.carried.append(f"what it computes, measured: {old.measured}")
    if not same:
        before = _statistics_of(old.method, old.settings)
        notes.changed.append(f"statistics over {before} -> {_statistics_of(target, vars(norm))}")
    if norm.needs:
        notes.changed.append(f"needs {norm.needs}")
    carry_parameters(old, norm, same, notes)
    if old.one_plus_weight:
        notes.changed.append(
            "weight is 1 + the old weight, a new parameter, so weight decay pulls the scale to 0, not to 1"
        )
    carry_buffers(old, norm, target, notes)
    carry_switches(old, was, norm, notes)
    if is_hooked(was):
        notes.lost.append("hooks")
    activation = _activation(old, norm, activation, notes)
    followed_by = [module for module in (old.drop, activation) if module is not None]
    another = is_another_function(old, target, norm)
    return Replacement(nn.Sequential(norm, *followed_by) if followed_by else norm, norm, notes, another)


def _activation(old: Description, norm: Norm, make: Any, notes: Notes) -> nn.Module | None:
    """What goes behind the new norm, in place of what was in or behind the old one."""
    if norm.slot == "site":
        if old.activation is not None:
            notes.changed.append(f"activation its own, not {old.activation!r}")
        return None
    if old.own_activation:
        new_activation: nn.Module = make()
        notes.changed.append(f"activation {new_activation!r} in place of its own")
        return new_activation
    if old.activation is not None:
        notes.carried.append(f"activation {old.activation!r}")
    return old.activation


def _settings(old: Description, entry: Entry, params: Mapping[str, Any], notes: Notes) -> dict[str, Any]:
    settings = dict(params)
    outdone = set(params).union(*(names for names in EITHER_OR if names & set(params)))
    for name, value in old.settings.items():
        setting = entry.settings.get(name)
        if name in outdone:
            continue
        if setting is not None and (old.method == entry.name or name in SAME_IN_ALL):
            settings[name] = value
            notes.carried.append(f"{name}={value}")
        elif old.method == entry.name and value:
            notes.lost.append(f"{name}={value}")
        elif setting is not None and setting.default != value:
            notes.changed.append(f"{name}={setting.default}, the method's own, not {value}")
    if "affine" in entry.settings and "affine" not in params and old.affine is not None:
        settings["affine"] = old.affine
    may_have_none = (
        not old.method or "bias" in norms[old.method].settings
    )  # RMS norm never has a bias, so its absence says nothing
    if "bias" in entry.settings and "bias" not in params and old.affine and may_have_none:
        settings["bias"] = "bias" in old.state
    if "eps" in entry.settings and "eps" not in params:
        default = entry.settings["eps"].default
        if old.method != entry.name and default != FAMILY_EPS:
            notes.changed.append(f"eps={default}, the method's own")
        elif old.eps is not None:
            settings["eps"] = old.eps
            notes.carried.append(f"eps={old.eps:g}")
        elif default is not None:  # torch's RMS norm without eps adds the smallest relative step of the input's type
            settings["eps"] = torch.finfo(torch.float32).eps
            notes.changed.append(f"eps={settings['eps']:.3g}, float32's, whatever the input's type")
    return settings


def _construct(entry: Entry, old: Description, settings: dict[str, Any], like: Tensor | None) -> Norm:
    accepted = inspect.signature(entry.cls).parameters
    supplied: dict[str, Any] = {}
    reference = next((t for t in old.state.values() if t.is_floating_point()), like)
    if reference is not None:
        supplied |= {"device": reference.device, "dtype": reference.dtype}
    if "activate" in accepted:
        supplied["activate"] = old.own_activation or old.activation is not None
    if "channel_dim" in accepted:
        supplied["channel_dim"] = old.channel_dim
    elif old.channel_dim != 1:
        raise ValueError(
            f"{entry.name} takes its channels in dimension 1 only, but here they are in the last one; "
            f"give {entry.cls.__qualname__} the argument channel_dim"
        )
    norm = entry.cls(old.num_features, **settings, **{k: v for k, v in supplied.items() if k in accepted})
    if reference is not None and "device" not in accepted:
        norm.to(reference.device, reference.dtype)
    return norm


def _statistics_of(method: str, settings: Mapping[str, Any]) -> str:
    """In words: what the statistics are over.

    If a setting decides it, the registration says "... (scope=position: ...)". Then the words are those for the value
    in `settings`.
    """
    if method not in norms:
        return "something of its own"
    words = str(norms[method].metadata.get("statistics_over", method))
    either = re.fullmatch(r"(?P<default>.*) \((?P<setting>\w+)=(?P<value>\w+): (?P<other>.*)\)(?P<always>.*)", words)
    if either is None:
        return words
    chosen = "other" if settings.get(either["setting"]) == either["value"] else "default"
    return either[chosen] + either["always"]
