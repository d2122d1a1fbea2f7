"""Finds into which layer a batch norm can be folded, or why it cannot.

In: a model, the traced paths through it and the path of a norm. Out: a `Fold`, or a CannotFold with the reason. This
file changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from normlib.conversion.absorb import ABSORBING, absorbs, channels_of, replaces_method
from normlib.conversion.ahead import CannotFold, find_layer_ahead, require_only_use
from normlib.conversion.channels import Channels, channels_after, channels_behind
from normlib.conversion.describe import describe
from normlib.conversion.description import Description, UnknownNorm
from normlib.conversion.hooks import is_hooked
from normlib.conversion.trace import TracedPath
from normlib.norms.base import Norm


@dataclass(frozen=True)
class Fold:
    """The norm at `path` goes into the layer at `layer`.

    `rank` is the only number of input dimensions for which that is right, or None for any.
    """

    path: str
    layer: str
    rank: int | None


def batch_norms(model: nn.Module) -> list[str]:
    """The first path of every module that is a batch norm of any kind."""
    return [path for path, module in model.named_modules() if isinstance(module, _BatchNorm) or description_of(module)]


def is_leaf(module: nn.Module) -> bool:
    """Whether a trace should see the module as one call."""
    return isinstance(module, (Norm, *ABSORBING)) or description_of(module) is not None


def description_of(module: nn.Module) -> Description | None:
    """The batch norm in normlib's words. None if the module is not one, or has behaviour of its own."""
    try:
        found = describe(module)
    except UnknownNorm:
        return None
    return found if found is not None and found.method in ("batch", "batch_renorm") else None


def plan(model: nn.Module, path: str, traced_paths: Sequence[TracedPath]) -> Fold:
    """How the norm at `path` can be folded. Raises CannotFold with the reason if it cannot."""
    norm: Any = model.get_submodule(path)
    description = _foldable(norm)
    ahead = find_layer_ahead(model, path, traced_paths)
    layer = model.get_submodule(ahead.layer)
    kind = f"{ahead.layer} ({type(layer).__name__})"
    if not absorbs(layer):
        raise CannotFold(f"it follows {kind}, which is not a convolution or linear layer of a known kind")
    if is_hooked(layer):
        raise CannotFold(f"{kind} has hooks, which may see or change its output or its weights")
    require_only_use(model, ahead.layer, path, traced_paths)
    ranks: set[int | None] = set()
    for between in ahead.between:
        channels: Channels | None = channels_behind(layer)
        for node in between:
            channels = None if channels is None else channels_after(model, node, channels)
        if (
            channels is None
            or not channels.may_be_at(description.channel_dim)
            or channels_of(layer) != description.num_features
        ):
            raise CannotFold(f"its channels are not those of {kind}")
        ranks.add(channels.rank_needed(description.channel_dim))
    if len(ranks) > 1:
        raise CannotFold(f"its inputs from {kind} have different numbers of dimensions")
    checks_rank = isinstance(norm, nn.BatchNorm2d | nn.BatchNorm3d) and type(norm).__module__.startswith("torch.")
    direct = checks_rank and not any(ahead.between)  # torch's convolutions take the rank that these norms ask for
    return Fold(path, ahead.layer, None if direct else ranks.pop())


def _foldable(norm: Any) -> Description:
    description = description_of(norm)
    if description is None or replaces_method(norm):
        raise CannotFold("it is a subclass with behaviour of its own")
    by_running = not norm.training or description.frozen
    if isinstance(norm, Norm):
        by_running = not norm.uses_batch_statistics and norm.statistics != "weighed"
    if not by_running or "running_mean" not in description.state:
        raise CannotFold("it normalizes with statistics of its input")
    if is_hooked(norm):
        raise CannotFold("it has hooks")
    return description
