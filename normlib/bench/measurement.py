"""One measurement: a norm and its contenders at one input, timed in turns.

In comes what to measure, out goes a `Timing`, or the reason why there is nothing to time. This file writes nothing.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import torch
from torch import Tensor, nn

from normlib.bench.contenders import ALLOWED, ALLOWED_OF, contenders, settings_of
from normlib.bench.memory import MEANING, memory_bytes
from normlib.bench.record import OURS, Timing
from normlib.bench.settings import BenchSettings
from normlib.bench.timing import Step, seconds_in_turns
from normlib.norms import norms
from normlib.norms.base import Norm
from normlib.training.environment import describe

TOTAL_STEPS = 1_000_000
"""The length of a run that a norm with a schedule in fractions of it is told."""
LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


@dataclass(frozen=True)
class Input:
    """What a norm is timed at."""

    shape: str
    layout: str
    dtype: str
    device: str
    threads: int

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(map(int, self.shape.split("x")))

    @property
    def channel_dim(self) -> int:
        """Tokens, of rank 3, have their channels last."""
        return -1 if len(self.sizes) == 3 else 1

    def draw(self, seed: int) -> Tensor:
        values = torch.randn(self.sizes, generator=torch.Generator().manual_seed(seed)).to(self.device)
        values = values.to(getattr(torch, self.dtype))
        return values.contiguous(memory_format=LAST[len(self.sizes)]) if self.layout == "channels_last" else values


def inputs(settings: BenchSettings) -> Iterator[Input]:
    """Every input that is asked for; channels_last where the rank has it, one number of threads on CUDA."""
    devices = settings.devices or ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    every = itertools.product(devices, settings.threads, settings.dtypes, settings.shapes, settings.layouts)
    for device, threads, dtype, shape, layout in every:
        if layout == "channels_last" and shape.count("x") + 1 not in LAST:
            continue
        if device == "cuda" and threads != settings.threads[0]:
            continue
        yield Input(shape, layout, dtype, device, threads)


def measure(norm: str, at: Input, settings: BenchSettings, command: str) -> list[Timing] | str:
    """A timing for each kind of pass, or why there is none."""
    channels, rank = at.sizes[at.channel_dim], len(at.sizes)
    own = settings_of(norm, at.channel_dim)
    others, left_out = contenders(norm, channels, rank, at.channel_dim, settings.compile)
    ours: Norm = norms[norm].cls(channels, **own, channel_dim=at.channel_dim)
    ours.set_total_steps(TOTAL_STEPS)
    layers: dict[str, nn.Module] = {OURS: ours, **{name: each.layer for name, each in others.items()}}
    threads_before = torch.get_num_threads()
    torch.set_num_threads(at.threads)
    try:
        x, gradient = at.draw(seed=0), at.draw(seed=1)
        for layer in layers.values():
            # On a CPU the parameters stay in float32, as in mixed precision; on CUDA torch's group norm wants one type.
            layer.to(at.device, x.dtype if at.device == "cuda" else None).train()
        try:
            unchanged = ours(x) is x
        except ValueError as error:
            return str(error)
        if unchanged:
            return "it passes its input through: what it costs is in the layer ahead"
        started = datetime.now(UTC).isoformat(timespec="seconds")
        for name in [name for name in layers if name != OURS]:
            if (problem := _problem(layers[name], x, gradient)) is not None:
                left_out[name] = problem
                del layers[name]
        found = []
        for passes in settings.passes:
            steps = {name: _step(layer, x, gradient, passes) for name, layer in layers.items()}
            target = torch.empty_like(x)
            steps["copy"] = lambda target=target: target.copy_(x)  # type: ignore[misc]
            backward = passes == "forward_backward"
            memory = {name: memory_bytes(layer, x, gradient) for name, layer in layers.items()} if backward else {}
            what = {OURS: type(ours).__qualname__, "copy": "Tensor.copy_"} | {
                name: each.what for name, each in others.items()
            }
            found.append(
                Timing(
                    norm=norm, settings=own, passes=passes, shape=at.shape, layout=at.layout, dtype=at.dtype,
                    device=at.device, threads=at.threads, channel_dim=at.channel_dim, rounds=settings.rounds,
                    allowed=ALLOWED_OF.get(norm, ALLOWED), what={name: what[name] for name in steps},
                    seconds=seconds_in_turns(steps, settings.rounds, at.device), left_out=left_out,
                    memory_bytes=memory, memory_means=MEANING[at.device] if backward else "",
                    environment=describe(at.device, at.threads), command=command, started=started,
                )
            )  # fmt: skip
        return found
    finally:
        torch.set_num_threads(threads_before)


def _step(layer: nn.Module, x: Tensor, gradient: Tensor, passes: str) -> Step:
    if passes == "forward":

        def forward() -> None:
            with torch.no_grad():
                layer(x)

        return forward
    leaf = x.detach().clone(memory_format=torch.preserve_format).requires_grad_()
    parameters = [leaf, *layer.parameters()]

    def forward_and_backward() -> None:
        layer(leaf).backward(gradient)
        for parameter in parameters:
            parameter.grad = None

    return forward_and_backward


def _problem(layer: nn.Module, x: Tensor, gradient: Tensor) -> str | None:
    """Why a contender cannot be timed at this input, as it says itself."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a compiler's remarks are not about what is measured
            _step(layer, x, gradient, "forward")()
            _step(layer, x, gradient, "forward_backward")()
    except Exception as error:  # another library's layer may refuse in any way
        return f"refuses this input ({type(error).__name__})"
    return None
