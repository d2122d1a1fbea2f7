"""Checks that dropout keeps working in every kind of network, and that neither norm, evaluation nor chunking shifts what is dropped."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from normlib.models import models
from normlib.models.site import Sites
from normlib.norms import norms
from normlib.norms.base import Norm
from normlib.training.network import Network, NetworkShape, build_network
from normlib.training.seeding import NetworkStream, drawn_from

CPU = torch.device("cpu")
ARMS = ("batch", "group", "none", "drawing", "turning")
STEPS = 3
DIGITS = NetworkShape((1, 8, 8), 10)


class Drawing(Norm):
    """Draws from the global random numbers whenever it runs."""

    def normalize(self, x: Tensor) -> Tensor:
        return x + 0.1 * torch.randn_like(x)


class Turning(Norm):
    """Hands on another memory format, in which torch's dropout would draw in another order."""

    def forward(self, x: Tensor) -> Tensor:
        return x.contiguous(memory_format=torch.channels_last) if x.dim() == 4 else x


class Dropping(nn.Module):
    """Drops in four ways: by a module, by torch's function, by numpy's numbers and by Python's; keeps what its dropouts kept."""

    def __init__(self, sites: Sites, input_shape: tuple[int, ...], num_outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3, padding=1, bias=False)
        self.site = sites(8, ahead=self.conv)
        self.drop = nn.Dropout(0.5)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.site2 = sites(8, ahead=self.conv2)
        self.classifier = sites.classifier = nn.Linear(8, num_outputs)
        self.kept: list[Any] = []

    def forward(self, x: Tensor) -> Tensor:
        x = self.site(self.conv(x))
        ones = self.drop(torch.ones_like(x))
        x = self.site2(self.conv2(x * ones))
        also = F.dropout(torch.ones_like(x), 0.3, self.training)
        if self.training:
            by_number = float(np.random.rand()), random.random()  # noqa: NPY002
            x = x * (0.5 + by_number[0]) * (0.5 + by_number[1])
            if x.device.type != "meta":
                self.kept.append((ones.detach().contiguous(), also.detach().contiguous(), *by_number))
        return self.classifier((x * also).mean((2, 3)))


@pytest.fixture
def dropping(registered) -> None:
    registered(models, "dropping")(Dropping)
    registered(norms, "drawing")(Drawing)
    registered(norms, "turning")(Turning)


def built(make_run: Callable[..., Any], norm: str, *overrides: str) -> Network:
    run = make_run("model=dropping", f"norm={norm}", *overrides)
    return build_network(run.spec, DIGITS, STEPS)


def kept_in(network: Network, first: int = 0, streams: bool = True) -> list[Any]:
    """What is dropped in passes of training from number `first` on, with an evaluation between any two."""
    if streams:
        network.open_streams(0, CPU)
        hook: Any = next(iter(network.module._forward_pre_hooks.values()))
        hook.__self__.passes = first
    network.module.kept.clear()
    x = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    for _ in range(first, STEPS):
        network.module.train()(x)
        with torch.no_grad():
            network.module.eval()(x)
            network.module.eval()(x)
    return list(network.module.kept)


def same(one: list[Any], other: list[Any]) -> bool:
    return len(one) == len(other) and all(
        torch.equal(torch.as_tensor(a), torch.as_tensor(b))
        for left, right in zip(one, other, strict=True)
        for a, b in zip(left, right, strict=True)
    )


def test_every_arm_drops_the_same(dropping, make_run) -> None:
    kept = {norm: kept_in(built(make_run, norm)) for norm in ARMS}
    assert all(same(kept[norm], kept["batch"]) for norm in ARMS)
    one, two, _ = kept["batch"]
    assert not torch.equal(one[0], two[0]), "and another each time"
    assert 0.3 < float((one[0] == 0).float().mean()) < 0.7
    assert not same(kept["batch"], kept_in(built(make_run, "batch", "seed=1"), streams=False))


def test_without_the_stream_a_norm_would_shift_it(dropping, make_run) -> None:
    """Planted: the same networks, their dropout drawn from the global generators as it comes."""
    kept = []
    for norm in ("batch", "drawing"):
        torch.manual_seed(0), np.random.seed(0), random.seed(0)  # noqa: NPY002
        kept.append(kept_in(built(make_run, norm), streams=False))
    assert not same(*kept)


def test_dropout_sees_one_memory_format_in_every_arm(dropping, make_run) -> None:
    """On some devices dropout draws in the order of the memory, which "turning" would turn about."""
    network, x = built(make_run, "turning"), torch.ones(4, 1, 8, 8)
    formats: list[bool] = []
    network.module.drop.register_forward_hook(lambda _, inputs, output: formats.append(output.is_contiguous()))
    network.module(x)
    network.open_streams(0, CPU)
    network.module(x)
    assert formats == [False, True]


def test_a_training_that_goes_on_drops_what_it_would_have_dropped(dropping, make_run) -> None:
    whole, rest = kept_in(built(make_run, "drawing")), kept_in(built(make_run, "batch"), first=2)
    assert same(whole[2:], rest)


def test_runs_do_not_depend_on_chunks_or_on_other_evaluations(dropping, train) -> None:
    overrides = ("model=dropping", "norm=drawing", "data.batch_size=64", "training.steps=6")
    plain = train(*overrides)
    assert plain.status == "done", plain.reason
    assert train(*overrides, steps_per_chunk=2).metrics == plain.metrics
    settings = ("evaluation.points=1", "evaluation.points=3", "evaluation.statistics=precise")
    once, often, precise = (train(*overrides, "norm=batch", setting) for setting in settings)
    assert often.metrics == once.metrics
    assert once.curves["train"] == precise.curves["train"], "precise statistics are taken from more passes"


def test_the_random_numbers_around_a_pass_are_left_alone(dropping, make_run) -> None:
    network = built(make_run, "batch")
    network.open_streams(0, CPU)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # noqa: NPY002
    network.module.train()(torch.zeros(4, 1, 8, 8))
    with pytest.raises(RuntimeError):
        network.module(torch.zeros(4, 2, 8, 8))  # a pass that fails half way
    after = torch.get_rng_state(), random.getstate(), np.random.get_state()[1]  # noqa: NPY002
    assert torch.equal(before[0], after[0])
    assert before[1] == after[1]
    assert (before[2] == after[2]).all()


def test_what_is_drawn_from_is_found(dropping, make_run) -> None:
    assert built(make_run, "batch").draws == ("torch", "numpy", "python")
    assert drawn_from(0, random.random) == ("python",)
    assert drawn_from(0, lambda: None) == ()
    plain = build_network(make_run("model=convnet", "site.dropout=0.5").spec, DIGITS, 1)
    plain.open_streams(0, CPU)
    assert plain.draws == ()
    assert not plain.module._forward_pre_hooks, "a network without dropout of its own pays nothing"


@pytest.mark.parametrize(
    "device", [pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"))]
)
def test_dropout_on_the_device_is_the_same_for_every_arm(dropping, make_run, device: str) -> None:
    kept = []
    for norm in ("batch", "drawing", "turning"):
        network = built(make_run, norm)
        network.module.to(device)
        network.open_streams(0, torch.device(device))
        for _ in range(2):
            network.module.train()(torch.ones(4, 1, 8, 8, device=device))
        kept.append([(ones.cpu(), also.cpu(), *rest) for ones, also, *rest in network.module.kept])
    assert same(kept[0], kept[1])
    assert same(kept[0], kept[2])
    assert not torch.equal(kept[0][0][0], kept[0][1][0])


def test_a_copy_of_a_network_has_a_stream_of_its_own() -> None:
    import copy

    network = nn.Sequential(nn.Dropout(0.5))
    NetworkStream(0, CPU, ("torch",)).attach(network, [])
    twin, x = copy.deepcopy(network), torch.ones(100)
    first = network(x)
    assert not torch.equal(network(x), first)
    assert torch.equal(twin(x), first)
