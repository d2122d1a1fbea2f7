"""Timing in turns: steps that are to be compared run one after the other, round after round, in one process.

In come functions without arguments, out go seconds per call, in every round. A machine that is busy for a while slows all of
a round alike, so that ratios within a round hold; and where one thread runs, it is that thread's own time that counts, not the
time that other programs had the processor. This file knows no norm.
"""

from __future__ import annotations

import ctypes
import gc
import time
from collections.abc import Callable, Mapping

import torch

Step = Callable[[], object]

SECONDS_OF_A_TURN = 0.004
"""A turn repeats a step for about as long: long beside a clock's tick, short beside what else the machine does."""
WARM_UP = 3
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc
LARGEST_MMAP_THRESHOLD = 32 * 2**20  # the most that glibc takes
TRIM_THRESHOLD = 2**30


def keep_freed_memory() -> bool:
    """Have glibc keep what is freed; False where there is no glibc.

    Otherwise it gives the memory of large tensors back to the system and asks for it again at the next step, or does not, depending
    on the order in which they were freed: page faults that cost as much as a pass over memory, in one layer and not in the other.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGEST_MMAP_THRESHOLD) and mallopt(M_TRIM_THRESHOLD, TRIM_THRESHOLD))


def seconds_in_turns(steps: Mapping[str, Step], rounds: int, device: str) -> dict[str, list[float]]:
    """Seconds per call of each step in every round; the order turns around from round to round."""
    clock = _seconds_on_cuda if device == "cuda" else _seconds_on_cpu
    repeats = {}
    for name, step in steps.items():
        for _ in range(WARM_UP):
            step()
        repeats[name] = max(1, round(SECONDS_OF_A_TURN / max(clock(step, 1), 1e-9)))
    taken: dict[str, list[float]] = {name: [] for name in steps}
    collects = gc.isenabled()
    gc.disable()
    try:
        for index in range(rounds):
            for name in list(steps)[:: 1 if index % 2 == 0 else -1]:
                taken[name].append(clock(steps[name], repeats[name]) / repeats[name])
    finally:
        if collects:
            gc.enable()
    return taken


def _seconds_on_cpu(step: Step, repeats: int) -> float:
    clock = time.thread_time if torch.get_num_threads() == 1 else time.perf_counter
    start = clock()
    for _ in range(repeats):
        step()
    return clock() - start


def _seconds_on_cuda(step: Step, repeats: int) -> float:
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda.synchronize()
    start.record()
    for _ in range(repeats):
        step()
    end.record()
    torch.cuda.synchronize()
    return float(start.elapsed_time(end)) / 1e3  # of milliseconds
