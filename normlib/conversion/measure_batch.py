"""Finds out by numbers whether a module with running statistics is batch norm.

In: the probe of a module with buffers `running_mean` and `running_var`. Out: its `Description`, or an UnknownNorm with
the numbers. Eval mode, training mode and the way the buffers move are all compared with batch norm's.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from normlib.conversion.description import Description, UnknownNorm
from normlib.conversion.probe import EXACT, LARGE, TINY, Probe, fit


def measure_batch(probe: Probe) -> Description:
    """The module in normlib's words. Raises UnknownNorm."""
    mean, var = probe.tensors["running_mean"], probe.tensors["running_var"]
    layout, given = probe.layouts[0], (mean.clone(), var.clone())

    def affine(variance: float) -> tuple[Tensor, Tensor]:
        """What each channel is multiplied by, and what is added to it, if the running variance is about `var`."""
        mean.copy_(given[0])
        var.copy_(given[1] * variance)
        x, y = probe.require_output(layout, 1.0)
        factor, summand = fit(x, y)
        probe.require(x * factor + summand, y, "batch norm with running statistics", 1.0, False)
        return factor, summand

    factor, summand = affine(LARGE**2)
    gain = factor * _row(var).sqrt()
    shift = summand + factor * _row(mean)
    weight, plus = probe.role(gain.flatten(), "gain", 1.0)
    bias, _ = probe.role(shift.flatten(), "shift", 0.0)
    unused = set(probe.own_tensors) - {weight, bias, "running_mean", "running_var"}
    if unused:
        raise UnknownNorm(f"it computes batch norm, but what its {', '.join(sorted(unused))} does is not found")
    factor, _ = affine(TINY**2)
    eps = probe.named_eps(float(((gain / factor).square() - _row(var)).median()))
    claim = f"batch norm, eps={eps:.3g}" + (", gain 1 + weight" if plus else "")
    mean.copy_(given[0])
    var.copy_(given[1])
    for one in probe.layouts:
        x, y = probe.require_output(one, 1.0)
        probe.require((x - _row(mean)) / (_row(var) + eps).sqrt() * gain + shift, y, claim, 1.0, False)
    settings, frozen = _in_training(probe, claim, gain, shift, eps)
    state = probe.state(weight, plus, bias) | {
        name: probe.own_tensors[name].detach().flatten() for name in ("running_mean", "running_var")
    }
    affine_part = weight is not None or bias is not None
    return Description(
        "batch", probe.num_features, layout[1], eps, affine_part, settings, state, frozen,
        measured=claim + ("" if frozen else f", momentum={settings['momentum']:.3g}"), one_plus_weight=bool(plus),
    )  # fmt: skip


def _in_training(probe: Probe, claim: str, gain: Tensor, shift: Tensor, eps: float) -> tuple[dict[str, Any], bool]:
    """The momentum, and whether the module normalizes with its running statistics in training too and keeps them."""
    mean, var = probe.tensors["running_mean"], probe.tensors["running_var"]
    before = _row(mean).clone(), _row(var).clone()
    x, y = probe.require_output(probe.layouts[0], 1.0, train=True)
    after = _row(mean), _row(var)
    batch_mean, biased = x.mean((0, 2), keepdim=True), x.var((0, 2), correction=0, keepdim=True)
    if all(one.equal(other) for one, other in zip(before, after)):
        probe.require((x - before[0]) / (before[1] + eps).sqrt() * gain + shift, y, f"frozen {claim}", 1.0, True)
        return {}, True
    probe.require((x - batch_mean) / (biased + eps).sqrt() * gain + shift, y, claim, 1.0, True)
    momentum = float(((after[0] - before[0]) / (batch_mean - before[0])).median())
    unbiased = x.var((0, 2), keepdim=True)
    for now, then, new, name in zip(after, before, (batch_mean, unbiased), ("running_mean", "running_var")):
        off = float((then + momentum * (new - then) - now).abs().max() / now.abs().max())
        if not off <= EXACT * 10:  # the momentum is a quotient of small differences
            raise UnknownNorm(
                f"it is {claim}, but its {name} does not move to the batch's by a momentum of {momentum:.3g}: off by {off:.2g} of "
                "the largest"
            )
    return {"momentum": round(momentum, 6), "track_running_stats": True}, False


def _row(tensor: Tensor) -> Tensor:
    return tensor.double().view(1, -1, 1)
