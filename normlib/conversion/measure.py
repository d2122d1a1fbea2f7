"""Finds out by numbers what a module of an unknown class computes: random input goes in, and the output is explained.

In: a module with a number or a few per channel. Out: its `Description`, exact to 1e-6 on inputs of every scale and in
both modes, or an UnknownNorm with the numbers. The module stays as it is. This file knows no class by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from normlib.conversion.description import Description, UnknownNorm
from normlib.conversion.measure_batch import measure_batch
from normlib.conversion.probe import EXACT, LARGE, TINY, Probe, fit


@dataclass(frozen=True)
class Candidate:
    """A method of normlib with its settings.

    Mean and mean square are over `axes` of (N, groups, C / groups, positions).
    """

    method: str
    settings: Mapping[str, Any]
    axes: tuple[int, ...]
    centred: bool = True
    groups: int = 1

    def words(self) -> str:
        return ", ".join([f"{self.method} norm", *(f"{name}={value}" for name, value in self.settings.items())])

    def parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """x (N, C, positions), minus its mean if the method subtracts it, and the mean square of that."""
        grouped = x.unflatten(1, (self.groups, -1))
        centred = grouped - grouped.mean(self.axes, keepdim=True) if self.centred else grouped
        square = centred.square().mean(self.axes, keepdim=True).expand_as(grouped)
        return centred.flatten(1, 2), square.flatten(1, 2)


def candidates(num_features: int) -> Iterator[Candidate]:
    """The methods to try, those over fewer values first. At (N, C) several are the same."""
    for method, centred in (("layer", True), ("rms", False)):
        yield Candidate(method, {"scope": "position"}, (2,), centred)
        yield Candidate(method, {"scope": "sample"}, (2, 3), centred)
    yield Candidate("instance", {}, (3,))
    for groups in range(2, num_features):
        if num_features % groups == 0:
            yield Candidate("group", {"num_groups": groups}, (2, 3), groups=groups)


def measure(module: nn.Module, method: str | None = None) -> Description:
    """The module in normlib's words. `method` is the only one that it may be. Raises UnknownNorm."""
    probe = Probe(module)
    if {"running_mean", "running_var"} <= set(probe.own_tensors):
        if method not in (None, "batch"):
            raise UnknownNorm(f"it keeps running statistics, so it is no {method} norm")
        return measure_batch(probe)
    gaps: dict[str, float] = {}
    for candidate in candidates(probe.num_features):
        gap = gaps[candidate.words()] = _gap(probe, candidate)
        if gap <= EXACT and method in (None, candidate.method):
            return _description(probe, candidate)
    nearest = min(gaps, key=lambda words: gaps[words])
    wanted = "" if method is None else f", but it is said to be {method} norm"
    raise UnknownNorm(
        f"of the methods tried, {nearest} is nearest, off by {gaps[nearest]:.2g} of the largest output{wanted}"
    )


def _gap(probe: Probe, candidate: Candidate) -> float:
    """How far the outputs are from the candidate's, with the best gain and shift for each channel. Eps has no part in
    that."""
    worst = 0.0
    for layout in probe.layouts:
        x, y = probe.require_output(layout, LARGE)
        centred, square = candidate.parts(x)
        if not square.all():  # statistics over one value
            return float("inf")
        x_hat = centred / square.sqrt()
        gain, shift = fit(x_hat, y)
        worst = max(worst, float((x_hat * gain + shift - y).abs().max() / y.abs().max()))
    return worst


def _description(probe: Probe, candidate: Candidate) -> Description:
    """Gain, shift and eps of the candidate that fits, checked against the outputs at several scales, in both modes."""
    x, y = probe.require_output(probe.layouts[0], LARGE)
    centred, square = candidate.parts(x)
    gain, shift = fit(centred / square.sqrt(), y)
    weight, plus = probe.role(gain.flatten(), "gain", 1.0)
    bias, _ = probe.role(shift.flatten(), "shift", 0.0)
    unused = set(probe.own_tensors) - {weight, bias}
    if unused:
        raise UnknownNorm(
            f"it computes {candidate.words()}, but what its {', '.join(sorted(unused))} does is not found"
        )
    eps = _eps(probe, candidate, gain, bias)
    claim = f"{candidate.words()}, eps={eps:.3g}" + (", gain 1 + weight" if plus else "")
    for layout in probe.layouts:
        for scale in (1.0, eps**0.5 or 1.0, 1e-2, LARGE):
            for train in (False, True):
                x, y = probe.require_output(layout, scale, train)
                centred, square = candidate.parts(x)
                probe.require(centred / (square + eps).sqrt() * gain + shift, y, claim, scale, train)
    return Description(
        candidate.method, probe.num_features, probe.layouts[0][1], eps, weight is not None or bias is not None,
        candidate.settings, probe.state(weight, plus, bias), measured=claim, one_plus_weight=bool(plus),
    )  # fmt: skip


def _eps(probe: Probe, candidate: Candidate, gain: Tensor, bias: str | None) -> float:
    """Eps, from the output for tiny inputs: (x - mean) / sqrt(square + eps) = y / gain.

    The shift is subtracted first, since the output would drown in it.
    """
    shift = torch.zeros(1) if bias is None else probe.tensors[bias]
    kept = shift.clone()
    shift.zero_()
    x, y = probe.require_output(probe.layouts[0], TINY)
    shift.copy_(kept)
    centred, square = candidate.parts(x)
    clear = centred.abs() > 0.1 * square.sqrt()
    return probe.named_eps(float(((centred / (y / gain)).square() - square)[clear].median()))
