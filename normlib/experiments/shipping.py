"""Sends code typed into a notebook to worker processes: packed here, defined and registered there.

In: runs. Out: texts that can be pickled. In a worker they become modules. Plugins are sent by name instead.
"""

from __future__ import annotations

import hashlib
import linecache
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from normlib.cells import cell_of, is_typed
from normlib.experiments.schema import GROUPS
from normlib.models import registered_name
from normlib.training.source import behind
from normlib.training.spec import Run


@dataclass(frozen=True)
class Parcel:
    """A class or function of a notebook: its source, and how it was registered."""

    group: str
    name: str
    metadata: Mapping[str, Any]
    attribute: str
    text: str


def pack(runs: Iterable[Run]) -> list[Parcel]:
    """The norms, models and datasets of the runs that no file defines. Raises RegistryError if one has no source."""
    used = {(group, registered_name(run.spec[group])) for run in runs for group in GROUPS if _is_registered(group, run)}
    used |= {("norm", run.spec["norm"]["weights"]) for run in runs if run.spec["norm"]["weights"] is not None}
    parcels = []
    for group, name in sorted(used):
        entry = GROUPS[group][name]
        registered = behind(entry.cls)
        if is_typed(registered):
            cell = cell_of(registered)
            parcels.append(Parcel(group, name, entry.metadata, cell.name, cell.text))
    return parcels


def _is_registered(group: str, run: Run) -> bool:
    """Whether a run's choice in a group is in a registry. A user's own code is a plugin, and brings all but the norm."""
    return group == "norm" or not run.sources


def unpack(parcels: Sequence[Parcel]) -> None:
    """Run the texts and register what they define."""
    for parcel in parcels:
        registered = getattr(_module(parcel.text), parcel.attribute)
        GROUPS[parcel.group].register(parcel.name, **parcel.metadata)(registered)


def _module(text: str) -> ModuleType:
    """A text as its own module, with lines that a traceback can show."""
    name = f"normlib_cell_{hashlib.sha256(text.encode()).hexdigest()[:8]}"
    if name not in sys.modules:
        file = f"<{name}>"
        linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
        module = ModuleType(name)
        sys.modules[name] = module  # before it runs, since its registrations are looked up there
        exec(compile(text, file, "exec"), vars(module))
    return sys.modules[name]
