"""The first part of a run: data, task, network and streams, from the spec and its seed. Nothing depends on the norm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from normlib.data.dataset import Dataset, Samples
from normlib.tasks.task import Task
from normlib.training.batches import BatchPlan
from normlib.training.budget import samples_per_step, scaled_learning_rate
from normlib.training.environment import PeakMemory
from normlib.training.evaluation import precise_batches
from normlib.training.feeding import Feed, LoaderFeed, MemoryFeed
from normlib.training.inputs import NetworkShape, make_dataset, make_task, splits_on_device, streamed_splits
from normlib.training.network import Network, build_network
from normlib.training.pretrained import fit_norms
from normlib.training.schedule import learning_rate_factors
from normlib.training.spec import Run


@dataclass(frozen=True)
class Setup:
    """A run that is ready to be fitted.

    `factors`: one factor of `peak_learning_rate` for each optimizer step. `onednn`: whether convolutions on a CPU use
    oneDNN. `memory` counts from after the data are loaded.
    """

    run: Run
    device: torch.device
    dataset: Dataset
    task: Task
    plan: BatchPlan
    feed: Feed
    data_hash: str
    network: Network
    factors: tuple[float, ...]
    peak_learning_rate: float
    onednn: bool
    memory: PeakMemory

    @property
    def spec(self) -> Mapping[str, Any]:
        return self.run.spec


def set_up(run: Run, data_dir: Path) -> Setup:
    """Load the data, check them against the task, build and fill the network, and put both on the run's device.

    Raises DataError for data that the task does not take, and ValueError for settings that the model or the norm
    refuses.
    """
    spec = run.spec
    data, optimizer = spec["data"], spec["optimizer"]
    device = torch.device(spec["accelerator"])
    dataset, task = make_dataset(data), make_task(spec["task"])
    feed, data_hash = _feed(spec, dataset, task, data_dir, device)
    task.metrics_on(dataset)
    task.prepare(feed.examples())
    memory = PeakMemory(spec["accelerator"])
    plan = BatchPlan(
        spec["seed"], dataset.sizes["train"], samples_per_step(spec), run.planned_steps, data["flip"], data["crop"]
    )
    network = build_network(spec, NetworkShape.for_task(dataset, task), run.planned_steps)
    network.module.to(device)
    if spec["norm"].get("fit_on_batches"):
        _fit(network, feed, spec, device)
    network.open_streams(spec["seed"], device)
    onednn = spec["training"]["onednn"]
    return Setup(
        run=run,
        device=device,
        dataset=dataset,
        task=task,
        plan=plan,
        feed=feed,
        data_hash=data_hash,
        network=network,
        factors=learning_rate_factors(spec["schedule"], run.planned_steps),
        peak_learning_rate=scaled_learning_rate(optimizer["lr"], samples_per_step(spec), optimizer["lr_rule"]),
        onednn=network.prefers_onednn(data["batch_size"]) if onednn is None else onednn,
        memory=memory,
    )


def _fit(network: Network, feed: Feed, spec: Mapping[str, Any], device: torch.device) -> None:
    """Fit scales and shifts on training inputs, in an order of their own and without targets."""
    assert network.reference is not None and network.start is not None
    kept = set(network.start.kept_norms)
    names = {site: name for name, site in network.sites.items()}
    places = {site: place for site, place in network.replaced.items() if names[site] not in kept}
    batch_size = spec["data"]["batch_size"]
    batches = precise_batches(feed, spec["seed"], batch_size, batch_size * spec["norm"]["fit_on_batches"])
    if places:
        fit_norms(network.module, places, network.reference.to(device), torch.cat(list(batches)))


def _feed(
    spec: Mapping[str, Any], dataset: Dataset, task: Task, data_dir: Path, device: torch.device
) -> tuple[Feed, str]:
    """The splits, in memory or through a loader as the dataset asks, and the hash of their content."""
    if dataset.streamed:
        streams, data_hash = streamed_splits(spec["data"], data_dir)

        def check(samples: Samples, split: str) -> None:
            task.check_samples(samples, dataset, split)

        return LoaderFeed(streams, spec["seed"], device, dataset.workers, check), data_hash
    splits, data_hash = splits_on_device(spec["data"], spec["task"], data_dir, device)
    return MemoryFeed(splits), data_hash
