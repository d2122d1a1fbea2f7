"""Evaluation with running, precise, the batch's or weighed statistics: training never notices, and norms without any never differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import normlib
from normlib.data.dataset import Samples
from normlib.models.site import Site
from normlib.training.batches import BatchPlan
from normlib.training.evaluation import evaluation_statistics, precise_batches
from normlib.training.feeding import MemoryFeed
from normlib.training.inputs import make_dataset, make_task, splits_on_device
from normlib.training.network import NetworkShape, build_network
from normlib.training.weights import read_weights

TINY = ("model=mlp", "model.width=8", "model.depth=2", "data.batch_size=8", "training.steps=6", "evaluation.points=3")
WAYS = ("running", "precise", "batch", "weighed")
SETTINGS = {
    "batch": (), "batch_renorm": ("norm.schedule=fraction",),
    "instance": ("norm.track_running_stats=true", "model=convnet", "model.width=4"),
}  # fmt: skip


def overrides(norm: str, way: str, *more: str) -> tuple[str, ...]:
    own = ("evaluation.own_weight=0.5",) if way == "weighed" else ()
    model = [word for word in TINY if "model=convnet" not in SETTINGS.get(norm, ()) or not word.startswith("model")]
    return (f"norm={norm}", *model, *SETTINGS.get(norm, ()), f"evaluation.statistics={way}", *own, *more)


@pytest.mark.parametrize("norm", ["batch", "batch_renorm", "instance"])
def test_training_never_notices(train: Any, norm: str, tmp_path: Path) -> None:
    records, weights = {}, {}
    for way in WAYS:
        records[way] = train(*overrides(norm, way), weights_file=tmp_path / f"{way}.safetensors")
        assert records[way].status == "done", records[way].traceback
        weights[way] = read_weights(tmp_path / f"{way}.safetensors")
    running = records["running"]
    for way in WAYS[1:]:
        assert records[way].id != running.id
        assert records[way].curves["train"] == running.curves["train"]
        assert records[way].hashes == running.hashes and records[way].norm_report == running.norm_report
        assert all(torch.equal(value, weights["running"][name]) for name, value in weights[way].items())
        assert records[way].curves["validation"]["loss"] != running.curves["validation"]["loss"]
        assert records[way].metrics["test"]["samples"] == running.metrics["test"]["samples"]


def test_norms_without_running_statistics_are_evaluated_the_same_every_way(train: Any) -> None:
    for norm in ("layer", "none"):
        running, *others = (train(*overrides(norm, way)) for way in WAYS)
        for other in others:
            assert (
                other.metrics == running.metrics
                and other.curves["validation"]["loss"] == running.curves["validation"]["loss"]
            )


def prepared(make_run: Any, *words: str) -> tuple[Any, Any, Any]:
    run = make_run(*words)
    dataset = make_dataset(run.spec["data"])
    network = build_network(run.spec, NetworkShape.for_task(dataset, make_task(run.spec["task"])), run.planned_steps)
    splits, _ = splits_on_device(run.spec["data"], run.spec["task"], Path("unused"), torch.device("cpu"))
    return run, network, splits


def test_precise_statistics_of_a_run_are_those_of_its_training_samples(make_run: Any) -> None:
    run, network, splits = prepared(
        make_run, *overrides("batch", "precise", "evaluation.precise_samples=100", "site.dropout=0.5")
    )
    norms = [norm for site in network.sites.values() for norm in site.norms]
    batches = list(precise_batches(MemoryFeed(splits), run.spec["seed"], 8, 100))
    assert [len(batch) for batch in batches] == [8] * 12, "an incomplete batch is dropped, as in training"
    module = network.module.eval()
    with torch.no_grad(), evaluation_statistics(module, norms, run.spec["evaluation"], batches):
        layer = next(layer for layer in module.modules() if isinstance(layer, torch.nn.Linear))
        first = torch.cat(batches).double().flatten(1) @ layer.weight.double().T
        torch.testing.assert_close(
            norms[0].running_mean.double(), first.mean(0), rtol=1e-5, atol=1e-6
        )  # a float32 layer
        torch.testing.assert_close(norms[0].running_var.double(), first.var(0), rtol=1e-5, atol=1e-6)
    assert torch.equal(norms[0].running_mean, torch.zeros_like(norms[0].running_mean)) and not norms[0].training


def test_every_time_step_has_a_population_of_its_own() -> None:
    site = Site(4, None, "before", 0.0, steps=3)
    site.install(normlib.BatchNorm(4))

    class Steps(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.site = site

        def forward(self, x: torch.Tensor) -> torch.Tensor:  # (N, C)
            return sum(self.site(x + step, step=step) for step in range(4))

    x = torch.randn(32, 4, generator=torch.Generator().manual_seed(0))
    network, settings = Steps().eval(), {"statistics": "precise"}
    with torch.no_grad(), evaluation_statistics(network, site.norms, settings, x.split(8)):
        means = [norm.running_mean - x.mean(0) for norm in site.norms]
    for mean, expected in zip(means, (0.0, 1.0, 2.5)):  # the last norm serves the steps 2 and 3
        torch.testing.assert_close(mean, torch.full((4,), expected), rtol=0, atol=1e-5)


def test_precise_batches_are_training_samples_once_each_in_an_order_of_their_own() -> None:
    inputs = MemoryFeed({"train": Samples(torch.arange(50), torch.arange(50))})
    batches = torch.cat(list(precise_batches(inputs, 3, 4, 20)))
    assert len(batches) == 20 and len(set(batches.tolist())) == 20
    assert torch.equal(batches, torch.cat(list(precise_batches(inputs, 3, 4, 20))))
    assert not torch.equal(batches, torch.cat(list(precise_batches(inputs, 4, 4, 20))))
    assert not torch.equal(batches, BatchPlan(3, 50, 4, 5).epoch(0).indices.flatten())
    assert len(torch.cat(list(precise_batches(inputs, 3, 4, 10**6)))) == 48, "at most the whole training set"
    assert len(torch.cat(list(precise_batches(inputs, 3, 32, 20)))) == 32, "at least one batch"


def test_parts_are_even_and_spread_over_data_sorted_by_class() -> None:
    def parts_of(classes: torch.Tensor, batch_size: int) -> list[torch.Tensor]:
        return [part.targets for part in MemoryFeed({"train": Samples(classes, classes)}).parts("train", batch_size)]

    classes = torch.arange(10).repeat_interleave(13)  # 130 samples
    parts = parts_of(classes, 32)
    assert sorted(map(len, parts)) == [26] * 5 and sorted(torch.cat(parts).tolist()) == classes.tolist()
    assert all(len(set(part.tolist())) == 10 for part in parts)
    assert [len(part) for part in parts_of(classes[:33], 32)] == [17, 16], "never a batch of one"
    assert torch.equal(parts_of(classes, 512)[0], classes)
