"""`normlib.freeze_statistics`: normalizes with running statistics that no longer move, in training too.

In: a model. Its norms change, normlib's and torch's: what they normalize with in training, and whether scale and shift
are trained. Weights and statistics stay as they are.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable

from torch import nn

from normlib.norms.base import Norm
from normlib.norms.population import stateful_norms


def freeze_statistics(model: nn.Module, affine: bool = False) -> list[nn.Module]:
    """Make every norm with running statistics normalize with them and move them no more. Returns these norms.

    ``train()`` does not undo it. normlib's norms are switched (`statistics` and `update_running`), torch's stay in eval
    mode. With `affine`, scales and shifts are no longer trained either. ``norm.unfreeze()`` undoes it for normlib's
    norms, ``del norm.train`` for torch's.

    Raises ValueError if the model has no such norm.
    """
    norms = stateful_norms(model)
    if not norms:
        raise ValueError(f"{type(model).__name__} has no norm with running statistics; there is nothing to freeze")
    freeze_norms(norms, affine)
    return norms


def freeze_norms(norms: Iterable[nn.Module], affine: bool) -> None:
    """Freeze these norms, as `freeze_statistics` does those of a model."""
    for norm in norms:
        if isinstance(norm, Norm):
            norm.statistics, norm.update_running = "running", False
        else:
            norm.eval()
            norm.train = functools.partial(_ignore_train_mode, norm)  # type: ignore[method-assign]
        for parameter in norm.parameters(recurse=False) if affine else ():
            parameter.requires_grad_(False)
            parameter.grad = None


def is_kept_in_eval(norm: nn.Module) -> bool:
    """Whether a norm of torch's is kept in eval mode."""
    return isinstance(vars(norm).get("train"), functools.partial)


def _ignore_train_mode(norm: nn.Module, mode: bool = True) -> nn.Module:
    """Takes the place of `train`: a frozen norm of torch's is in eval mode, whatever the model is."""
    return norm
