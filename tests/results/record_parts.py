"""Makes parts of records for tests: the curves of a run, and the split of its data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def curves_of(
    figures: Sequence[float | None], steps: Sequence[int] = (10, 20), seconds: float = 1.0, name: str = "accuracy"
) -> dict[str, Any]:
    """A record's curves with these figures of a metric on validation at the first of these steps, at batch size 32."""
    steps = list(steps[: len(figures)])
    return {
        "train": {"step": steps, "loss": [2.0 / step for step in steps]},
        "validation": {
            "step": steps, "samples": [32 * step for step in steps], "seconds": [seconds * step for step in steps],
            "loss": [0.1] * len(steps), name: list(figures),
        },
    }  # fmt: skip


def split(batch_size: int, split_seed: int) -> dict[str, Any]:
    """The data section of a spec, for `make_record(spec={"data": ...})`."""
    return {"name": "digits", "batch_size": batch_size, "split_seed": split_seed, "flip": False, "crop": 0}
