"""Checks optimizers, learning-rate rules and milestones, and a whole run against a plain loop of torch's own parts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from normlib.data.digits import Digits
from normlib.training.batches import BatchPlan
from normlib.training.budget import scaled_learning_rate
from normlib.training.inputs import splits_on_device
from normlib.training.network import NetworkShape, build_network
from normlib.training.optimizer import make_optimizer
from normlib.training.settings import OPTIMIZERS, RULES
from normlib.training.step_loop import milestones
from normlib.training.weights import read_weights

SMALL = ("model.width=8", "model.depth=2")


def optimizer_and_names(make_run, *overrides: str):
    """The optimizer of a small MLP with batch norm, and the names of the parameters in each of its groups."""
    run = make_run(*SMALL, *overrides)
    network = build_network(run.spec, NetworkShape((1, 8, 8), 10), total_steps=1)
    optimizer = make_optimizer(network.module, network.norm_parameter_names, run.spec["optimizer"], 0.25)
    names = {id(parameter): name for name, parameter in network.module.named_parameters()}
    return optimizer, [{names[id(p)] for p in group["params"]} for group in optimizer.param_groups], network


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_norm_parameters_decay_only_where_decay_norm_says_so(name: str, make_run) -> None:
    optimizer, groups, network = optimizer_and_names(make_run, f"optimizer={name}", "optimizer.weight_decay=0.1")
    assert groups == [
        set(dict(network.module.named_parameters())) - network.norm_parameter_names,
        set(network.norm_parameter_names),
    ]
    assert network.norm_parameter_names == {f"sites.{i}.norm.{p}" for i in range(2) for p in ("weight", "bias")}
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.0]
    optimizer, groups, network = optimizer_and_names(
        make_run, f"optimizer={name}", "optimizer.weight_decay=0.1", "optimizer.decay_norm=true"
    )
    assert groups == [set(dict(network.module.named_parameters()))]
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1]


def test_the_sites_shifts_count_as_norm_parameters(make_run) -> None:
    _, groups, _ = optimizer_and_names(make_run, "norm=none", "optimizer.weight_decay=0.1")
    assert groups[1] == {"sites.0.shift", "sites.1.shift"}


@pytest.mark.parametrize("overrides", [("optimizer.weight_decay=0",), ("optimizer.weight_decay=0.1",)])
def test_every_parameter_is_in_one_group(overrides: tuple[str, ...], make_run) -> None:
    _, groups, network = optimizer_and_names(make_run, *overrides)
    everything = [name for group in groups for name in group]
    assert sorted(everything) == sorted(dict(network.module.named_parameters()))


def test_settings_reach_the_optimizer(make_run) -> None:
    sgd, _, _ = optimizer_and_names(make_run, "optimizer.momentum=0.8", "optimizer.nesterov=true")
    assert type(sgd) is torch.optim.SGD
    assert {sgd.defaults[key] for key in ("momentum",)} == {0.8}
    assert sgd.defaults["nesterov"] is True
    assert sgd.defaults["lr"] == 0.25
    adamw, _, _ = optimizer_and_names(
        make_run, "optimizer=adamw", "optimizer.beta1=0.8", "optimizer.beta2=0.95", "optimizer.eps=1e-6"
    )
    assert type(adamw) is torch.optim.AdamW
    assert (adamw.defaults["betas"], adamw.defaults["eps"]) == ((0.8, 0.95), 1e-6)
    assert [group["weight_decay"] for group in adamw.param_groups] == [1e-2, 0.0]


def test_the_learning_rate_follows_the_batch_size_by_its_rule() -> None:
    rates = {rule: [scaled_learning_rate(0.1, size, rule) for size in (2, 32, 128)] for rule in RULES}
    assert rates == {
        "linear": pytest.approx([0.1 / 16, 0.1, 0.4]),
        "sqrt": pytest.approx([0.025, 0.1, 0.2]),
        "constant": pytest.approx([0.1, 0.1, 0.1]),
    }


@pytest.mark.parametrize(
    ("total", "points", "expected"),
    [
        (10, 1, {10}),
        (10, 2, {5, 10}),
        (10, 3, {4, 7, 10}),
        (3, 20, {1, 2, 3}),
        (1, 1, {1}),
        (20, 20, set(range(1, 21))),
    ],
)
def test_milestones_are_spread_evenly_and_end_with_the_run(total: int, points: int, expected: set[int]) -> None:
    assert milestones(total, points) == expected


@pytest.mark.parametrize(
    "overrides",
    [
        ("optimizer.weight_decay=0.01", "optimizer.nesterov=true"),
        ("optimizer=adamw", "optimizer.lr=0.01", "data.crop=1", "data.flip=true"),
    ],
    ids=["sgd", "adamw"],
)
def test_a_run_is_a_plain_loop_over_the_planned_batches(
    overrides: tuple[str, ...], make_run, train, tmp_path: Path
) -> None:
    """Rate, gradient, decay and order of a run, from torch's own layers, optimizer and one-cycle schedule."""
    overrides = (*SMALL, "norm=none", "data.batch_size=300", "training.steps=10", *overrides)
    run = make_run(*overrides)
    settings = run.spec["optimizer"]
    record = train(*overrides, weights_file=tmp_path / "weights.safetensors")
    trained = read_weights(tmp_path / "weights.safetensors")

    start = build_network(run.spec, NetworkShape((1, 8, 8), 10), total_steps=10).module.state_dict()
    weights = {name: value.clone().requires_grad_() for name, value in start.items()}
    groups = [
        {"params": [value for name, value in weights.items() if "shift" not in name]},
        {"params": [value for name, value in weights.items() if "shift" in name], "weight_decay": 0.0},
    ]
    peak = settings["lr"] * (300 / 32) ** {"linear": 1, "sqrt": 0.5}[settings["lr_rule"]]
    if settings["name"] == "sgd":
        optimizer = torch.optim.SGD(groups, lr=1.0, momentum=0.9, nesterov=True, weight_decay=0.01)
    else:
        optimizer = torch.optim.AdamW(groups, lr=1.0, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, peak, total_steps=10, cycle_momentum=False)
    splits, _ = splits_on_device(run.spec["data"], run.spec["task"], tmp_path, torch.device("cpu"))
    plan = BatchPlan(0, Digits.sizes["train"], 300, 10, run.spec["data"]["flip"], run.spec["data"]["crop"])
    losses = []
    for epoch in range(plan.num_epochs):
        for indices, flips, shifts in _steps(plan.epoch(epoch)):
            x = splits["train"].inputs[indices]
            if flips is not None:
                x = torch.stack([image.flip(-1) if flip else image for image, flip in zip(x, flips)])
                x = torch.stack([
                    F.pad(image, (1, 1, 1, 1))[:, row : row + 8, column : column + 8]
                    for image, (row, column) in zip(x, shifts.tolist())
                ])  # fmt: skip
            x = x.flatten(1)
            for layer in range(2):
                x = torch.relu(x @ weights[f"layers.{layer}.weight"].T + weights[f"sites.{layer}.shift"])
            logits = x @ weights["classifier.weight"].T + weights["classifier.bias"]
            loss = F.cross_entropy(logits, splits["train"].targets[indices])
            losses.append(loss.item())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if len(losses) < 10:
                schedule.step()
    assert record.curves["train"]["step"] == list(range(1, 11))
    # Ten steps of float32 in another order of summation: losses of order one, to some hundred roundings of 6e-8.
    assert record.curves["train"]["loss"] == pytest.approx(losses, abs=1e-5)
    assert trained.keys() == weights.keys()
    for name, value in trained.items():
        # AdamW divides by the size of the gradient, so that of a gradient near zero the rounding shows whole.
        assert torch.allclose(value, weights[name], rtol=0, atol=1e-5 if settings["name"] == "sgd" else 1e-3), name
    assert losses[-1] < losses[0]


def _steps(chunk):
    for step in range(len(chunk.indices)):
        yield tuple(None if part is None else part[step] for part in chunk)


def test_decay_of_norm_parameters_moves_them(train, tmp_path: Path) -> None:
    weights = {}
    for decay_norm in ("false", "true"):
        file = tmp_path / f"{decay_norm}.safetensors"
        train(
            *SMALL,
            "training.steps=3",
            "optimizer.weight_decay=0.5",
            f"optimizer.decay_norm={decay_norm}",
            weights_file=file,
        )
        weights[decay_norm] = read_weights(file)["sites.0.norm.weight"]
    assert (weights["true"] < weights["false"]).all()


def test_specs_are_plain_enough_for_json(make_run) -> None:
    spec = make_run(*SMALL).spec
    assert json.loads(json.dumps(spec)) == spec
