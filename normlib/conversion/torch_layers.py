"""Finds the layer of torch.nn that is the same as a norm of normlib, with the same state, or the reason why none is.

In: a norm and the number of dimensions of its inputs. Out: a layer that shares its parameters and buffers. This file
looks at one layer at a time.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from normlib.conversion.absorb import replaces_method
from normlib.conversion.hooks import is_hooked
from normlib.errors import NormlibError
from normlib.norms.base import Norm
from normlib.norms.batch import BatchNorm
from normlib.norms.batch_renorm import BatchRenorm
from normlib.norms.group import GroupNorm
from normlib.norms.instance import InstanceNorm
from normlib.norms.layer import LayerNorm
from normlib.norms.none import NoNorm
from normlib.norms.rms import RMSNorm

BATCH: Mapping[int, type[nn.Module]] = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
INSTANCE: Mapping[int, type[nn.Module]] = {3: nn.InstanceNorm1d, 4: nn.InstanceNorm2d, 5: nn.InstanceNorm3d}


class NoCounterpart(NormlibError, ValueError):
    """torch.nn does not have this norm. The message is the reason, and calls the norm "it"."""


@dataclass
class Ranks:
    """The numbers of dimensions of a norm's inputs.

    `certain`: they, and whether there were masks, were seen in a run.
    """

    seen: set[int]
    certain: bool
    masked: bool = False

    @property
    def flat(self) -> bool:
        """Whether all inputs are (N, C), where dimension 1 is the last one."""
        return self.certain and self.seen == {2}


def layer_of_torch(norm: Norm, ranks: Ranks) -> nn.Module:
    """torch.nn's layer with the very parameters and buffers of `norm`. Raises NoCounterpart."""
    if type(norm) is BatchRenorm:
        raise NoCounterpart(
            "torch.nn has nothing like it for training; normlib.convert(model, 'batch') keeps what it computes at inference"
        )
    if type(norm) not in LAYERS:
        raise NoCounterpart("torch.nn has no such layer")
    if is_hooked(norm) or replaces_method(norm):
        raise NoCounterpart("it has hooks, or a method of its own")
    if norm.statistics != "auto":
        raise NoCounterpart(
            f'its statistics are "{norm.statistics}", whatever the mode; torch.nn\'s follow train() and eval()'
        )
    if norm.norm_batch_size is not None and norm.depends_on_batch:
        raise NoCounterpart("it takes its statistics over part of the batch (norm_batch_size)")
    if ranks.certain and not ranks.seen:
        raise NoCounterpart("the example inputs do not reach it")
    if ranks.masked:
        raise NoCounterpart("it is called with a mask")
    new = LAYERS[type(norm)](norm, ranks)
    for name, tensor in (*norm.named_parameters(recurse=False), *norm.named_buffers(recurse=False)):
        setattr(new, name, tensor)
    if set(new.state_dict()) != set(norm.state_dict()):
        raise NoCounterpart(f"its state is {', '.join(norm.state_dict())}, and that of {type(new).__name__} differs")
    return new.train(norm.training)


def _batch(norm: Any, ranks: Ranks) -> nn.Module:
    if norm.guard:
        raise NoCounterpart("it keeps batches that are not finite out of its running statistics (guard)")
    _require_channels_first(norm, ranks)
    cls = nn.SyncBatchNorm if norm.sync else _by_rank(BATCH, ranks)
    tracked = norm.has_running_statistics
    new = _made(cls, norm, norm.num_features, momentum=norm.momentum, track_running_stats=tracked)
    if tracked and not norm.update_running:
        new.track_running_stats = False  # torch then reads its running statistics in eval mode and never moves them
    return new


def _instance(norm: Any, ranks: Ranks) -> nn.Module:
    _require_channels_first(norm, ranks)
    tracked = norm.has_running_statistics
    if tracked and (norm.momentum is None or not norm.update_running):
        raise NoCounterpart(
            "its running statistics are the mean of all batches, or do not move; torch.nn's move by a momentum"
        )
    settings = {"momentum": norm.momentum, "track_running_stats": tracked}
    return _made(_by_rank(INSTANCE, ranks), norm, norm.num_features, **settings)


def _group(norm: Any, ranks: Ranks) -> nn.Module:
    _require_channels_first(norm, ranks)
    return _made(nn.GroupNorm, norm, norm.num_groups, norm.num_features)


def _layer(norm: Any, ranks: Ranks) -> nn.Module:
    if norm.scope == "sample" and not ranks.flat:
        _require_channels_first(norm, ranks)
        return _made(nn.GroupNorm, norm, 1, norm.num_features)
    _require_channels_last(norm, ranks)
    return _made(nn.LayerNorm, norm, norm.num_features)


def _rms(norm: Any, ranks: Ranks) -> nn.Module:
    if norm.scope == "sample" and not ranks.flat:
        raise NoCounterpart("torch.nn has RMS norm over the channels of a position only (scope=position)")
    _require_channels_last(norm, ranks)
    return _made(nn.RMSNorm, norm, norm.num_features)


def _none(norm: Any, ranks: Ranks) -> nn.Module:
    return nn.Identity()


LAYERS: Mapping[type[Norm], Callable[[Any, Ranks], nn.Module]] = {
    BatchNorm: _batch, GroupNorm: _group, InstanceNorm: _instance, LayerNorm: _layer, RMSNorm: _rms, NoNorm: _none,
}  # fmt: skip


def _made(cls: type[nn.Module], norm: Any, *args: int, **settings: Any) -> Any:
    """A layer of this class with the norm's eps, and with a scale and a shift if the norm has them."""
    accepted = inspect.signature(cls).parameters
    settings["elementwise_affine" if "elementwise_affine" in accepted else "affine"] = norm.weight is not None
    if norm.weight is None and norm.bias is not None:
        raise NoCounterpart("it has a shift and no scale")
    if norm.weight is not None and norm.bias is None and cls is not nn.RMSNorm:
        if "bias" not in accepted:
            raise NoCounterpart(f"it has a scale and no shift, which {cls.__name__} of this torch cannot")
        settings["bias"] = False
    return cls(*args, eps=norm.eps, **settings)


def _by_rank(classes: Mapping[int, type[nn.Module]], ranks: Ranks) -> type[nn.Module]:
    found = {classes.get(rank) for rank in ranks.seen}
    cls = found.pop() if len(found) == 1 else None
    if cls is None:
        numbers = " and ".join(map(str, sorted(ranks.seen)))
        raise NoCounterpart(f"torch.nn has no one class for inputs of {numbers} dimensions")
    return cls


def _require_channels_first(norm: Norm, ranks: Ranks) -> None:
    if norm.channel_dim != 1 and not ranks.flat:
        raise NoCounterpart("its channels are in the last dimension, torch.nn's in dimension 1")


def _require_channels_last(norm: Norm, ranks: Ranks) -> None:
    if norm.channel_dim != -1 and not ranks.flat:
        raise NoCounterpart("its channels are in dimension 1, torch.nn's in the last one")
