"""Timings as tables: one for each kind of pass, type, number of threads and device; a row a norm and input.

In come `Timing`s, out go `Table`s for the renderers. This file computes ratios through `ratio` and writes nothing.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from typing import Any

from normlib.bench.ratio import CONFIDENCE, NO_SLOWER, SLOWER, UNSURE, ratio
from normlib.bench.record import COMPILED, OURS, TORCH, Timing
from normlib.results.study.metrics import EMPTY
from normlib.results.tables.model import Column, Table

OTHERS = ("timm", COMPILED, "copy")
WITH_INTERVAL = (TORCH, COMPILED)
PASSES = {"forward": "Forward", "forward_backward": "Forward and backward"}
INPUTS_IN_WORDS = {
    "normal": "mean 0 and deviation 1",
    "shifted": "mean 3 and deviation 1",
    "pixels": "whole numbers from 0 to 255, each as likely",
}


def tables(timings: Sequence[Timing]) -> list[Table]:
    """The tables, a row a timing, those of the same kind together."""
    kinds = dict.fromkeys((t.passes, t.dtype, t.threads, t.device) for t in timings)
    return [
        _table(kind, [t for t in timings if (t.passes, t.dtype, t.threads, t.device) == kind]) for kind in sorted(kinds)
    ]


def entries(timings: Sequence[Timing]) -> Table:
    """What the CSV holds: a row a timing and contender."""
    return Table(name="cost", rows=[row for timing in timings for row in _entries(timing)])


def _table(kind: tuple[str, str, int, str], timings: list[Timing]) -> Table:
    passes, dtype, threads, device = kind
    place = "CUDA" if device == "cuda" else f"CPU, {threads} thread{'s' if threads > 1 else ''}"
    timed = {name for timing in timings for name in timing.seconds}
    return Table(
        name="cost",
        title=f"{PASSES[passes]}, {dtype}, {place}",
        columns=(
            Column("norm", "norm", label=True),
            Column("shape", _shape, label=True),
            Column("inputs", "inputs", label=True),
            Column("cache", "cache", label=True),
            Column("ms", lambda timing: 1e3 * _median(timing.seconds[OURS]), "{:.3f}"),
            _ratio_to(TORCH, "to torch.nn"),
            Column("verdict", _verdict, strong=lambda timing: _verdict(timing) in (SLOWER, UNSURE)),
            *(_ratio_to(name, f"to {name}") for name in OTHERS if name in timed),
            Column("MiB", lambda timing: _mebibytes(timing, OURS), "{:.2f}"),
            Column("MiB, torch.nn", lambda timing: _mebibytes(timing, TORCH), "{:.2f}"),
        ),
        rows=timings,
        notes=_notes(timings),
        in_terminal=True,
    )


def verdicts_of(timing: Timing) -> dict[str, str]:
    """The verdict beside each contender that the norm may not be slower than."""
    seconds = timing.seconds
    return {name: ratio(seconds[OURS], seconds[name]).verdict(allowed) for name, allowed in timing.allowed.items()}


def _shape(timing: Timing) -> str:
    return timing.shape.replace("x", "×") + ("" if timing.layout == "contiguous" else " last")


def _verdict(timing: Timing) -> str:
    """The worst verdict beside any contender."""
    found = verdicts_of(timing).values()
    return next((each for each in (SLOWER, UNSURE, NO_SLOWER) if each in found), EMPTY)


def _ratio_to(other: str, heading: str) -> Column:
    def text(timing: Timing) -> str:
        if other not in timing.seconds:
            return EMPTY
        found = ratio(timing.seconds[OURS], timing.seconds[other])
        return f"{found.value:.2f}" + (f" ({found.low:.2f}–{found.high:.2f})" if other in WITH_INTERVAL else "")

    def value(timing: Timing) -> float | None:
        return ratio(timing.seconds[OURS], timing.seconds[other]).value if other in timing.seconds else None

    return Column(heading, value, text)


def _median(seconds: Sequence[Sequence[float]]) -> float:
    return statistics.median(itertools.chain.from_iterable(seconds))


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


def _entries(timing: Timing) -> list[dict[str, Any]]:
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
