"""The norms: one method a file, registered by name. Imports torch and the registry, nothing else of normlib."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from normlib.registry import Registry


def _norm_class() -> type:
    from normlib.norms.base import Norm

    return Norm


norms = Registry(
    kind="norm",
    package="normlib.norms",
    entry_points="normlib.norms",
    supplied=frozenset({"num_features", "channel_dim", "device", "dtype"}),
    metadata_keys=frozenset({"statistics_over", "paper", "reinitializes"}),
    required_base=_norm_class,
)
register = norms.register
names = norms.names


def create(name: str, num_features: int, **settings: Any) -> Any:
    """Build the norm registered as `name` for `num_features` channels, e.g. ``create("group", 64, num_groups=8)``.

    Raises RegistryError for an unknown name or an unknown setting, ValueError for a setting that the norm refuses.
    """
    return factory(name, **settings)(num_features)


def factory(name: str, **settings: Any) -> Callable[..., Any]:
    """A callable ``num_features -> norm``, as torchvision and timm take for ``norm_layer=``.

    ``factory("group", num_groups=8)`` refuses settings that the norm does not have, at once and not at the first call.
    """
    raise NotImplementedError
