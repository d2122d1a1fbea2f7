"""Checks on running statistics: they are averages of what their names say."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from normlib.norms.base import Norm
from normlib.testing.requirements import ROUNDING, require, state_of
from normlib.testing.subject import draw, subject

# A running variance may be the batch's or its unbiased estimate. A running deviation may include epsilon.
NAMES = ("running_mean", "running_var", "running_std")
EXACT = 1e-9  # of float64; a batch's statistic is inferred from a step of `momentum`, about a hundredth


def check_running_averages(norm: str | type[Norm], **settings: Any) -> None:
    """running_<statistic> is an average, the new value weighing `momentum`; mean, var and std are what their names say."""
    tested = subject(norm, **settings)
    module: Any = tested.build().double()
    momentum = getattr(module, "momentum", None)
    start = {name: value for name, value in state_of(module).items() if name.startswith("running_")}
    if not start or not isinstance(momentum, float):
        return
    batches = [
        draw(tested.images, seed=3, dtype=torch.float64) + 1,
        5 * draw(tested.images, seed=4, dtype=torch.float64) - 2,
    ]
    new: list[dict[str, Tensor]] = []  # the statistics of each batch, inferred from one step after the start
    for x in batches:
        one_step: Any = tested.build().double()
        one_step(x)
        new.append({name: value + (getattr(one_step, name) - value) / momentum for name, value in start.items()})
        module(x)
    for name, value in start.items():
        expected = value
        for statistics in new:
            expected = expected + momentum * (statistics[name] - expected)
        require(
            _same(getattr(module, name), expected),
            f"after two batches {name} is not an average of its values for each, weighted by momentum={momentum:g}",
        )
        if name in NAMES and tested.cls.depends_on_batch and value.shape == (tested.channels,):
            for x, statistics in zip(batches, new, strict=True):
                _require_named(name, statistics[name], x, module.eps)


def _require_named(name: str, statistic: Tensor, x: Tensor, eps: float) -> None:
    """A batch's statistic (C,) is the one in its name, over samples and positions."""
    axes = [0, *range(2, x.dim())]
    var, unbiased = x.var(axes, correction=0), x.var(axes, correction=1)
    if name == "running_mean":
        lowest = highest = x.mean(axes)
    elif name == "running_var":
        lowest, highest = var, unbiased + eps
    else:
        lowest, highest = var.sqrt(), (unbiased + eps).sqrt()
    inside = (statistic >= lowest - ROUNDING) & (statistic <= highest + ROUNDING)
    require(
        bool(inside.all()),
        f"{name} took {float(statistic[~inside].flatten()[:1].sum()):g} from a batch, but {float(lowest[~inside][:1].sum()):g} is right",
    )


def _same(got: Tensor, expected: Tensor) -> bool:
    return bool(((got - expected).abs() <= EXACT * expected.abs().clamp(min=1)).all())
