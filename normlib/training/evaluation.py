"""Scores a network on a split, and chooses the statistics that its norms use meanwhile.

In: a network in evaluation mode, samples and settings. Out: scores. Afterwards the network is as it was.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from normlib.data.dataset import Samples
from normlib.norms.population import measure_population, population_in_place, stateful_norms
from normlib.results.store.record import finite_or_none
from normlib.tasks.task import Task
from normlib.training.feeding import Feed
from normlib.training.seeding import generator


@contextlib.contextmanager
def evaluation_statistics(
    network: nn.Module, norms: Sequence[nn.Module], settings: Mapping[str, Any], batches: Iterable[Tensor]
) -> Iterator[None]:
    """Normalize with `settings["statistics"]` inside the block. Precise statistics are computed from `batches`."""
    stateful: list[Any] = [inner for norm in norms for inner in stateful_norms(norm)]
    wanted = settings["statistics"]
    if wanted == "precise" and stateful:
        with population_in_place(measure_population(network, stateful, batches)):
            yield
        return
    before = [norm.statistics for norm in stateful]
    if wanted in ("batch", "weighed"):
        for norm in stateful:
            norm.own_weight = settings["own_weight"]
            norm.statistics = wanted
    try:
        yield
    finally:
        for norm, statistics in zip(stateful, before, strict=True):
            norm.statistics = statistics


def precise_batches(feed: Feed, seed: int, batch_size: int, num_samples: int) -> Iterator[Tensor]:
    """Training inputs in whole batches, without augmentation, in an order of their own.

    They are about `num_samples`, and at most all.
    """
    num_train = feed.sizes["train"]
    order = torch.randperm(num_train, generator=generator(seed, "precise statistics"))
    num_batches = max(1, min(num_samples, num_train) // batch_size)
    for number in range(num_batches):
        yield feed.train_inputs(order[number * batch_size : (number + 1) * batch_size])


def score(network: nn.Module, task: Task, parts: Iterable[Samples]) -> dict[str, float | None]:
    """The task's metrics over all parts (None if not finite), and the number of samples."""
    totals: dict[str, Tensor] = {}
    for samples in parts:
        sums = task.sums(network(samples.inputs), samples.targets)
        totals = {name: totals[name] + value if name in totals else value for name, value in sums.items()}
    totals = {name: value.cpu() for name, value in totals.items()}
    figures = {name: finite_or_none(value) for name, value in task.figures(totals).items()}
    return figures | {"samples": int(totals["samples"])}
