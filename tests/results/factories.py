"""Makes records for tests: sound in every key, small, with numbers that follow from the arguments alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from normlib.results.store.frame import frame
from normlib.results.store.record import DIVERGED, DONE, Record
from normlib.results.study.question import Question
from normlib.results.study.study import Study
from normlib.results.tables.means import Means, comparison, main
from normlib.results.tables.table import Table
from normlib.tasks.metric import Metric

TRAIN_SAMPLES = 1296
ACCURACY = Metric("accuracy", "%", step=1.0)
BITS = Metric("bits_per_character", "bits", higher_is_better=False)
R2 = Metric("r2", title="R²")
LOSS = Metric("loss", "nats", higher_is_better=False, title="cross-entropy")
METRICS = (ACCURACY, BITS, R2)
"""A share, one of which less is better, and one without bounds."""


def digest(*parts: Any) -> str:
    """16 hexadecimal digits that stand for the parts."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def make_record(
    *,
    norm: str = "batch",
    model: str = "mlp",
    batch_size: int = 32,
    seed: int = 0,
    accuracy: float = 0.9,
    metric: Metric = ACCURACY,
    status: str = DONE,
    epochs: int = 5,
    control: bool = False,
    norm_settings: dict[str, Any] | None = None,
    spec: dict[str, Any] | None = None,
    **over: Any,
) -> Record:
    """One record; `accuracy` is the figure of its main metric. `spec` replaces whole sections or scalars of the spec, `over` any field of the record.

    Trunk, batches, schedule and data hashes follow from everything but the norm, as in real runs.
    """
    sections: dict[str, Any] = {
        "norm": {"name": norm, "eps": 1e-5, **({"gamma_noise": 1e-6} if control else {}), **(norm_settings or {})},
        "model": {"name": model, "depth": 6, "width": 128 if model == "mlp" else 16},
        "data": {"name": "digits", "batch_size": batch_size, "split_seed": 0, "flip": False, "crop": 0},
        "site": {"activation": "relu", "placement": "before", "dropout": 0.0, "norm_batch_size": None},
        "optimizer": {"name": "sgd", "lr": 0.1, "lr_rule": "linear", "momentum": 0.9, "weight_decay": 0.0},
        "schedule": {"name": "one_cycle", "warmup": 0.3},
        "task": {"name": "classification", "label_smoothing": 0.0},
        "training": {"epochs": epochs, "steps": None, "precision": "32", "gradient_clip": None, "accumulate": 1},
        "evaluation": {"points": 3, "batch_size": 512},
        "seed": seed,
        "accelerator": "cpu",
        "threads": 1,
        **(spec or {}),
    }
    code = {"norm": digest("norm", norm), "model": digest("model", model), "data": digest("d"), "training": digest("t")}
    code = over.pop("code", code)
    outside_norm = {key: value for key, value in sections.items() if key != "norm"}
    steps = epochs * (TRAIN_SAMPLES // batch_size)
    values: dict[str, Any] = {
        "id": digest(sections, code),
        "experiment": "small_batch",
        "status": status,
        "command": f"normlib train norm={norm} model={model} data=digits data.batch_size={batch_size} seed={seed}",
        "labels": {"norm": norm, "model": model, "data": "digits", "task": "classification", "optimizer": "sgd"},
        "spec": sections,
        "code": code,
        "data_version": "1",
        "control": control,
        "metric_facts": [metric.facts(), LOSS.facts()],
        "planned_steps": steps,
        "started": "2025-01-01T10:00:00+00:00",
        "ended": "2025-01-01T10:00:02+00:00",
        "environment": {"python": "3.11.7", "torch": "2.6.0", "cpu": "a processor", "threads": 1, "commit": None},
    }
    if status in (DONE, DIVERGED):
        loss = None if status == DIVERGED else round(1 - accuracy, 4)
        values |= {
            "hashes": {
                "trunk": digest("trunk", outside_norm["model"], seed),
                "batches": [digest("batches", batch_size, seed, epoch) for epoch in range(epochs)],
                "schedule": digest("schedule", outside_norm["schedule"], steps),
                "data": digest("data", outside_norm["data"]["name"]),
            },
            "metrics": {
                split: {metric.name: accuracy, "loss": loss, "samples": 250} for split in ("train", "validation", "test")
            },
            "norm_report": {"r_max": 3.0, "clipped": 0.25} if norm == "batch_renorm" else {},
            "steps": steps,
            "samples": steps * batch_size,
            "seconds_training": steps * 4e-4,
            "seconds_per_step": 4e-4,
            "samples_per_second": batch_size / 4e-4,
            "peak_memory_bytes": 250_000_000,
            "parameters": {"trunk": 92_682, "norm": 0 if norm == "none" else 1536},
            "batch_sizes": {"step": batch_size, "forward": batch_size, "statistics": batch_size},
            "state_size": 1542 if norm.startswith("batch") else 0,
            "curves": {
                "train": {"step": [1, steps], "loss": [2.3, loss]},
                "validation": {"step": [steps], "samples": [steps * batch_size], "seconds": [steps * 4e-4],
                               "loss": [loss], metric.name: [accuracy]},
            },
        }  # fmt: skip
    if status == DIVERGED:
        values["reason"] = "the loss was no longer finite at step 7"
    return Record(**(values | over))


def study_of(records: Iterable[Record], **question: Any) -> Study:
    """The study of the records; keywords are those of `Question`."""
    records = list(records)
    return Study(frame(records), Question(**question), {record.id: record.curves for record in records})


def tables_of(records: Iterable[Record], **question: Any) -> list[Means]:
    """The means of the records, a section each."""
    return comparison(study_of(records, **question))


def main_tables(records: Iterable[Record], **question: Any) -> list[Table]:
    """The main tables of the records."""
    return main(study_of(records, **question))
