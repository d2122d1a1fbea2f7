"""Streams of random numbers: every use of randomness has a generator of its own, seeded from (seed, stream name).

The only file that touches global random states, torch's, numpy's and Python's, and only to fence them off.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch


def stream_seed(seed: int, *stream: object) -> int:
    """A 63-bit seed for one stream, e.g. ``stream_seed(3, "order", epoch)``; streams of other names are unrelated."""
    text = "/".join(map(str, (seed, *stream)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *stream: object, device: torch.device | str = "cpu") -> torch.Generator:
    """A torch generator on `device` for one stream."""
    return torch.Generator(device=device).manual_seed(stream_seed(seed, *stream))


@contextlib.contextmanager
def global_stream(seed: int, *stream: object) -> Iterator[None]:
    """Seed the global generators of torch, numpy and Python from one stream inside the block, and put them back afterwards."""
    before = _read_global()
    on_gpu = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    start_global(seed, *stream)
    try:
        yield
    finally:
        _write_global(before)
        if on_gpu:
            torch.cuda.set_rng_state_all(on_gpu)


class Stream:
    """A stream of random numbers that is entered again and again and goes on where it was left.

    ``with stream:`` has torch (on the CPU), numpy and Python draw from it, and puts their generators back afterwards.
    """

    def __init__(self, seed: int, *stream: object) -> None:
        self.number = stream_seed(seed, *stream)
        self._inside: tuple[Any, Any, Any] | None = None

    def __enter__(self) -> None:
        self._outside = _read_global()
        if self._inside is None:
            torch.default_generator.manual_seed(self.number)
            np.random.seed(self.number % 2**32)  # noqa: NPY002
            random.seed(self.number)
        else:
            _write_global(self._inside)

    def __exit__(self, *error: object) -> None:
        self._inside = _read_global()
        _write_global(self._outside)


def start_global(seed: int, *stream: object) -> None:
    """Start the global generators, those of the devices too, at the beginning of a stream, and leave them there."""
    number = stream_seed(seed, *stream)
    torch.manual_seed(number)
    np.random.seed(number % 2**32)  # noqa: NPY002
    random.seed(number)


def _read_global() -> tuple[Any, Any, Any]:
    return torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002


def _write_global(states: tuple[Any, Any, Any]) -> None:
    torch.set_rng_state(states[0])
    np.random.set_state(states[1])  # noqa: NPY002
    random.setstate(states[2])
