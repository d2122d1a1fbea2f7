"""Checks that an optimizer built before a conversion goes on after it: right groups, right options, right state."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

import normlib
from normlib.norms import norms
from normlib.norms.base import Norm
from tests.conversion.networks import draw

OPTIMIZERS: dict[str, Callable[[Any], Optimizer]] = {
    "sgd": lambda groups: SGD(groups, lr=0.1, momentum=0.9),
    "adamw": lambda groups: AdamW(groups, lr=0.01),
    "adamw, one by one": lambda groups: AdamW(groups, lr=0.01, foreach=False),
}


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 8), nn.RMSNorm(8), nn.Linear(8, 2))


def is_of_norm(name: str) -> bool:
    return name.split(".")[0] in ("1", "4")


def grouped(model: nn.Module) -> list[dict[str, Any]]:
    """Weights with decay; norms without, at a rate of their own."""
    named = list(model.named_parameters())
    return [
        {"params": [p for name, p in named if not is_of_norm(name)], "weight_decay": 0.1},
        {"params": [p for name, p in named if is_of_norm(name)], "weight_decay": 0.0, "lr": 0.02},
    ]


def step(model: nn.Module, optimizer: Optimizer, seed: int) -> None:
    optimizer.zero_grad()
    model(draw(8, 3, seed=seed)).square().mean().backward()
    optimizer.step()


def in_groups(optimizer: Optimizer) -> list[set[int]]:
    return [{id(p) for p in group["params"]} for group in optimizer.param_groups]


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_new_parameters_join_the_norms_and_the_rest_goes_on(kind: str) -> None:
    model = network()
    optimizer = OPTIMIZERS[kind](grouped(model))
    for seed in range(3):
        step(model, optimizer, seed)
    weight = model[4].weight
    state = copy.deepcopy(optimizer.state[weight])
    normlib.convert(model, "group", num_groups=2, optimizer=optimizer)
    assert model[4].weight is weight  # RMS norm had no shift: that of group norm is new
    assert in_groups(optimizer) == [{id(p) for p in group["params"]} for group in grouped(model)]
    assert all(torch.equal(torch.as_tensor(v), torch.as_tensor(state[k])) for k, v in optimizer.state[weight].items())
    before = copy.deepcopy(model.state_dict())
    step(model, optimizer, 3)
    step(model, optimizer, 4)
    assert all(not torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert optimizer.state[model[4].bias]
    assert normlib.conversion_report(model).optimizer == ("1 new parameters joined group 1",)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_parameters_that_vanish_leave_with_their_state_and_the_step_is_that_of_a_new_optimizer(kind: str) -> None:
    model = network()
    optimizer = OPTIMIZERS[kind](grouped(model))
    step(model, optimizer, 0)
    normlib.convert(model, "none", optimizer=optimizer)
    there = {id(p) for p in model.parameters()}
    assert in_groups(optimizer) == [there, set()] and {id(p) for p in optimizer.state} <= there
    assert normlib.conversion_report(model).optimizer == ("3 parameters left, with their state",)
    twin = copy.deepcopy(model)
    fresh = OPTIMIZERS[kind](grouped(twin))
    fresh.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for seed in (1, 2):
        step(model, optimizer, seed)
        step(twin, fresh, seed)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), twin.parameters(), strict=True))


def test_carried_parameters_step_as_if_nothing_had_happened() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    other = copy.deepcopy(model)
    pairs = [(m, OPTIMIZERS["sgd"](m.parameters())) for m in (model, other)]
    for m, optimizer in pairs:
        step(m, optimizer, 0)
    normlib.convert(model, "batch", optimizer=pairs[0][1])
    for m, optimizer in pairs:
        step(m, optimizer, 1)
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)  # the same formula by another kernel


def test_a_scheduler_goes_on() -> None:
    model = network()
    optimizer = OPTIMIZERS["sgd"](grouped(model))
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    normlib.convert(model, "none", optimizer=optimizer)
    step(model, optimizer, 0)
    scheduler.step()
    assert [group["lr"] for group in optimizer.param_groups] == [0.05, 0.01]


def test_named_parameters_keep_their_names_beside_them() -> None:
    model = network()
    try:
        optimizer = SGD(model.named_parameters(), lr=0.1)
    except TypeError:
        pytest.skip("this torch's optimizers take no names")
    normlib.convert(model, "group", optimizer=optimizer)
    (group,) = optimizer.param_groups
    names = dict(model.named_parameters())
    assert {name: id(p) for name, p in zip(group["param_names"], group["params"], strict=True)} == {
        name: id(p) for name, p in names.items()
    }


def test_parameters_that_were_not_trained_get_no_company() -> None:
    model = network()
    optimizer = SGD(model[5].parameters(), lr=0.1)
    before = in_groups(optimizer)
    normlib.convert(model, "group", optimizer=optimizer)
    assert in_groups(optimizer) == before


def test_norms_without_parameters_ask_the_others_for_their_group() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4, elementwise_affine=False), nn.LayerNorm(4))
    optimizer = SGD([{"params": model[0].parameters()}, {"params": model[2].parameters()}], lr=0.1)
    normlib.convert(model, "group", optimizer=optimizer, affine=True)
    assert in_groups(optimizer)[1] == {id(p) for p in [*model[1].parameters(), *model[2].parameters()]}


def test_where_nothing_tells_the_group_the_model_stays_as_it_was() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4, elementwise_affine=False), nn.Linear(4, 2))
    optimizer = SGD([{"params": model[0].parameters()}, {"params": model[2].parameters()}], lr=0.1)
    layer, before = model[1], in_groups(optimizer)
    with pytest.raises(ValueError, match=r"1.weight is a new parameter .* groups \[0, 1\].*build the optimizer after"):
        normlib.convert(model, "group", optimizer=optimizer, affine=True)
    assert model[1] is layer and in_groups(optimizer) == before


def test_a_parameter_that_is_used_elsewhere_stays(registered: Callable[..., Any]) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.LayerNorm(3)
            self.scale = self.norm.weight

        def forward(self, x: Tensor) -> Tensor:
            return self.norm(x) * self.scale

    model = Tied()
    optimizer = SGD(model.parameters(), lr=0.1)
    normlib.convert(model, "none", optimizer=optimizer)
    assert in_groups(optimizer) == [{id(model.scale)}]


def test_scales_and_shifts_in_different_groups_stay_apart(registered: Callable[..., Any]) -> None:
    @registered(norms, "own_pair")
    class OwnPair(Norm):
        starts_at = {"weight": 0.0, "bias": 1.0}

        def __init__(self, num_features: int) -> None:
            super().__init__(num_features)

        def normalize(self, x: Tensor) -> Tensor:
            return x

    model = nn.Sequential(nn.BatchNorm1d(3))
    optimizer = SGD([{"params": [model[0].bias]}, {"params": [model[0].weight]}], lr=0.1)
    normlib.convert(model, "own_pair", optimizer=optimizer)
    assert in_groups(optimizer) == [{id(model[0].bias)}, {id(model[0].weight)}]
