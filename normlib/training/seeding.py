"""Streams of random numbers: every use of randomness has a generator of its own, seeded from (seed, stream name).

The only file that touches global random states, torch's, numpy's and Python's, and only to fence them off.
"""

from __future__ import annotations

import contextlib
import hashlib
import random
from collections.abc import Iterator

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
    before = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    on_gpu = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    number = stream_seed(seed, *stream)
    torch.manual_seed(number)
    np.random.seed(number % 2**32)  # noqa: NPY002  people's own norms may draw from it
    random.seed(number)
    try:
        yield
    finally:
        torch.set_rng_state(before[0])
        np.random.set_state(before[1])  # noqa: NPY002
        random.setstate(before[2])
        if on_gpu:
            torch.cuda.set_rng_state_all(on_gpu)
