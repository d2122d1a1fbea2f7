"""Timings as tables: one for each kind of pass, type, number of threads and device; a row a norm and input.

In come `Timing`s, out go `Sheet`s for the writers. This file computes ratios through `ratio` and writes nothing.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from typing import Any

from normlib.bench.ratio import CONFIDENCE, NO_SLOWER, SLOWER, UNSURE, ratio
from normlib.bench.record import COMPILED, OURS, TORCH, Timing
from normlib.results.tables.sheet import EMPTY, Cell, Line, Sheet

NUM_LABELS = 4
OTHERS = ("timm", COMPILED, "copy")
WITH_INTERVAL = (TORCH, COMPILED)
PASSES = {"forward": "Forward", "forward_backward": "Forward and backward"}
INPUTS_IN_WORDS = {
    "normal": "mean 0 and deviation 1",
    "shifted": "mean 3 and deviation 1",
    "pixels": "whole numbers from 0 to 255, each as likely",
}


def sheets(timings: Sequence[Timing]) -> list[Sheet]:
    """The tables, those of the same kind together."""
    kinds = dict.fromkeys((t.passes, t.dtype, t.threads, t.device) for t in timings)
    return [
        _sheet(kind, [t for t in timings if (t.passes, t.dtype, t.threads, t.device) == kind]) for kind in sorted(kinds)
    ]


def _sheet(kind: tuple[str, str, int, str], timings: list[Timing]) -> Sheet:
    passes, dtype, threads, device = kind
    place = "CUDA" if device == "cuda" else f"CPU, {threads} thread{'s' if threads > 1 else ''}"
    timed = {name for timing in timings for name in timing.seconds}
    others = tuple(name for name in OTHERS if name in timed)
    header = (
        "norm",
        "shape",
        "inputs",
        "cache",
        "ms",
        "to torch.nn",
        "verdict",
        *(f"to {name}" for name in others),
        "MiB",
        "MiB, torch.nn",
    )
    return Sheet(
        name="cost",
        title=f"{PASSES[passes]}, {dtype}, {place}",
        header=header,
        lines=tuple(Line(t.norm, _cells(t, others)) for t in timings),
        notes=_notes(timings),
        tidy=tuple(line for t in timings for line in _tidy(t)),
        num_labels=NUM_LABELS,
    )


def verdicts_of(timing: Timing) -> dict[str, str]:
    """The verdict beside each contender that the norm may not be slower than."""
    seconds = timing.seconds
    return {name: ratio(seconds[OURS], seconds[name]).verdict(allowed) for name, allowed in timing.allowed.items()}


def _cells(timing: Timing, others: Sequence[str]) -> tuple[Cell, ...]:
    seconds = timing.seconds
    layout = "" if timing.layout == "contiguous" else " last"
    verdicts = verdicts_of(timing).values()
    verdict = next((each for each in (SLOWER, UNSURE, NO_SLOWER) if each in verdicts), EMPTY)
    return (
        Cell(timing.norm),
        Cell(timing.shape.replace("x", "×") + layout),
        Cell(timing.inputs),
        Cell(timing.cache),
        _number(1e3 * _median(seconds[OURS]), 3),
        _ratio(timing, TORCH),
        Cell(verdict, strong=verdict in (SLOWER, UNSURE)),
        *(_ratio(timing, other) for other in others),
        *(_number(_mebibytes(timing, name), 2) for name in (OURS, TORCH)),
    )


def _ratio(timing: Timing, other: str) -> Cell:
    if other not in timing.seconds:
        return Cell(EMPTY)
    found = ratio(timing.seconds[OURS], timing.seconds[other])
    spread = f" ({found.low:.2f}–{found.high:.2f})" if other in WITH_INTERVAL else ""
    return Cell(f"{found.value:.2f}{spread}", found.value)


def _median(seconds: Sequence[Sequence[float]]) -> float:
    return statistics.median(itertools.chain.from_iterable(seconds))


def _number(value: float | None, decimals: int) -> Cell:
    return Cell(EMPTY) if value is None else Cell(f"{value:.{decimals}f}", value)


def _mebibytes(timing: Timing, name: str) -> float | None:
    return timing.memory_bytes[name] / 2**20 if name in timing.memory_bytes else None


def _notes(timings: Sequence[Timing]) -> tuple[str, ...]:
    first = timings[0]
    environment = first.environment
    notes = [
        f"Times are medians of {first.blocks} blocks of {first.rounds} rounds. In a round all contenders run in turns; a block is a pass "
        "over all that is timed, with memory of its own. A block's ratio is the median over its rounds, a ratio the median "
        f"over the blocks; its interval is the one in which the ratio of a second run lies with {100 * CONFIDENCE:.0f} % (Student's t "
        "over blocks).",
        f"Verdict: no slower, if the ratio is at most what is allowed: {_allowed(timings)}; unsure, if its interval reaches below; else "
        "slower. Where two contenders are named, it is the worse.",
        "Inputs: "
        + "; ".join(f"{name}, {INPUTS_IN_WORDS[name]}" for name in dict.fromkeys(t.inputs for t in timings))
        + ".",
        "Cache: warm, a call finds its input where the last one left it" + _cold(timings) + ".",
        "On a CPU with one thread the times are those of the thread, without what other programs took; else those of the clock.",
        "Copy: one reading and one writing of the input, whatever the pass. Last: channels_last in memory.",
    ]
    if means := next((t.memory_means for t in timings if t.memory_means), ""):
        notes.append(f"MiB: {means}.")
    reasons: dict[str, dict[str, list[str]]] = {}
    for timing in timings:
        for name, why in timing.left_out.items():
            reasons.setdefault(name, {}).setdefault(why, []).append(timing.norm)
    for name, by_reason in reasons.items():
        told = (f"{', '.join(dict.fromkeys(norms))}: {why}" for why, norms in by_reason.items())
        notes.append(f"Left out, {name}: {'; '.join(told)}.")
    known = [str(environment[key]) for key in ("cpu", "accelerator", "platform") if environment.get(key)]
    notes.append(f"{', '.join(known)}; torch {environment.get('torch')}, Python {environment.get('python')}.")
    return tuple(notes)


def _allowed(timings: Sequence[Timing]) -> str:
    by_limit: dict[str, list[str]] = {}
    for timing in timings:
        for name, allowed in timing.allowed.items():
            if timing.norm not in by_limit.setdefault(f"{allowed:g} of {name}", []):
                by_limit[f"{allowed:g} of {name}"].append(timing.norm)
    return "; ".join(f"{limit} ({', '.join(norms)})" for limit, norms in by_limit.items()) or "nothing is compared"


def _cold(timings: Sequence[Timing]) -> str:
    sizes = {t.cache_bytes for t in timings if t.cache_bytes is not None}
    if not sizes:
        return ""
    return (
        f"; cold, each call takes another copy of it, and of the gradient, out of a ring of twice the last-level cache ({max(sizes) / 2**20:.0f} MiB), "
        "while parameters and the output's memory are as warm as the last call left them"
    )


def _tidy(timing: Timing) -> list[dict[str, Any]]:
    lines = []
    for name, seconds in timing.seconds.items():
        to_ours = ratio(timing.seconds[OURS], seconds)
        lines.append(
            {
                "norm": timing.norm, "passes": timing.passes, "shape": timing.shape, "layout": timing.layout,
                "dtype": timing.dtype, "device": timing.device, "threads": timing.threads, "contender": name,
                "inputs": timing.inputs, "cache": timing.cache, "copies": timing.copies, "layer": timing.what.get(name),
                "median_seconds": _median(seconds), "min_seconds": min(map(min, seconds)),
                "ratio_of_normlib": to_ours.value, "ratio_low": to_ours.low, "ratio_high": to_ours.high,
                "memory_bytes": timing.memory_bytes.get(name), "blocks": timing.blocks, "rounds": timing.rounds,
            }
        )  # fmt: skip
    return lines
