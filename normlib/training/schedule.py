"""The shape of the learning rate over a run, as factors of its peak. Pure functions of the step."""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

START_FACTOR = 1 / 25  # OneCycleLR's div_factor
END_FACTOR = START_FACTOR / 1e4  # OneCycleLR's final_div_factor


def learning_rate_factors(schedule: Mapping[str, Any], total_steps: int) -> tuple[float, ...]:
    """One factor of the peak learning rate for each of `total_steps` optimizer steps."""
    return _factors(schedule["name"], schedule.get("warmup", 0.0), total_steps)


def shape_hash(factors: tuple[float, ...]) -> str:
    """16 hexadecimal digits for the schedule's shape, which paired runs must share."""
    return hashlib.sha256(np.asarray(factors, dtype="<f8").tobytes()).hexdigest()[:16]


@functools.lru_cache(maxsize=64)
def _factors(name: str, warmup: float, total_steps: int) -> tuple[float, ...]:
    if name == "constant":
        return (1.0,) * total_steps
    if name == "cosine":
        return tuple(_cosine(step, warmup * total_steps, total_steps) for step in range(total_steps))
    return tuple(_one_cycle(step, warmup * total_steps - 1, total_steps - 1) for step in range(total_steps))


def _cosine(step: int, warmup_steps: float, total_steps: int) -> float:
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    return _between(1.0, 0.0, (step - warmup_steps) / (total_steps - warmup_steps))


def _one_cycle(step: int, peak: float, last: int) -> float:
    """As OneCycleLR, with fractional steps: a warm-up of less than a step peaks before step 0, at `peak` < 0."""
    if step <= peak:
        return _between(START_FACTOR, 1.0, step / peak if peak else 1.0)  # torch divides by zero here
    return _between(1.0, END_FACTOR, (step - peak) / (last - peak))


def _between(start: float, end: float, share: float) -> float:
    """From `start` to `end` along half a cosine."""
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))
