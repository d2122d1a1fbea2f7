"""The networks: one a file, registered by name. Each receives a factory for its sites and knows no norm's name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from normlib.registry import Registry


def _module_class() -> type:
    from torch import nn

    return nn.Module


models = Registry(
    kind="model",
    package="normlib.models",
    entry_points="normlib.models",
    supplied=frozenset({"sites", "input_shape", "num_outputs", "vocabulary"}),
    required_base=_module_class,
)
register = models.register
names = models.names


def registered_name(section: Mapping[str, Any]) -> str:
    """The registered name of a spec's model section: its `name`, or `registered` where the model has a setting `name` of its own."""
    return str(section.get("registered", section["name"]))


def constructor_settings(section: Mapping[str, Any]) -> dict[str, Any]:
    """What a spec's model section holds for the model's constructor."""
    without = "registered" if "registered" in section else "name"
    return {key: value for key, value in section.items() if key != without}
