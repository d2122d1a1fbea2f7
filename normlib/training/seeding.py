"""Streams of random numbers: every use of randomness has a generator of its own, seeded from (seed, stream name).

The only file that touches torch's global random state, and only to fence it off.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator

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
    """Seed torch's global generators from one stream inside the block, and put the CPU's back afterwards."""
    before = torch.get_rng_state()
    torch.manual_seed(stream_seed(seed, *stream))
    try:
        yield
    finally:
        torch.set_rng_state(before)
