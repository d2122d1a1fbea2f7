"""Makes the records of an experiment with tuning: two arms, trials on seeds of their own, and evaluation of both views."""

from __future__ import annotations

from typing import Any

from normlib.results.store.record import Record
from tests.results.factories import make_record

FIRST_TRIAL = 1_000_000
RATE, DEPTH = "optimizer.lr", "model.depth"
VALUES = {RATE: (0.1, 1.0), DEPTH: (2, 4)}
"""Of each axis the fixed value, which is the best of group, and the best of batch."""


def tuned_run(norm: str, seed: int, value: float, stage: str | None, accuracy: float = 0.8, axis: str = RATE, **over: Any) -> Record:  # fmt: skip
    """One run; without a stage it is of a comparison that tunes nothing."""
    labels = {"norm": norm, "model": "mlp", "data": "digits"} | ({"stage": stage, "tuning": axis} if stage else {})
    section, _, key = axis.partition(".")
    rest = {"optimizer": {"name": "sgd"}, "model": {"name": "mlp", "width": 128}}[section]
    return make_record(
        norm=norm, seed=seed, accuracy=accuracy, labels=labels, spec={section: {**rest, key: value}}, **over
    )


def trials_of(norm: str, best: float, axis: str = RATE, number: int = 2, **over: Any) -> list[Record]:
    """The trials of one arm, of which the value `best` scores more."""
    return [
        tuned_run(norm, FIRST_TRIAL + seed, value, "trial", 0.9 if value == best else 0.7, axis, **over)
        for value in VALUES[axis] for seed in range(number)
    ]  # fmt: skip


def tuned_records(axis: str = RATE, seeds: int = 3) -> list[Record]:
    """Group chooses the fixed value, batch the other one, where it scores 95 % instead of 80 %."""
    fixed, other = VALUES[axis]
    return [
        *trials_of("batch", other, axis), *trials_of("group", fixed, axis),
        *(tuned_run(norm, seed, fixed, "fixed", 0.8, axis) for norm in ("batch", "group") for seed in range(seeds)),
        *(tuned_run("batch", seed, other, "tuned", 0.95, axis) for seed in range(seeds)),
    ]  # fmt: skip
