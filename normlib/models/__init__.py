"""The networks: one a file, registered by name. Each receives a factory for its sites and knows no norm's name."""

from __future__ import annotations

from normlib.registry import Registry


def _module_class() -> type:
    from torch import nn

    return nn.Module


models = Registry(
    kind="model",
    package="normlib.models",
    entry_points="normlib.models",
    supplied=frozenset({"sites", "input_shape", "num_classes"}),
    required_base=_module_class,
)
register = models.register
names = models.names
