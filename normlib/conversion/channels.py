"""Where the channels of a layer's output are after the output was flattened, transposed or reshaped.

In: the channels' place and a call of a traced model. Out: their place behind the call. A rank that is only assumed is
checked when the folded model runs (see only_rank.py). This file looks at single calls, not at who follows whom.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

from normlib.conversion.hooks import is_hooked

SAME = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)  # in eval mode
FUNCTIONS = {
    torch.flatten: "flatten", torch.transpose: "transpose", torch.swapaxes: "transpose", torch.permute: "permute",
    torch.movedim: "movedim", torch.reshape: "reshape", torch.clone: "clone",
}  # fmt: skip
METHODS = {"flatten", "transpose", "permute", "movedim", "reshape", "view", "contiguous", "clone"}
SHAPE_ONLY_METHODS = {"size", "dim", "ndimension", "numel", "nelement", "stride", "is_contiguous", "get_device"}
SHAPE_ONLY_ATTRIBUTES = {"shape", "ndim", "dtype", "device", "is_cuda", "layout", "requires_grad"}
SHAPED_LIKE = {"reshape_as", "view_as", "expand_as", "type_as"}  # methods that read the shape of their argument


@dataclass(frozen=True)
class Channels:
    """The place of the channels.

    They are in dimension `dim`, negative from the end, of a tensor of `rank` dimensions. A rank of None means any.
    """

    dim: int
    rank: int | None

    def may_be_at(self, dim: int) -> bool:
        """Whether they are in this dimension, 1 or -1, perhaps for one rank only: see `rank_needed`."""
        return dim == self.dim or self.rank_needed(dim) is not None

    def rank_needed(self, dim: int) -> int | None:
        """The rank at which they are in dimension `dim`. None for any rank, or if there is none."""
        if self.rank is None:
            return 2 if dim != self.dim and {dim, self.dim} == {1, -1} else None
        return self.rank if dim % self.rank == self.dim % self.rank else None


def channels_behind(layer: nn.Module) -> Channels:
    """Where a convolution or a linear layer puts its channels."""
    if isinstance(layer, nn.Linear):
        return Channels(-1, None)
    weight: Any = layer.weight
    return Channels(1, weight.dim())


def uses_shape_only(user: fx.Node, node: fx.Node) -> bool:
    """Whether `user` reads only the shape, type or device of `node`'s output."""
    if user.op == "call_method" and user.target in SHAPED_LIKE:
        return user.args[0] is not node
    if user.op == "call_method":
        return user.target in SHAPE_ONLY_METHODS
    return user.op == "call_function" and user.target is getattr and user.args[1] in SHAPE_ONLY_ATTRIBUTES


def keeps_channels(model: nn.Module, node: fx.Node) -> bool:
    """Whether the call only moves values, so that a later norm may still belong to the layer ahead."""
    return _kind(model, node)[0] != ""


def channels_after(model: nn.Module, node: fx.Node, channels: Channels) -> Channels | None:
    """Where the channels are behind the call. None if they are mixed with others, or if that cannot be known."""
    kind, args = _kind(model, node)
    if kind in ("", "same"):
        return channels if kind else None
    if kind in ("reshape", "view"):
        sizes = args[0] if len(args) == 1 and isinstance(args[0], tuple | list | torch.Size) else args
        # (..., C) to (M, C): if the last dimension has C values again, as the norm wants, they are the same channels.
        at_end = channels.dim == -1 or (channels.rank is not None and channels.dim == channels.rank - 1)
        return Channels(-1, 2) if at_end and len(sizes) == 2 else None
    if kind == "permute":
        order = tuple(args[0]) if len(args) == 1 and isinstance(args[0], tuple | list) else tuple(args)
        return _permuted(order, channels) if all(isinstance(dim, int) for dim in order) else None
    if not all(isinstance(arg, int) for arg in args):
        return None
    if kind == "flatten":
        return _flattened(channels, *args)
    return _transposed(channels, kind, *args) if len(args) == 2 else None


def _kind(model: nn.Module, node: fx.Node) -> tuple[str, tuple[Any, ...]]:
    """What the call does to the dimensions ("" for anything else), and its arguments except the tensor."""
    if node.op == "call_module":
        module = model.get_submodule(str(node.target))
        if is_hooked(module):
            return "", ()
        if isinstance(module, nn.Flatten):
            return "flatten", (module.start_dim, module.end_dim)
        return ("same" if isinstance(module, SAME) and not module.training else ""), ()
    kind = FUNCTIONS.get(node.target, "") if node.op == "call_function" else ""  # type: ignore[arg-type]
    if node.op == "call_method" and node.target in METHODS:
        kind = str(node.target)
    names = {"flatten": ("start_dim", "end_dim"), "transpose": ("dim0", "dim1"), "movedim": ("source", "destination")}
    args = (*node.args[1:], *(node.kwargs[name] for name in names.get(kind, ()) if name in node.kwargs))
    if len(args) + 1 != len(node.args) + len(node.kwargs):
        return "", ()  # an argument that this file does not know
    return ("same" if kind in ("contiguous", "clone") else kind), args


def _flattened(channels: Channels, start: int = 0, end: int = -1) -> Channels | None:
    if channels.rank is None:  # channels that are last stay last, unless the last dimension is flattened
        # If `end` turns out to be the last one, one dimension is left, and no norm takes that.
        return channels if channels.dim == -1 and start == 0 and end != -1 else None
    start, end, dim = start % channels.rank, end % channels.rank, channels.dim % channels.rank
    rank = channels.rank - (end - start)
    if dim < start:
        return Channels(dim, rank)
    return Channels(dim - (end - start), rank) if dim > end else None


def _transposed(channels: Channels, kind: str, first: int, second: int) -> Channels | None:
    if channels.rank is None and channels.dim != -1:
        return None
    if channels.rank is None:
        if -1 in (first, second) and (kind == "transpose" or first == -1):
            return Channels(second if first == -1 else first, None)
        rank = max(first, second) + 1  # the rank at which the channels move; another is refused when it comes
        if min(first, second) < 0 or rank < 3 or (kind == "movedim" and first < second):
            return None
        channels = Channels(-1, rank)
    order = list(range(channels.rank or 0))
    if kind == "transpose":
        order[first], order[second] = order[second], order[first]
    else:
        moving = order.pop(first)
        order.insert(second % (len(order) + 1), moving)
    return _permuted(tuple(order), channels)


def _permuted(order: tuple[int, ...], channels: Channels) -> Channels | None:
    rank = len(order)
    if channels.rank not in (None, rank):
        return None
    return Channels([dim % rank for dim in order].index(channels.dim % rank), rank)
