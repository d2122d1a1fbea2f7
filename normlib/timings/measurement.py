"""One measurement: a norm and its contenders at one case, timed in turns, block by block.

In comes what to measure, out go `Timing`s, or the reason why there is nothing to time. This file writes nothing.
"""

from __future__ import annotations

import contextlib
import itertools
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import torch
from torch import Tensor, nn

from normlib.norms import norms
from normlib.norms.base import Norm
from normlib.timings.cases import Case
from normlib.timings.contenders import allowed_ratios, contenders, settings_of
from normlib.timings.memory import MEANING, memory_bytes
from normlib.timings.record import COMPILED, OURS, Timing
from normlib.timings.ring import last_level_cache_bytes, move_to_new_memory, number_of_copies, ring
from normlib.timings.settings import BenchSettings
from normlib.timings.timing import Step, seconds_in_turns
from normlib.training.environment import describe

TOTAL_STEPS = 1_000_000
"""The length of a run that a norm with a schedule in fractions of it is told."""
ROUNDING = {torch.float64: 1e-8, torch.float32: 1e-3, torch.bfloat16: 2e-2, torch.float16: 2e-2}
"""How far a compiled formula may be from the norm, relative to the values from 1 on: sums in another order, and a last digit."""


@dataclass(frozen=True)
class Lineup:
    """A norm and its contenders, built for one input; `what` names each, `left_out` says why others are not among them."""

    norm: str
    settings: dict[str, str]
    layers: dict[str, nn.Module]
    what: dict[str, str]
    left_out: dict[str, str]


def lineup(norm: str, case: Case, compiles: bool) -> Lineup | str:
    """The layers to be timed at `case.build`, or why there is nothing to time."""
    own = settings_of(norm, case.channel_dim)
    ours: Norm = norms[norm].cls(case.sizes[case.channel_dim], **own, channel_dim=case.channel_dim)
    ours.set_total_steps(TOTAL_STEPS)
    others, left_out = contenders(ours, norm, len(case.sizes), compiles)
    layers: dict[str, nn.Module] = {OURS: ours, **{name: each.layer for name, each in others.items()}}
    with _threads(case.threads):
        x, gradient = case.draw(seed=0), case.draw_gradient(seed=1)
        for layer in layers.values():
            # On a CPU the parameters stay in float32, as in mixed precision; on CUDA torch's group norm wants one type.
            layer.to(case.device, x.dtype if case.device == "cuda" else None).train()
        try:
            expected = ours(x)
        except ValueError as error:
            return str(error)
        if expected.untyped_storage().data_ptr() == x.untyped_storage().data_ptr():
            return "it passes its input through: what it costs is in the layer ahead"
        for name in [name for name in layers if name != OURS]:
            if (problem := _problem(layers[name], x, gradient, expected if name == COMPILED else None)) is not None:
                left_out[name] = problem
                del layers[name]
    what = {OURS: type(ours).__qualname__, "copy": "Tensor.copy_"} | {
        name: others[name].what for name in layers if name != OURS
    }
    return Lineup(norm, own, layers, what, left_out)


@dataclass
class Measurement:
    """What is known so far of a norm at a case. ValueError where its ring cannot be made."""

    lineup: Lineup
    case: Case
    settings: BenchSettings
    seconds: dict[str, dict[str, list[list[float]]]] = field(default_factory=dict)
    """By kind of pass and contender, in every round of every block."""
    memory: dict[str, int] = field(default_factory=dict)
    started: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    def __post_init__(self) -> None:
        self.cache_bytes = last_level_cache_bytes(self.case.device) if self.case.cache == "cold" else None
        self.copies = number_of_copies(self.case.num_bytes, self.case.cache, self.cache_bytes)

    def time_block(self, block: int) -> None:
        """Time every contender once more, in memory of its own."""
        layers = self.lineup.layers
        with _threads(self.case.threads):
            spacers = move_to_new_memory(layers.values(), block)
            x, gradient = self.case.draw(seed=0), self.case.draw_gradient(seed=1)
            if block == 0 and "forward_backward" in self.settings.passes:
                self.memory = {name: memory_bytes(layer, x, gradient) for name, layer in layers.items()}
            for passes in self.settings.passes:
                backward = passes == "forward_backward"
                inputs = ring(x, self.copies, leaves=backward)
                gradients = ring(gradient, self.copies, leaves=False) if backward else []
                steps = {name: _step(layer, inputs, gradients) for name, layer in layers.items()}
                steps["copy"] = _copy_step(inputs)
                found = seconds_in_turns(steps, self.settings.rounds, self.case.device)
                for name, seconds in found.items():
                    self.seconds.setdefault(passes, {}).setdefault(name, []).append(seconds)
            del spacers  # they have held their places until here

    def timings(self, command: str) -> list[Timing]:
        """A timing for each kind of pass, of the blocks so far."""
        case, lineup = self.case, self.lineup
        return [
            Timing(
                norm=lineup.norm, settings=lineup.settings, passes=passes, shape=case.shape, layout=case.layout,
                dtype=case.dtype, device=case.device, threads=case.threads, channel_dim=case.channel_dim,
                inputs=case.inputs, cache=case.cache, copies=self.copies, cache_bytes=self.cache_bytes,
                allowed=allowed_ratios(lineup.norm, lineup.layers), what=lineup.what, seconds=seconds,
                left_out=lineup.left_out, memory_bytes=self.memory if passes == "forward_backward" else {},
                memory_means=MEANING[case.device] if passes == "forward_backward" else "",
                environment=describe(case.device, case.threads), command=command, started=self.started,
            )
            for passes, seconds in self.seconds.items()
        ]  # fmt: skip


@contextlib.contextmanager
def _threads(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _step(layer: nn.Module, inputs: list[Tensor], gradients: list[Tensor]) -> Step:
    """A pass over the next input of the ring at every call; with `gradients`, there and back."""
    if not gradients:
        taken = itertools.cycle(inputs)

        def forward() -> None:
            with torch.no_grad():
                layer(next(taken))

        return forward
    pairs = itertools.cycle(zip(inputs, gradients, strict=True))
    parameters = list(layer.parameters())

    def forward_and_backward() -> None:
        leaf, gradient = next(pairs)
        layer(leaf).backward(gradient)
        leaf.grad = None
        for parameter in parameters:
            parameter.grad = None

    return forward_and_backward


def _copy_step(inputs: list[Tensor]) -> Step:
    target, taken = torch.empty_like(inputs[0], requires_grad=False), itertools.cycle(inputs)

    def copy() -> None:
        with torch.no_grad():
            target.copy_(next(taken))

    return copy


def _problem(layer: nn.Module, x: Tensor, gradient: Tensor, expected: Tensor | None) -> str | None:
    """Why a contender cannot be timed at this input, as it says itself, or because its output is not the `expected` one."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a compiler's remarks are not about what is measured
            with torch.no_grad():
                y = layer(x)
            _step(layer, ring(x, 1, leaves=True), [gradient])()
    except Exception as error:  # another library's layer may refuse in any way
        return f"refuses this input ({type(error).__name__})"
    if expected is not None:
        off = ((y - expected).abs() / expected.abs().clamp(min=1)).max().item()
        if not off <= ROUNDING[x.dtype]:
            return f"computes something else, off by {off:.2g}"
    return None
