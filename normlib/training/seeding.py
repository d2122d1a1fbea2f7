"""Streams of random numbers: every use of randomness has its own generator, seeded from (seed, stream name).

No other file touches the global random states of torch, numpy and Python. This one only isolates them. A network may
draw from them while it runs, as torch's dropout does: `NetworkStream` gives it numbers that no norm can shift.
"""

from __future__ import annotations

import contextlib
import hashlib
import pickle
import random
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

_Generator = tuple[Callable[[], Any], Callable[[Any], Any], Callable[[int], Any]]
"""How to read and write the state of a global generator, and how to start it from a number."""
_GLOBAL: dict[str, _Generator] = {
    "torch": (
        torch.default_generator.get_state,
        torch.default_generator.set_state,
        torch.default_generator.manual_seed,
    ),
    "numpy": (np.random.get_state, np.random.set_state, lambda number: np.random.seed(number % 2**32)),  # noqa: NPY002
    "python": (random.getstate, random.setstate, random.seed),
}
_ON_DEVICE: dict[str, _Generator] = {
    "cuda": (torch.cuda.get_rng_state, torch.cuda.set_rng_state, torch.cuda.manual_seed),
    "mps": (torch.mps.get_rng_state, torch.mps.set_rng_state, torch.mps.manual_seed),
}


def stream_seed(seed: int, *stream: object) -> int:
    """A 63-bit seed for one stream, e.g. ``stream_seed(3, "order", epoch)``. Streams with other names are unrelated."""
    text = "/".join(map(str, (seed, *stream)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *stream: object, device: torch.device | str = "cpu") -> torch.Generator:
    """A torch generator on `device` for one stream."""
    return torch.Generator(device=device).manual_seed(stream_seed(seed, *stream))


@contextlib.contextmanager
def global_stream(seed: int, *stream: object) -> Iterator[None]:
    """Inside the block, the global generators of torch, numpy and Python draw from one stream.

    Their states are restored afterwards.
    """
    before = _read(_GLOBAL.values())
    on_gpu = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    start_global(seed, *stream)
    try:
        yield
    finally:
        _write(_GLOBAL.values(), before)
        if on_gpu:
            torch.cuda.set_rng_state_all(on_gpu)


class Stream:
    """A stream of random numbers that can be entered repeatedly and continues where it was left.

    Inside ``with stream:`` torch (on the CPU), numpy and Python draw from it. Their own states are restored afterwards.
    """

    def __init__(self, seed: int, *stream: object) -> None:
        self.number = stream_seed(seed, *stream)
        self._inside: list[Any] | None = None

    def __enter__(self) -> None:
        self._outside = _read(_GLOBAL.values())
        if self._inside is None:
            for _, _, start in _GLOBAL.values():
                start(self.number)
        else:
            _write(_GLOBAL.values(), self._inside)

    def __exit__(self, *error: object) -> None:
        self._inside = _read(_GLOBAL.values())
        _write(_GLOBAL.values(), self._outside)


def start_global(seed: int, *stream: object) -> None:
    """Start the global generators, also those of the devices, at the beginning of a stream, and leave them there."""
    number = stream_seed(seed, *stream)
    torch.manual_seed(number)
    for _, _, start in _GLOBAL.values():
        start(number)


def drawn_from(seed: int, call: Callable[[], Any]) -> tuple[str, ...]:
    """The global generators that a call draws from: "torch" (on the CPU), "numpy", "python". Restores their states."""
    with global_stream(seed, "examination"):
        before = _read(_GLOBAL.values())
        call()
        after = _read(_GLOBAL.values())
        return tuple(name for name, *states in zip(_GLOBAL, before, after, strict=True) if not _same(*states))


class NetworkStream:
    """A network's own stream for what it draws from global generators in its forward pass, mostly by dropout.

    `draws`: the generators that the network draws from, as `drawn_from` names them. "torch" includes the generator of
    `device`. Each forward pass in training starts them at (seed, number of the pass). So the numbers do not depend on
    where a training was interrupted or how its steps were grouped. Each pass in evaluation starts them at one fixed
    place.

    Inside norms the generators are as outside the network. A norm's output gets the memory format of its input, because
    dropout draws in that order. So no norm shifts what is dropped. `passes` counts the passes in training, which are
    those with gradients. Whoever continues a training sets it.
    """

    def __init__(self, seed: int, device: torch.device, draws: Collection[str]) -> None:
        self.seed, self.draws = seed, tuple(draws)
        self.on_device = device.type if "torch" in draws and device.type in _ON_DEVICE else None
        self.passes = 0
        self._outside: list[Any] = []
        self._inside: list[Any] = []

    @property
    def _generators(self) -> list[_Generator]:
        """Not stored: a network that holds generators could not be copied."""
        return [*(_GLOBAL[name] for name in self.draws), *([_ON_DEVICE[self.on_device]] if self.on_device else [])]

    def attach(self, network: nn.Module, places_of_norms: Iterable[nn.Module]) -> None:
        """Make the network draw from this stream from now on, except inside `places_of_norms`."""
        network.register_forward_pre_hook(self._enter)
        network.register_forward_hook(self._leave, always_call=True)
        for place in places_of_norms:
            place.register_forward_pre_hook(self._enter_norm)
            place.register_forward_hook(self._leave_norm, always_call=True)

    def _enter(self, network: nn.Module, inputs: Any) -> None:
        self._outside = _read(self._generators)
        in_training = network.training and torch.is_grad_enabled()
        number = stream_seed(self.seed, "dropout", "network", self.passes if in_training else "evaluation")
        self.passes += in_training
        for _, _, start in self._generators:
            start(number)

    def _leave(self, network: nn.Module, inputs: Any, output: Any) -> None:
        _write(self._generators, self._outside)

    def _enter_norm(self, place: nn.Module, inputs: Any) -> None:
        self._inside = _read(self._generators)
        _write(self._generators, self._outside)

    def _leave_norm(self, place: nn.Module, inputs: Any, output: Any) -> Any:
        self._outside = _read(self._generators)
        _write(self._generators, self._inside)
        if isinstance(output, torch.Tensor) and output.shape == inputs[0].shape:
            return _in_format_of(inputs[0], output)
        return None


def _read(generators: Iterable[_Generator]) -> list[Any]:
    return [read() for read, _, _ in generators]


def _write(generators: Iterable[_Generator], states: Iterable[Any]) -> None:
    for (_, write, _), state in zip(generators, states, strict=True):
        write(state)


def _same(one: Any, other: Any) -> bool:
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else pickle.dumps(one) == pickle.dumps(other)


def _in_format_of(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """`y` in the memory format of `x`, which has the same shape."""
    if y.stride() == x.stride():
        return y
    laid_out = torch.empty_like(x, dtype=y.dtype, requires_grad=False)
    return y if laid_out.stride() == y.stride() else laid_out.copy_(y)
