"""The networks: one a file, registered by name. Each receives a factory for its sites and knows no norm's name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from normlib.registry import Registry


def _module_class() -> type:
    from torch import nn

    return nn.Module


def _as_model(registered: Any) -> Any:
    from normlib.models.own_network import as_model

    return as_model(registered)


models = Registry(
    kind="model",
    package="normlib.models",
    entry_points="normlib.models",
    supplied=frozenset({"sites", "input_shape", "num_outputs", "vocabulary"}),
    required_base=_module_class,
    adapt=_as_model,
)
register = models.register
names = models.names


def register_network(named: Any) -> Any:
    """Register a network of your own as a model: any class of torch modules, or a function that makes one.

    Write ``@register_network("unet")``, or ``register_network(UNet)`` under its own name. The constructor's plain
    arguments are the model's settings. `model=module` describes what else it may take. Raises RegistryError.
    """
    if isinstance(named, str):
        return models.register(named)
    return models.register(named.__name__)(named)


def registered_name(section: Mapping[str, Any]) -> str:
    """The registered name in a spec's model section.

    It is the section's `name`, or `registered` if the model has a setting `name` of its own.
    """
    return str(section.get("registered", section["name"]))


def constructor_settings(section: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments for the model's constructor in a spec's model section."""
    without = ("registered" if "registered" in section else "name", "weights")
    return {key: value for key, value in section.items() if key not in without}
