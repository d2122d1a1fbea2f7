"""`normlib.fold`: batch norms folded into the layers ahead, for inference.

In comes a model in eval mode, out goes a copy with fewer layers and the same outputs to rounding, with a report on it. The
model that came in is not changed. This file does not replace one norm by another.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from normlib.conversion.absorb import ABSORBING, absorb, absorbs, channels_of, scale_and_shift
from normlib.conversion.ahead import CannotFold, layer_ahead, require_only_use
from normlib.conversion.describe import describe
from normlib.conversion.description import Description, UnknownNorm
from normlib.conversion.hooks import is_hooked
from normlib.conversion.report import Report, Row, keep
from normlib.conversion.trace import NotTraceable, ways_through
from normlib.norms.base import Norm


def fold(model: nn.Module) -> nn.Module:
    """A copy of `model` whose batch norms are folded into the convolutions and linear layers ahead of them.

    .. code-block:: python

        small = normlib.fold(model.eval())
        print(normlib.conversion_report(small))  # what was folded into what, and what was not, and why

    Batch norms are torch's, torchvision's frozen, timm's (whose activation stays) and normlib's `batch` and `batch_renorm`.
    One is folded where each of its inputs is the output of one layer, nobody else sees that output, and it normalizes with
    running statistics. The layer's weights take the scale, its bias (a new one, if it had none) the shift, computed in
    float64; in the norm's place stays an `nn.Identity`, or its activation. Outputs differ by rounding.

    Who sees an output is found by torch.fx, for a call with the model's required arguments. Raises ValueError for a model
    in training mode, one that cannot be traced (fold a part of it: ``model.backbone = normlib.fold(model.backbone)``), and
    one where nothing can be folded, with the reason for each norm.
    """
    if model.training:
        raise ValueError(
            f"fold is for inference, but this {type(model).__name__} is in training mode; call model.eval() first"
        )
    candidates = _batch_norms(model)
    if not candidates:
        raise ValueError(f"there is no batch norm in this {type(model).__name__}; nothing to fold")
    if "" in candidates:
        raise ValueError(f"this {type(model).__name__} is itself the batch norm, with no layer ahead; nothing to fold")
    try:
        graphs = ways_through(model, _is_leaf)
    except NotTraceable as error:
        raise ValueError(
            f"who uses which output in this {type(model).__name__} cannot be found by tracing it ({error}); "
            "fold a part that can be traced, as in model.backbone = normlib.fold(model.backbone)"
        ) from error
    folded = copy.deepcopy(model)
    rows = [_fold_one(folded, path, graphs) for path in candidates]
    report = Report("fold", tuple(rows))
    if len(report.left) == len(rows):
        raise ValueError(f"nothing can be folded in this {type(model).__name__}:\n{report}")
    keep(report, folded)
    return folded


class OnlyFlat(nn.Module):
    """Stays where a batch norm behind a linear layer was: those fold only where there are no positions, (N, C)."""

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() != 2:
            raise ValueError(
                f"here a batch norm was folded into the linear layer ahead, which is right for (N, C) only, but {tuple(x.shape)} came; "
                "use the model as it was before folding"
            )
        return x


def _batch_norms(model: nn.Module) -> list[str]:
    """The first path of every module that is a batch norm of any kind."""
    return [path for path, module in model.named_modules() if isinstance(module, _BatchNorm) or _description(module)]


def _is_leaf(module: nn.Module) -> bool:
    return isinstance(module, (Norm, *ABSORBING)) or _description(module) is not None


def _description(module: nn.Module) -> Description | None:
    try:
        found = describe(module)
    except UnknownNorm:
        return None
    return found if found is not None and found.method in ("batch", "batch_renorm") else None


def _fold_one(model: nn.Module, path: str, graphs: Sequence[fx.Graph]) -> Row:
    """Fold the norm at `path` of `model`, which this changes; where it cannot be done, the row says why."""
    norm = model.get_submodule(path)
    was = type(norm).__name__
    try:
        description = _foldable(norm)
        was += f"({description.num_features})"
        ahead = layer_ahead(model, path, graphs)
        layer = model.get_submodule(ahead)
        _check_pair(layer, ahead, description)
        require_only_use(model, ahead, path, graphs)
    except CannotFold as reason:
        return Row(path, was, "", changed=(str(reason),))
    absorb(layer, *scale_and_shift(description))
    stays = [module for module in (description.drop, description.activation) if module is not None]
    if isinstance(layer, nn.Linear) and description.channel_dim == 1:
        stays.insert(0, OnlyFlat())
    replacement = nn.Identity() if not stays else stays[0] if len(stays) == 1 else nn.Sequential(*stays)
    for parent in list(model.modules()):
        for name, child in list(parent._modules.items()):  # named_children() would name a shared one once
            if child is norm:
                parent.add_module(name, replacement)
    return Row(path, was, f"folded into {ahead} ({type(layer).__name__})")


def _foldable(norm: Any) -> Description:
    description = _description(norm)
    if description is None:
        raise CannotFold("it is a subclass with behaviour of its own")
    by_running = not norm.training or description.frozen
    if isinstance(norm, Norm):
        by_running = not norm.uses_batch_statistics and norm.statistics != "weighed"
    if not by_running or "running_mean" not in description.state:
        raise CannotFold("it normalizes with statistics of its input")
    if is_hooked(norm):
        raise CannotFold("it has hooks")
    return description


def _check_pair(layer: nn.Module, path: str, norm: Description) -> None:
    kind = f"{path} ({type(layer).__name__})"
    if not absorbs(layer):
        raise CannotFold(f"it follows {kind}, no convolution or linear layer of a known kind")
    if is_hooked(layer):
        raise CannotFold(f"{kind} has hooks, which may see or change its output or its weights")
    if channels_of(layer) != norm.num_features or (norm.channel_dim == -1 and not isinstance(layer, nn.Linear)):
        raise CannotFold(f"its channels are not those of {kind}")
