"""Says whether anything listens to a module, or changes what goes through it."""

from __future__ import annotations

from torch import nn

KINDS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def is_hooked(module: nn.Module) -> bool:
    """Whether the module has hooks on its forward or backward pass."""
    return any(getattr(module, kind, None) for kind in KINDS)
