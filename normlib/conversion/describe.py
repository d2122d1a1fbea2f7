"""Says whether a module is a norm, and which.

In: a module. Out: its `Description`, or None if it is not a norm. This file builds and changes no layer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from normlib.conversion.description import Description, UnknownNorm
from normlib.conversion.hidden import functions_called
from normlib.conversion.known import KNOWN, state_of
from normlib.conversion.measure import measure
from normlib.norms import norms
from normlib.norms.base import Norm

# What a subclass may define and still count as its parent: how it is built, documented and shown.
HARMLESS = re.compile(r"__(?!call__|getattr__|getattribute__)\w+__|_abc_impl|reset_parameters|extra_repr")
SAYS_NORM = re.compile(r"norm|abn\b", re.IGNORECASE)


def describe(module: nn.Module, known: Mapping[type, str] | None = None) -> Description | None:
    """The layer in normlib's words. None if the module is not a norm. Raises UnknownNorm for a norm of an unknown kind.

    `known` maps classes to the methods that they are said to be. If it is given, norms of unknown classes are measured
    (see measure.py), and so are modules of classes that call one of torch's norm functions.
    """
    cls = type(module)
    if known is not None and cls in known:
        return _measured(module, f"is a {cls.__qualname__}", known[cls])
    if isinstance(module, Norm):
        return _describe_own_norm(module)
    parent = next((base for base in cls.__mro__ if _key(base) in KNOWN), None)
    if parent is None:
        return _of_unknown_class(module, known is not None)
    between = cls.__mro__[: cls.__mro__.index(parent)]
    own = sorted({name for base in between for name in vars(base) if not HARMLESS.fullmatch(name)})
    if own:
        what = f"is a {cls.__qualname__}, a {parent.__qualname__} with behaviour of its own ({', '.join(own)})"
        if known is None:
            raise UnknownNorm(what)
        return _measured(module, what)
    computed = sorted({"weight", "bias"} & set(vars(module)))
    if computed:
        raise UnknownNorm(
            f"is a {cls.__qualname__} whose {' and '.join(computed)} is computed from other parameters; "
            "make it a parameter again first, for example with torch.nn.utils.prune.remove"
        )
    if getattr(module, "num_features", None) == 0 or any(is_lazy(p) for p in module.parameters()):
        raise UnknownNorm("does not know its number of channels yet; run one batch through the model first")
    return _with_what_follows(KNOWN[_key(parent)](module), module)


def _of_unknown_class(module: nn.Module, may_measure: bool) -> Description | None:
    has_numbers = any(True for _ in module.parameters(recurse=False))
    if _says_norm(module):
        where = type(module).__module__
        of = f" of {where}" if where.startswith("torch.") else ""  # torch has several classes of that name
        what = f"is a {_class_name(module)}{of}, which normlib does not know"
        if may_measure and not of:
            return _measured(module, what)
        raise UnknownNorm(what)
    if may_measure and has_numbers and functions_called(type(module)):
        try:
            return measure(module)
        except UnknownNorm:
            # It calls a norm function for another purpose, such as standardizing weights. The report names it.
            return None
    return None


def _measured(module: nn.Module, what: str, method: str | None = None) -> Description:
    try:
        return measure(module, method)
    except UnknownNorm as error:
        raise UnknownNorm(f"{what}; {error}") from error


def _key(cls: type) -> tuple[str, str]:
    package = "torch.ao" if cls.__module__.startswith("torch.ao.") else cls.__module__.partition(".")[0]
    return package, cls.__name__  # torch.ao has quantized layers by the names of torch.nn


def _says_norm(module: nn.Module) -> bool:
    """Whether an unknown module calls itself a norm and has numbers of its own, or is one of torch's norms."""
    cls = type(module)
    if cls.__module__.startswith("torch.nn.utils") or not SAYS_NORM.search(_class_name(module)):
        return False
    own_numbers = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
    return bool(own_numbers) or cls.__module__.startswith("torch.nn")


def is_without_numbers(module: nn.Module) -> bool:
    """Whether a single layer calls itself a norm but has neither parameters nor buffers.

    `describe` passes it by.
    """
    alone = not any(True for _ in (*module.children(), *module.parameters(), *module.buffers()))
    return alone and not isinstance(module, Norm) and bool(SAYS_NORM.search(_class_name(module)))


def _class_name(module: nn.Module) -> str:
    """The name of the module's class. For a scripted module, that of the class before."""
    return str(module.original_name) if isinstance(module, torch.jit.ScriptModule) else type(module).__name__


def _with_what_follows(description: Description, module: nn.Module) -> Description:
    drop, activation = getattr(module, "drop", None), getattr(module, "act", None)
    if drop is None and activation is None:
        return description
    return replace(
        description,
        fused=True,
        drop=None if isinstance(drop, nn.Identity) else drop,
        activation=None if description.own_activation or isinstance(activation, nn.Identity) else activation,
    )


def _describe_own_norm(norm: Norm) -> Description:
    if norm.slot in ("weight", "branch"):
        raise UnknownNorm(f"is a {type(norm).__qualname__}, which has changed the weights of other layers")
    entry = next((entry for entry in norms.entries() if entry.cls is type(norm)), None)
    values = {name: getattr(norm, name, None) for name in (entry.settings if entry else ())}
    settings: dict[str, Any] = {
        name: value for name, value in values.items() if isinstance(value, bool | int | float | str)
    }
    if "momentum" in values:
        settings["momentum"] = values["momentum"]  # None means something
    for name in ("eps", "affine"):
        settings.pop(name, None)
    return Description(
        entry.name if entry else "", norm.num_features, norm.channel_dim, norm.eps,
        norm.affine if entry is None or "affine" in entry.settings else None, settings, state_of(norm),
        own_activation=norm.slot == "site" and bool(getattr(norm, "activate", True)), fused=norm.slot == "site",
        starts_at=norm.starts_at,
    )  # fmt: skip
