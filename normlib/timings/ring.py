"""Where the tensors of a block lie: copies of an input in a ring, and memory that is allocated again for every block.

In come tensors, out go their copies. With a warm cache the ring is one copy; with a cold one it is twice as large as the
last-level cache, so that no call finds its input, gradient or their tensor objects in a cache. What a layer keeps for itself
(parameters, code, the memory of its output) is as warm as its last call left it. This file times nothing.
"""

from __future__ import annotations

import ctypes
import random
import re
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

CPU_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
CACHES_IN_A_RING = 2  # a cache that does not evict strictly the oldest may keep some of a ring as large as itself
MOST_COPIES = 2**17
"""So many tensors take about a second to make, and as much memory for their objects as the largest caches have."""
UNITS = {"K": 2**10, "M": 2**20}
SPACERS, LARGEST_SPACER = 8, 2**16


def last_level_cache_bytes(device: str) -> int | None:
    """The size of the cache nearest to memory: CUDA's L2, or what Linux tells of the first processor; None where it cannot be read."""
    if device == "cuda":
        return int(torch.cuda.get_device_properties().L2_cache_size)
    found = []
    for path in CPU_CACHES.glob("index*/size"):
        if size := re.fullmatch(r"(\d+)([KM])", path.read_text(encoding="ascii").strip()):  # 32768K
            found.append(int(size[1]) * UNITS[size[2]])
    return max(found, default=None)


def number_of_copies(input_bytes: int, cache: str, cache_bytes: int | None) -> int:
    """How many copies of an input a ring has. ValueError, in words for the user, where a cold one cannot be made."""
    if cache == "warm":
        return 1
    if cache_bytes is None:
        raise ValueError(
            "the system does not tell the size of its last-level cache, which a cold one needs; use bench.caches=[warm]"
        )
    copies = max(2, -(-CACHES_IN_A_RING * cache_bytes // input_bytes))
    if copies > MOST_COPIES:
        least = CACHES_IN_A_RING * cache_bytes // MOST_COPIES
        raise ValueError(
            f"a cold cache of {cache_bytes / 2**20:.0f} MiB would need {copies:,} copies of this input, more than {MOST_COPIES:,}; "
            f"use bench.caches=[warm], or a shape of {least:,} bytes or more"
        )
    return copies


def ring(x: Tensor, copies: int, leaves: bool) -> list[Tensor]:
    """`copies` tensors like `x`, each with memory of its own; `leaves` take gradients."""
    made = [x.detach().clone(memory_format=torch.preserve_format) for _ in range(copies)]
    return [copy.requires_grad_() for copy in made] if leaves else made


def move_to_new_memory(layers: Iterable[nn.Module], block: int) -> list[Tensor]:
    """Allocate memory again for a block, as another run would. Keep the result until the block is timed.

    What is free goes back to the system, which gives other pages for it; spacers shift what is allocated next against its
    pages and cache lines; parameters and buffers move. It is such places, more than noise, that one run differs by from the next.
    """
    if hasattr(trim := _c_library(), "malloc_trim"):
        trim.malloc_trim(0)
    sizes = random.Random(block)
    spacers = []
    for layer in layers:
        spacers += [torch.empty(sizes.randrange(LARGEST_SPACER), dtype=torch.uint8) for _ in range(SPACERS)]
        for tensor in (*layer.parameters(), *layer.buffers()):
            tensor.data = tensor.data.clone(memory_format=torch.preserve_format)
    return spacers


def _c_library() -> object:
    try:
        return ctypes.CDLL(None)
    except (OSError, TypeError):  # no C library to open by that name, as on Windows
        return None
