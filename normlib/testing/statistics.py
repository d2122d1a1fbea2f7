"""Checks on the statistics that a norm keeps: the switches and recompute_statistics know all of them.

In: a norm. Out: nothing, or a broken promise. This file knows no statistic by name.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from normlib.norms.base import Norm
from normlib.norms.population import recompute_statistics
from normlib.testing.requirements import ROUNDING, require, require_close, require_same_values, state_of
from normlib.testing.subject import draw, set_clock, subject

EXACT = 1e-9  # of float64; averages over some hundred steps
MOST_PASSES = 4000  # momentum=0.01 takes 2,100 for nine digits
GROUPS = 3


def check_kept_statistics(norm: str | type[Norm], **settings: Any) -> None:
    """Only running statistics and a clock move in training: has_running_statistics says so, and freeze() stops them."""
    tested = subject(norm, **settings)
    module = tested.warmed_up()
    moving = sorted(_moving(module, draw(tested.images, seed=5) + 1))
    require(
        not moving or module.has_running_statistics,
        f"{', '.join(moving)} moves in training, but has_running_statistics is False, so no switch and no setting of the "
        "evaluation acts on it; derive the norm from normlib.RunningNorm",
    )
    unnamed = [name for name in moving if not name.startswith("running_")]
    require(
        not unnamed,
        f"{', '.join(unnamed)} moves in training; a running statistic is in a buffer named running_<statistic>",
    )


def check_recomputed_statistics(norm: str | type[Norm], **settings: Any) -> None:
    """normlib.recompute_statistics gives what the running averages converge to on the same data."""
    tested = subject(norm, **settings)
    x = 2 * draw(tested.images, seed=5, dtype=torch.float64) + 5
    settled = tested.build().double()
    moving = _moving(settled, x)
    if not moving:
        return
    recomputed = copy.deepcopy(settled)
    _settle(settled, x)
    recompute_statistics(recomputed, [x])
    expected, got = state_of(settled), state_of(recomputed)
    for name in moving:
        largest = expected[name].abs().max().clamp(min=1)
        require_close(
            got[name] / largest,
            expected[name] / largest,
            EXACT,
            f"{name}, recomputed, against the limit of its average",
        )
    set_clock(settled)
    set_clock(recomputed)
    y, right = recomputed.eval()(x), settled.eval()(x)
    require_close(y, right, EXACT, "eval mode with recomputed statistics, against averages that have converged")


def check_ghost_batches(norm: str | type[Norm], **settings: Any) -> None:
    """norm_batch_size gives what the parts of a batch would give alone; running statistics take the mean over the parts."""
    tested = subject(norm, **settings)
    size = 2
    x = draw((GROUPS * size, *tested.images[1:]), seed=5) * torch.linspace(1, 3, GROUPS * size).view(-1, 1, 1, 1) + 1
    module = tested.warmed_up()
    set_clock(module)
    whole, alone = copy.deepcopy(module), [copy.deepcopy(module) for _ in range(GROUPS)]
    whole.norm_batch_size = size
    expected = [each(part) for each, part in zip(alone, x.tensor_split(GROUPS), strict=True)]
    require_close(whole(x), torch.cat(expected), ROUNDING, f"norm_batch_size={size}, against the parts alone")
    parts = [state_of(each) for each in alone]
    moving = _floating(state_of(whole))
    mean = {name: torch.stack([part[name] for part in parts]).mean(0) for name in moving}
    require_same_values(moving, mean, ROUNDING, f"norm_batch_size={size}, against the mean over the parts alone")
    whole.eval()
    unchanged = copy.deepcopy(whole)
    unchanged.norm_batch_size = None
    require_close(whole(x), unchanged(x), ROUNDING, f"norm_batch_size={size} changes the output in eval mode")


def _floating(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if value.is_floating_point()}


def _moving(module: Norm, x: Tensor) -> set[str]:
    """The names of the floating buffers that a training pass changes. The norm itself is left as it was."""
    module = copy.deepcopy(module).train()
    before = state_of(module)
    module(x)
    buffers = dict(module.named_buffers())
    return {
        name for name, value in _floating(state_of(module)).items() if name in buffers and not value.equal(before[name])
    }


def _settle(module: Any, x: Tensor) -> None:
    """Pass the same batch in training until the state no longer changes."""
    with torch.no_grad():
        for _ in range(MOST_PASSES):
            before = _floating(state_of(module))
            module(x)
            after = _floating(state_of(module))
            if all(bool(((after[name] - value).abs() <= 1e-12).all()) for name, value in before.items()):
                return
    require(False, f"the running averages do not converge in {MOST_PASSES} passes of the same batch")
