"""Timings as tables: one for each kind of pass, type, number of threads and device; a row a norm and input.

In come `Timing`s, out go `Sheet`s for the writers. This file computes ratios through `ratio` and writes nothing.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from normlib.bench.ratio import CONFIDENCE, SLOWER, UNSURE, ratio
from normlib.bench.record import OURS, TORCH, Timing
from normlib.results.sheet import EMPTY, Entry, Line, Sheet

NUM_LABELS = 2
OTHERS = ("timm", "compiled", "copy")
PASSES = {"forward": "Forward", "forward_backward": "Forward and backward"}


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
        "input",
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
        lines=tuple(Line(t.norm, _entries(t, others)) for t in timings),
        notes=_notes(timings),
        tidy=tuple(line for t in timings for line in _tidy(t)),
        num_labels=NUM_LABELS,
    )


def _entries(timing: Timing, others: Sequence[str]) -> tuple[Entry, ...]:
    seconds = timing.seconds
    layout = "" if timing.layout == "contiguous" else " last"
    verdict = EMPTY
    if TORCH in seconds:
        verdict = ratio(seconds[OURS], seconds[TORCH]).verdict(timing.allowed)
    return (
        Entry(timing.norm),
        Entry(timing.shape.replace("x", "×") + layout),
        _number(1e3 * statistics.median(seconds[OURS]), 2),
        _ratio(timing, TORCH),
        Entry(verdict, strong=verdict in (SLOWER, UNSURE)),
        *(_ratio(timing, other) for other in others),
        *(_number(_mebibytes(timing, name), 2) for name in (OURS, TORCH)),
    )


def _ratio(timing: Timing, other: str) -> Entry:
    if other not in timing.seconds:
        return Entry(EMPTY)
    found = ratio(timing.seconds[OURS], timing.seconds[other])
    spread = f" ({found.low:.2f}–{found.high:.2f})" if other == TORCH else ""
    return Entry(f"{found.median:.2f}{spread}", found.median)


def _number(value: float | None, decimals: int) -> Entry:
    return Entry(EMPTY) if value is None else Entry(f"{value:.{decimals}f}", value)


def _mebibytes(timing: Timing, name: str) -> float | None:
    return timing.memory_bytes[name] / 2**20 if name in timing.memory_bytes else None


def _notes(timings: Sequence[Timing]) -> tuple[str, ...]:
    first = timings[0]
    environment = first.environment
    notes = [
        f"Times are medians of {first.rounds} rounds; a ratio is the median over the rounds of the ratio within a round, in which all "
        f"contenders run in turns, with its {100 * CONFIDENCE:.0f} % interval (sign test).",
        "Verdict: no slower, if that ratio is at most "
        + " or ".join(f"{allowed:g}" for allowed in sorted({t.allowed for t in timings}))
        + (" (batch_renorm, for which batch norm is the nearest)" if len({t.allowed for t in timings}) > 1 else "")
        + "; unsure, if its interval reaches below; else slower.",
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


def _tidy(timing: Timing) -> list[dict[str, Any]]:
    lines = []
    for name, seconds in timing.seconds.items():
        to_ours = ratio(timing.seconds[OURS], seconds)
        lines.append(
            {
                "norm": timing.norm, "passes": timing.passes, "shape": timing.shape, "layout": timing.layout,
                "dtype": timing.dtype, "device": timing.device, "threads": timing.threads, "contender": name,
                "layer": timing.what.get(name), "median_seconds": statistics.median(seconds), "min_seconds": min(seconds),
                "ratio_of_normlib": to_ours.median, "ratio_low": to_ours.low, "ratio_high": to_ours.high,
                "memory_bytes": timing.memory_bytes.get(name), "rounds": timing.rounds,
            }
        )  # fmt: skip
    return lines
