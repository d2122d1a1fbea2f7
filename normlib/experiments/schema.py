"""The configuration's types: one node for each registered norm, model, dataset and task, made from its signature.

Hydra checks every override against them, refuses unknown keys, and completes names in the shell. This file does not
import torch, but reading the registries does.
"""

from __future__ import annotations

import copy
import dataclasses
import typing
from dataclasses import field
from typing import Any

from hydra.core.config_store import ConfigStore

from normlib.data import datasets
from normlib.experiments.settings import COMMON, PLAIN_GROUPS, Root, open_mapping
from normlib.models import models
from normlib.norms import norms
from normlib.registry import Entry, Registry, RegistryError
from normlib.tasks import tasks

PROVIDER = "normlib"
GROUPS: dict[str, Registry] = {"norm": norms, "model": models, "data": datasets, "task": tasks}

_stored: dict[tuple[str, str], Entry] = {}
"""The entries that have a node in Hydra's store, by group and name."""


def store_schema() -> None:
    """Put a node for every registered class, and the root, into Hydra's store."""
    store = ConfigStore.instance()
    for group, registry in GROUPS.items():
        for entry in registry.entries():
            there = f"{entry.name}.yaml" in store.repo.get(group, {})
            if (
                not there or _stored.get((group, entry.name)) is not entry
            ):  # most are there already, and making a node is slow
                node = settings_node(group, entry, COMMON.get(group))
                store.store(group=group, name=entry.name, node=node, provider=PROVIDER)
                _stored[group, entry.name] = entry
    root = store.repo.get("schema.yaml")
    if root is not None and root.provider == PROVIDER:  # nodes that do not come from a registry never change
        return
    store.store(name="schema", node=Root, provider=PROVIDER)
    for group, choices in PLAIN_GROUPS.items():
        for name, node in choices.items():
            store.store(group=group, name=name, node=node, provider=PROVIDER)


def settings_node(group: str, entry: Entry, common: type | None) -> type:
    """A dataclass with the settings of a registered class: its name, the common settings of its group, its arguments.

    A model may have an argument `name`, to choose one of many networks. Its registered name is then in `registered`.
    Raises RegistryError for any other argument with the name of a common setting.
    """
    named = group == "model" and "name" in entry.settings
    fields: list[Any] = [("registered" if named else "name", str, field(default=entry.name))]
    if common is not None:
        hints = typing.get_type_hints(common)
        fields += [(f.name, hints[f.name], field(default=f.default)) for f in dataclasses.fields(common)]
    taken = sorted({name for name, _, _ in fields} & set(entry.settings))
    if taken:
        raise RegistryError(
            f"{group} {entry.name!r}: every {group} has the setting {taken[0]!r} from normlib, which hides the constructor's argument "
            f"of that name; give the argument another name"
        )
    for setting in entry.settings.values():
        if isinstance(setting.default, list):
            default = field(default_factory=lambda value=setting.default: copy.copy(value))  # type: ignore[misc]
        elif (group, entry.name, setting.name) == ("model", "module", "args"):
            default = field(default_factory=open_mapping)
        else:
            default = field(default=setting.default)
        fields.append((setting.name, setting.type, default))
    return dataclasses.make_dataclass(f"{group}_{entry.name}", fields)
