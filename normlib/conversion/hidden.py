"""Finds norms that are not layers: calls of torch's norm functions, such as `F.batch_norm`, in the code of a model's
classes.

In: a model. Out: the modules whose class makes such calls. The code is read, not run. So a call in a method that
forward never reaches counts too. This file changes nothing.
"""

from __future__ import annotations

import dis
from collections.abc import Collection, Iterator
from types import CodeType, FunctionType
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

NAMES = (
    "batch_norm",
    "layer_norm",
    "group_norm",
    "instance_norm",
    "rms_norm",
    "native_batch_norm",
    "native_layer_norm",
)
FUNCTIONS = [
    (f"{of}.{name}", function)
    for name in NAMES
    for of, owner in (("F", F), ("torch", torch))
    if (function := getattr(owner, name, None)) is not None
]


def hidden_calls(model: nn.Module, leave: Collection[nn.Module] = ()) -> Iterator[tuple[str, nn.Module, list[str]]]:
    """Each module whose class calls norm functions: its path, the module and their names.

    torch's and normlib's own modules are passed by.
    """
    known: dict[type, list[str]] = {}
    for path, module in model.named_modules():
        cls = type(module)
        if cls not in known:
            known[cls] = functions_called(cls)
        if known[cls] and module not in leave:
            yield path, module, known[cls]


def functions_called(cls: type) -> list[str]:
    """The norm functions of torch that a module class calls in its own methods, named as in "F.batch_norm"."""
    found: dict[str, None] = {}
    for base in cls.__mro__:
        if base.__module__.partition(".")[0] in ("torch", "normlib", "builtins"):
            continue
        for method in vars(base).values():
            function = getattr(method, "__func__", method)
            if isinstance(function, FunctionType):
                found |= dict.fromkeys(_called(function.__code__, function.__globals__))
    return list(found)


def _called(code: CodeType, names: dict[str, Any]) -> Iterator[str]:
    """Resolve every dotted name in the code, such as `torch.nn.functional.batch_norm`, to what it stands for."""
    value: Any = None
    for step in dis.get_instructions(code):
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            value = names.get(step.argval)
        elif step.opname in ("LOAD_ATTR", "LOAD_METHOD") and value is not None:
            value = getattr(value, step.argval, None)
        else:
            value = None
        yield from (name for name, function in FUNCTIONS if value is function)
    for constant in code.co_consts:  # comprehensions and functions within
        if isinstance(constant, CodeType):
            yield from _called(constant, names)
