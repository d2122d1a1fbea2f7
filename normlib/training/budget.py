"""Counts the steps and samples of a run, and its learning rate, from the spec. Never imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

BASE_BATCH_SIZE = 32


def steps_per_epoch(num_train: int, batch_size: int) -> int:
    """Optimizer steps in one pass over the training set. An incomplete last batch is dropped."""
    return num_train // batch_size


def samples_per_step(spec: Mapping[str, Any]) -> int:
    """Samples in one optimizer step, over all batches that it accumulates."""
    return int(spec["data"]["batch_size"]) * int(spec["training"]["accumulate"])


def batch_sizes(forward: int, accumulate: int, site: Mapping[str, Any]) -> dict[str, int]:
    """Samples in an optimizer step, in a forward pass, and in the statistics of a batch-dependent norm."""
    return {"step": forward * accumulate, "forward": forward, "statistics": site["norm_batch_size"] or forward}


def planned_steps(spec: Mapping[str, Any], num_train: int) -> int:
    """Optimizer steps of the whole run: `training.steps`, or else `training.epochs` passes."""
    training = spec["training"]
    if training["steps"] is not None:
        return int(training["steps"])
    return int(training["epochs"]) * steps_per_epoch(num_train, samples_per_step(spec))


def scaled_learning_rate(lr: float, batch_size: int, rule: str) -> float:
    """The peak learning rate at `batch_size`, from the one at batch size 32.

    Sources: arXiv:1706.02677 (linear), arXiv:1404.5997 (sqrt).
    """
    ratio = batch_size / BASE_BATCH_SIZE
    return lr * {"linear": ratio, "sqrt": ratio**0.5, "constant": 1.0}[rule]
