"""The norms: one method a file, registered by name. Imports torch and the registry, nothing else of normlib."""

from __future__ import annotations

import functools
import typing
from collections.abc import Callable
from typing import Any

from normlib.naming import unknown_name
from normlib.registry import Registry, RegistryError
from normlib.settings import Setting


def _as_norm(registered: Any) -> Any:
    from normlib.norms.plain import as_norm

    return as_norm(registered)


norms = Registry(
    kind="norm",
    package="normlib.norms",
    entry_points="normlib.norms",
    supplied=frozenset({"num_features", "activate", "channel_dim", "device", "dtype"}),
    metadata_keys=frozenset({"statistics_over", "axes", "paper", "reinitializes"}),
    adapt=_as_norm,
)
names = norms.names
"""`names()` returns the registered names of all norms, sorted, as a list."""


def register(name: str, wraps: Callable[..., Any] | None = None, **metadata: Any) -> Callable[[Any], Any]:
    """Class decorator that adds a norm under `name`.

    The class is a subclass of `Norm`, or any `torch.nn.Module` that takes `num_features`. ``register("mad", wraps=f)``
    adds a function instead and decorates nothing. The function takes a tensor (N, C, *positions) and returns the same
    shape. `metadata` are `statistics_over`, `axes`, `paper` and `reinitializes`.

    Raises RegistryError for a name that is taken, and for arguments without a plain type and a default.
    """
    decorate = norms.register(name, **metadata)
    return decorate if wraps is None else decorate(wraps)


def create(name: str, num_features: int, **settings: Any) -> Any:
    """Build the norm registered as `name` for `num_features` channels, e.g. ``create("group", 64, num_groups=8)``.

    Raises RegistryError for an unknown name or an unknown setting, ValueError for a setting that the norm refuses.
    """
    return factory(name, **settings)(num_features)


def factory(name: str, **settings: Any) -> Callable[..., Any]:
    """A callable ``num_features -> norm``, as torchvision and timm take for ``norm_layer=``. It can be pickled.

    ``factory("group", num_groups=8)`` refuses unknown settings and wrong types at once, not at the first call.
    """
    entry = norms[name]
    for setting, value in settings.items():
        if setting in norms.supplied - {"num_features"}:
            continue
        if setting not in entry.settings:
            raise RegistryError(f"norm {name!r}: {unknown_name('setting', setting, entry.settings)}")
        _check_type(f"norm {name!r}: setting {setting!r}", entry.settings[setting], value)
    # timm replaces classes called BatchNorm, GroupNorm or LayerNorm by its own, so it gets a function.
    return functools.partial(_build, registered_name=name, **settings)


def _build(num_features: int, *, registered_name: str, **settings: Any) -> Any:
    return norms[registered_name].cls(num_features, **settings)


def _check_type(where: str, setting: Setting, value: Any) -> None:
    allowed = typing.get_args(setting.type) or (setting.type,)
    if Any in allowed or (value is None and type(None) in allowed):
        return
    if setting.choices and value not in setting.choices:
        raise RegistryError(f"{where} is one of {', '.join(setting.choices)}, got {value!r}")
    kinds = tuple(typing.get_origin(kind) or kind for kind in allowed) + ((int,) if float in allowed else ())
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in allowed):
        wanted = " or ".join("None" if kind is type(None) else kind.__name__ for kind in allowed)
        raise RegistryError(f"{where} is {wanted}, got {value!r} ({type(value).__name__})")
