"""One run to do: its spec, and the id that follows from it.

A spec is the resolved configuration without what cannot change the numbers (paths, loggers, number of workers). This
file never imports torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Run:
    """One run to do: its spec, its id, and what a record says about its origin.

    `changes`: in words, what the model changes in a network of another library, as far as a plan can know. `sources`:
    where the user's own classes are, `my_file.py:Name`, by their role ("module", "datamodule", "function").
    """

    id: str
    experiment: str
    labels: Mapping[str, str]
    spec: Mapping[str, Any]
    code: Mapping[str, str]
    data_version: str
    command: str
    plugins: tuple[str, ...] = ()
    skip_reason: str | None = None
    planned_steps: int = 0
    changes: tuple[str, ...] = ()
    control: bool = False
    sources: Mapping[str, str] = field(default_factory=dict)


def run_id(spec: Mapping[str, Any], code: Mapping[str, str], data_version: str) -> str:
    """16 hexadecimal digits for the resolved spec, the code that runs it and the data's version."""
    text = json.dumps([spec, code, data_version], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
