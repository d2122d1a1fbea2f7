"""Steps, samples and the learning rate of a run, counted from its spec. Never imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

BASE_BATCH_SIZE = 32


def steps_per_epoch(num_train: int, batch_size: int) -> int:
    """Optimizer steps in one pass over the training set; an incomplete last batch is dropped."""
    return num_train // batch_size


def samples_per_step(spec: Mapping[str, Any]) -> int:
    """Samples that one optimizer step sees: the batches that it accumulates, together."""
    return int(spec["data"]["batch_size"]) * int(spec["training"]["accumulate"])


def batch_sizes(forward: int, accumulate: int, site: Mapping[str, Any]) -> dict[str, int]:
    """Samples of an optimizer step, of a forward pass, and of what a batch-dependent norm takes statistics over."""
    return {"step": forward * accumulate, "forward": forward, "statistics": site["norm_batch_size"] or forward}


def planned_steps(spec: Mapping[str, Any], num_train: int) -> int:
    """Optimizer steps of the whole run: `training.steps`, or `training.epochs` passes."""
    training = spec["training"]
    if training["steps"] is not None:
        return int(training["steps"])
    return int(training["epochs"]) * steps_per_epoch(num_train, samples_per_step(spec))


def scaled_learning_rate(lr: float, batch_size: int, rule: str) -> float:
    """The peak learning rate at `batch_size`, from the one at batch size 32 (linear: arXiv:1706.02677; sqrt: arXiv:1404.5997)."""
    ratio = batch_size / BASE_BATCH_SIZE
    return lr * {"linear": ratio, "sqrt": ratio**0.5, "constant": 1.0}[rule]
