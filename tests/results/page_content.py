"""Makes the content of pages for tests: a small comparison with everything that a page can show."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from normlib.results.contents import make_figures
from normlib.results.page import PageContent
from normlib.results.store.frame import frame
from normlib.results.store.record import DIVERGED, FAILED, SKIPPED, Record
from normlib.results.study.question import Question
from normlib.results.study.study import Study
from normlib.results.tables.table import make_tables
from normlib.results.verdicts import details, digests, headline
from tests.results.factories import make_record

HOSTILE = "<script>alert(1)</script>"
IMAGE = """<img src=x onerror="window.harmed=1"> & 'q' </script><!-- &lt;b&gt; <b>bold</b> %{x} $a$"""
NORMS = ("batch", "layer", "group", HOSTILE, IMAGE)
BATCH_SIZES = (2, 8, 128)
POINTS = 4


def records(norms: Sequence[str] = NORMS, models: Sequence[str] = ("mlp", "convnet"), seeds: int = 3) -> list[Record]:
    """Runs of each norm, of which one diverged, one failed and one was skipped."""
    return [
        _record(norm, place, model, batch_size, seed)
        for place, norm in enumerate(norms) for model in models for batch_size in BATCH_SIZES for seed in range(seeds)
    ]  # fmt: skip


def content(runs: Sequence[Record], experiment: str = "page_test", **over: Any) -> PageContent:
    """The content that a report of these records has."""
    study = Study(frame(runs), Question(), {run.id: run.curves for run in runs})
    fields: dict[str, Any] = {
        "experiment": experiment, "study": study, "tables": make_tables(study), "figures": make_figures([study]),
        "headline": headline([study]), "verdicts": digests([study]), "details": details([study]),
        "messages": ["warning: something to know", "something left out"],
        "commands": ["normlib compare experiment=page_test", "normlib report experiment=page_test"],
    }  # fmt: skip
    return PageContent(**(fields | over))


def _record(norm: str, place: int, model: str, batch_size: int, seed: int) -> Record:
    accuracy = (
        0.95 - 0.02 * place - (0.4 / batch_size if norm == "batch" else 0) + 0.003 * math.sin(7 * seed + batch_size)
    )
    if (norm, model, batch_size) == ("layer", "convnet", 2):
        return make_record(
            norm=norm, model=model, batch_size=batch_size, seed=seed, status=SKIPPED, reason="no positions"
        )
    if (norm, batch_size, seed) == (HOSTILE, 8, 0):
        return make_record(
            norm=norm, model=model, batch_size=batch_size, seed=seed, status=FAILED, reason=f"Error: {IMAGE}"
        )
    run = make_record(
        norm=norm, model=model, batch_size=batch_size, seed=seed, accuracy=accuracy,
        status=DIVERGED if (norm, batch_size, seed) == ("group", 128, 0) else "done",
    )  # fmt: skip
    steps = [run.steps * (point + 1) // POINTS for point in range(POINTS)]
    validation = {
        "step": steps,
        "samples": [step * batch_size for step in steps],
        "seconds": [step * 4e-4 for step in steps],
        "loss": [1.0] * POINTS,
        "accuracy": [accuracy * (point + 1) / POINTS for point in range(POINTS)],
    }
    return Record(**{**vars(run), "curves": {**run.curves, "validation": validation}})
