"""Timings as tables: one for each kind of pass, type, device and number of threads; a row a norm and input.

In: `Timing`s. Out: `Table`s, and the table of the CSV, which has a row a contender. Ratios come from ratio.py.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Iterable, Sequence

from normlib.results.study.metrics import EMPTY
from normlib.results.tables.model import Column, Row, Table
from normlib.timings.ratio import CONFIDENCE, NO_SLOWER, SLOWER, UNSURE, ratio
from normlib.timings.record import COMPILED, OURS, TORCH, Timing

OTHERS = ("timm", COMPILED, "copy")
WITH_INTERVAL = (TORCH, COMPILED)
PASSES = {"forward": "Forward", "forward_backward": "Forward and backward"}
INPUTS_IN_WORDS = {
    "normal": "mean 0 and deviation 1",
    "shifted": "mean 3 and deviation 1",
    "pixels": "whole numbers from 0 to 255, all equally likely",
}


def tables(timings: Sequence[Timing]) -> list[Table]:
    """The tables, those of the same kind of pass together."""
    return [_table(own) for own in _by_kind(timings)]


def entries(timings: Sequence[Timing]) -> Table:
    """What the CSV holds: a row a timing and contender, unrounded."""
    rows = []
    for timing in itertools.chain.from_iterable(_by_kind(timings)):
        for name, seconds in timing.seconds.items():
            to_contender = ratio(timing.seconds[OURS], seconds)
            rows.append({
                "norm": timing.norm, "passes": timing.passes, "shape": timing.shape, "layout": timing.layout,
                "dtype": timing.dtype, "device": timing.device, "threads": timing.threads, "contender": name,
                "inputs": timing.inputs, "cache": timing.cache, "copies": timing.copies, "layer": timing.what.get(name),
                "median_seconds": _median(seconds), "min_seconds": min(map(min, seconds)),
                "ratio_of_normlib": to_contender.value, "ratio_low": to_contender.low, "ratio_high": to_contender.high,
                "memory_bytes": timing.memory_bytes.get(name), "blocks": timing.blocks, "rounds": timing.rounds,
            })  # fmt: skip
    return Table(name="cost", title="Timings", rows=rows)


def verdicts_of(timing: Timing) -> dict[str, str]:
    """The verdict for each contender that has a largest ratio allowed."""
    seconds = timing.seconds
    return {name: ratio(seconds[OURS], seconds[name]).verdict(allowed) for name, allowed in timing.allowed.items()}


def _by_kind(timings: Sequence[Timing]) -> list[list[Timing]]:
    def kind(timing: Timing) -> tuple[str, str, int, str]:
        return timing.passes, timing.dtype, timing.threads, timing.device

    return [list(own) for _, own in itertools.groupby(sorted(timings, key=kind), kind)]


def _table(timings: list[Timing]) -> Table:
    first, timed = timings[0], {name for timing in timings for name in timing.seconds}
    place = "CUDA" if first.device == "cuda" else f"CPU, {first.threads} thread{'s' if first.threads > 1 else ''}"
    return Table(
        name="cost",
        title=f"{PASSES[first.passes]}, {first.dtype}, {place}",
        columns=(
            Column("norm", "norm", label=True),
            Column("shape", lambda t: t.shape.replace("x", "×") + ("" if t.layout == "contiguous" else " last"), label=True),
            Column("inputs", "inputs", label=True),
            Column("cache", "cache", label=True),
            Column("ms", lambda t: 1e3 * _median(t.seconds[OURS]), "{:.3f}"),
            _ratio_column(TORCH),
            Column("verdict", _verdict, strong=lambda t: _verdict(t) in (SLOWER, UNSURE)),
            *(_ratio_column(name) for name in OTHERS if name in timed),
            *(_memory_column(heading, name) for heading, name in (("MiB", OURS), ("MiB, torch.nn", TORCH))),
        ),
        rows=timings,
        notes=_notes(timings),
        in_terminal=True,
    )  # fmt: skip


def _verdict(timing: Row) -> str:
    """The worst of the verdicts."""
    verdicts = verdicts_of(timing).values()
    return next((each for each in (SLOWER, UNSURE, NO_SLOWER) if each in verdicts), EMPTY)


def _ratio_column(other: str) -> Column:
    def figure(timing: Row) -> float | None:
        return ratio(timing.seconds[OURS], timing.seconds[other]).value if other in timing.seconds else None

    def text(timing: Row) -> str:
        if other not in timing.seconds:
            return EMPTY
        found = ratio(timing.seconds[OURS], timing.seconds[other])
        return f"{found.value:.2f}" + (f" ({found.low:.2f}–{found.high:.2f})" if other in WITH_INTERVAL else "")

    return Column(f"to {other}", figure, text)


def _memory_column(heading: str, name: str) -> Column:
    return Column(heading, lambda t: t.memory_bytes[name] / 2**20 if name in t.memory_bytes else None, "{:.2f}")


def _median(seconds: Sequence[Sequence[float]]) -> float:
    return statistics.median(itertools.chain.from_iterable(seconds))


def _notes(timings: Sequence[Timing]) -> tuple[str, ...]:
    first, environment = timings[0], timings[0].environment
    inputs = "; ".join(f"{name}, {INPUTS_IN_WORDS[name]}" for name in dict.fromkeys(t.inputs for t in timings))
    allowed = _grouped((f"{most:g} of {name}", t.norm) for t in timings for name, most in t.allowed.items())
    cold = max((t.cache_bytes for t in timings if t.cache_bytes is not None), default=None)
    warm_or_cold = "Cache: warm, a call finds its input where the last one left it."
    if cold is not None:
        warm_or_cold += (
            " Cold, each call takes another copy of the input, and of the gradient, from a ring of twice the last-level cache "
            f"({cold / 2**20:.0f} MiB). Parameters and the output's memory are as warm as the last call left them."
        )
    notes = [
        f"Times are medians of {first.blocks} blocks of {first.rounds} rounds. In a round all contenders run in turns. A block is a "
        "pass over all that is timed, with memory of its own. A block's ratio is the median over its rounds, and a ratio the median "
        f"over the blocks. Its interval holds the ratio of a second run with a probability of {100 * CONFIDENCE:.0f} % (Student's t over blocks).",
        "Verdict: no slower, if the ratio is at most the allowed one; unsure, if it is larger but its interval reaches the allowed "
        "one; else slower. Where there are two contenders, the worse verdict counts. Allowed: "
        + ("; ".join(f"{limit} ({norms})" for limit, norms in allowed.items()) or "nothing is compared")
        + ".",
        f"Inputs: {inputs}.",
        warm_or_cold,
        "On a CPU with one thread, times are those of the thread, without what other programs took. Elsewhere they are those of the "
        "clock.",
        "Copy: the input is read once and written once, whatever the pass. Last: channels_last in memory.",
    ]
    if means := next((t.memory_means for t in timings if t.memory_means), ""):
        notes.append(f"MiB: {means}.")
    left_out = dict.fromkeys(name for t in timings for name in t.left_out)
    for name in left_out:
        reasons = _grouped((t.left_out[name], t.norm) for t in timings if name in t.left_out)
        notes.append(f"Left out, {name}: {'; '.join(f'{norms}: {why}' for why, norms in reasons.items())}.")
    known = [str(environment[key]) for key in ("cpu", "accelerator", "platform") if environment.get(key)]
    notes.append(f"{', '.join(known)}; torch {environment.get('torch')}, Python {environment.get('python')}.")
    return tuple(notes)


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """By the first of each pair, the different second ones as a list in words."""
    found: dict[str, dict[str, None]] = {}
    for key, each in pairs:
        found.setdefault(key, {})[each] = None
    return {key: ", ".join(each) for key, each in found.items()}
