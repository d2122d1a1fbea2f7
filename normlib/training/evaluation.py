"""Evaluation: the scores of a network on a split, and which statistics its norms normalize with meanwhile.

In come a network in evaluation mode, samples and the settings, out go scores. This file trains nothing, and afterwards the
network is as it was.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from normlib.data.dataset import Samples
from normlib.norms.population import measure_population, population_in_place, stateful_norms
from normlib.training.seeding import generator


@contextlib.contextmanager
def evaluation_statistics(
    network: nn.Module, norms: Sequence[nn.Module], settings: Mapping[str, Any], batches: Iterable[Tensor]
) -> Iterator[None]:
    """Normalize with `settings["statistics"]` inside; `batches` are what precise statistics are taken from."""
    stateful: list[Any] = [inner for norm in norms for inner in stateful_norms(norm)]
    which = settings["statistics"]
    if which == "precise" and stateful:
        with population_in_place(measure_population(network, stateful, batches)):
            yield
        return
    before = [norm.statistics for norm in stateful]
    if which in ("batch", "weighed"):
        for norm in stateful:
            norm.own_weight = settings["own_weight"]
            norm.statistics = which
    try:
        yield
    finally:
        for norm, statistics in zip(stateful, before, strict=True):
            norm.statistics = statistics


def precise_batches(inputs: Tensor, seed: int, batch_size: int, num_samples: int) -> Iterator[Tensor]:
    """Training inputs (n, ...) in whole batches, not augmented, in an order of their own: about `num_samples`, at most all."""
    order = torch.randperm(len(inputs), generator=generator(seed, "precise statistics")).to(inputs.device)
    num_batches = max(1, min(num_samples, len(inputs)) // batch_size)
    for number in range(num_batches):
        yield inputs[order[number * batch_size : (number + 1) * batch_size]]


def parts_of(samples: Tensor, batch_size: int) -> Iterator[Tensor]:
    """Samples in as many parts as batches of `batch_size` need, all of about the same size.

    Every part is spread over all samples, so that data sorted by class do not make batches of one class each.
    """
    num_parts = -(-len(samples) // batch_size)
    return (samples[start::num_parts] for start in range(num_parts))


def score(network: nn.Module, samples: Samples, batch_size: int) -> dict[str, float | None]:
    """Mean cross-entropy (None if it is not finite), accuracy and number of samples."""
    loss = torch.zeros((), dtype=torch.float64)
    correct = 0
    parts = zip(parts_of(samples.inputs, batch_size), parts_of(samples.targets, batch_size), strict=True)
    for inputs, targets in parts:
        logits: Tensor = network(inputs).float()
        loss += F.cross_entropy(logits, targets, reduction="sum").double().cpu()
        correct += int((logits.argmax(1) == targets).sum())
    mean = loss.item() / len(samples)
    return {
        "loss": mean if math.isfinite(mean) else None,
        "accuracy": correct / len(samples),
        "samples": len(samples),
    }
