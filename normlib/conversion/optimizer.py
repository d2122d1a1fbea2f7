"""Updates an optimizer that was built before a conversion.

In: the optimizer and, for each replaced layer, its parameters before and after. Parameters that vanished leave its
groups and its state. New ones join the group of the old layer's, with its options. Those that were carried over keep
their state. This file changes no layer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from torch import nn
from torch.optim import Optimizer


@dataclass(frozen=True)
class Change:
    """One replaced layer at `path`: its parameters before and after, by name."""

    path: str
    before: Mapping[str, nn.Parameter]
    after: Mapping[str, nn.Parameter]


def parameters_to_add(optimizer: Optimizer, changes: Sequence[Change]) -> list[tuple[int, str, nn.Parameter]]:
    """The index of the group, the name and the parameter, for each new parameter that will be trained.

    If a layer had parameters but the optimizer had none of them, the new ones stay out too. If it had none at all, the
    new ones join those of the other norms. Raises ValueError if several groups are left to choose from.
    """
    group_of = {id(p): index for index, group in enumerate(optimizer.param_groups) for p in group["params"]}
    of_norms = {group_of[id(p)] for change in changes for p in change.before.values() if id(p) in group_of}
    found: dict[int, tuple[int, str, nn.Parameter]] = {}
    for change in changes:
        by_name = {name: group_of[id(p)] for name, p in change.before.items() if id(p) in group_of}
        choice = set(by_name.values()) if change.before else of_norms or set(range(len(optimizer.param_groups)))
        carried = {id(p) for p in change.before.values()}
        for name, parameter in change.after.items():
            if id(parameter) in carried or not parameter.requires_grad or not choice:
                continue
            if len(choice) > 1 and not change.before:
                raise ValueError(
                    f"{change.path}.{name} is a new parameter of a layer that had none, so it is not clear to which of the "
                    f"optimizer's groups {sorted(choice)} it belongs; build the optimizer after the conversion"
                )
            group = by_name.get(name, min(choice))
            found.setdefault(id(parameter), (group, f"{change.path}.{name}", parameter))
    return list(found.values())


def replace_parameters(
    optimizer: Optimizer, added: Iterable[tuple[int, str, nn.Parameter]], removed_ids: set[int]
) -> tuple[str, ...]:
    """Remove the parameters whose ids are in `removed_ids`, and add those of `added`.

    Returns lines for the report. Groups keep their places, even if empty, because schedulers count them.
    """
    removed = 0
    for group in optimizer.param_groups:
        keep = [index for index, parameter in enumerate(group["params"]) if id(parameter) not in removed_ids]
        for parameter in group["params"]:
            if id(parameter) in removed_ids:
                optimizer.state.pop(parameter, None)
                removed += 1
        for key in ("params", "param_names"):  # names are there if it was built from named parameters
            if key in group:
                group[key][:] = [group[key][index] for index in keep]
    joined: dict[int, int] = {}
    for index, name, parameter in added:
        group = optimizer.param_groups[index]
        group["params"].append(parameter)
        if "param_names" in group:
            group["param_names"].append(name)
        joined[index] = joined.get(index, 0) + 1
    lines = [f"{removed} parameters left, with their state"] if removed else []
    return (*lines, *(f"{count} new parameters joined group {index}" for index, count in joined.items()))
