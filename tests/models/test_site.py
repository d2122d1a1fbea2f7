"""Checks a site: norm and activation in the order of `placement`, the shift, activations, gains, and dropout's own stream."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch import Tensor, nn

from normlib.models.site import ACTIVATIONS, GAINS, Site, Sites
from normlib.norms import norms
from normlib.norms.base import Norm
from normlib.settings import settings_in
from normlib.training.network import NetworkShape, build_network
from normlib.training.settings import SiteSettings

X = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(0))

CHOICES = settings_in(SiteSettings)


class Doubling(nn.Module):
    """Stands for a norm: times two, plus one."""

    bias = "of its own"

    def forward(self, x: Tensor) -> Tensor:
        return 2 * x + 1


class Shiftless(Doubling):
    bias = None


@pytest.mark.parametrize("activation", CHOICES["activation"].choices)
def test_placement_puts_the_norm_before_or_after_the_activation(activation: str) -> None:
    f = ACTIVATIONS[activation]
    before, after = Site(3, activation, "before", 0.0), Site(3, activation, "after", 0.0)
    for site in (before, after):
        site.install(Doubling())
    assert torch.equal(before(X), f(2 * X + 1))
    assert torch.equal(after(X), 2 * f(X) + 1)
    assert not torch.equal(before(X), after(X))


@pytest.mark.parametrize("placement", CHOICES["placement"].choices)
def test_a_norm_without_a_shift_gets_one_at_once_behind_it(placement: str) -> None:
    site = Site(3, "tanh", placement, 0.0)
    site.install(Shiftless())
    assert site.shift is not None
    assert torch.equal(site.shift, torch.zeros(3))
    nn.init.constant_(site.shift, 0.5)
    expected = torch.tanh(2 * X + 1.5) if placement == "before" else 2 * torch.tanh(X) + 1.5
    assert torch.allclose(
        site(X), expected, rtol=0, atol=1e-6
    )  # 2x + 1 + 0.5 against 2x + 1.5: a rounding of values below 8


def test_a_norm_with_a_shift_of_its_own_gets_none() -> None:
    site = Site(3, "relu", "before", 0.0)
    site.install(Doubling())
    assert site.shift is None
    assert list(site.parameters()) == []


def test_the_choices_of_activation_are_those_there_are() -> None:
    assert set(CHOICES["activation"].choices) == set(ACTIVATIONS) == set(GAINS)


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_activations_and_gains_are_torchs(activation: str) -> None:
    module = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "gelu": nn.GELU}[activation]()
    assert torch.equal(ACTIVATIONS[activation](X), module(X))
    # torch has no gain for gelu, which starts as relu does.
    assert math.isclose(GAINS[activation], nn.init.calculate_gain("relu" if activation == "gelu" else activation))


def test_a_layer_starts_with_the_gain_of_the_activation_that_follows(make_run) -> None:
    for activation, gain in GAINS.items():
        run = make_run("model=mlp", "model.width=256", "model.depth=2", f"site.activation={activation}")
        network = build_network(run.spec, NetworkShape((1, 8, 8), 10), total_steps=1)
        weights = network.module.layers[1].weight.detach()  # 65,536 values
        # The deviation of n normal values is right to 1/sqrt(2n) = 0.3 %; five times that.
        assert math.isclose(float(weights.std()), gain / math.sqrt(256), rel_tol=0.015)
        assert not network.module.classifier.bias.any()
        assert math.isclose(
            float(network.module.classifier.weight.detach().std()), 1 / 16, rel_tol=0.07
        )  # 2,560 values: 1.4 %, times 5


def test_a_site_that_only_normalizes_has_neither_activation_nor_dropout_nor_gain() -> None:
    sites, layer = Sites(activation="tanh", dropout=0.5), nn.Conv2d(3, 3, 1, bias=False)
    site = sites(3, ahead=layer, activation=False)
    site.dropout_stream = torch.Generator().manual_seed(0)
    site.install(Doubling())
    assert torch.equal(site(X), 2 * X + 1)
    assert layer not in sites.gains


def masks(norm: str, make_run, placement: str = "before", seed: int = 0) -> list[Tensor]:
    """What each site of a small network drops in two steps of training, with this norm in place."""
    run = make_run("model=convnet", "model.width=8", "model.depth=2", "site.dropout=0.5", f"site.placement={placement}")
    spec = {
        **json.loads(json.dumps(run.spec)),
        "norm": {"name": norm, "gamma_noise": 0.0, "weights": None},
        "seed": seed,
    }
    network = build_network(spec, NetworkShape((1, 8, 8), 10), total_steps=2)
    network.open_streams(seed, torch.device("cpu"))
    dropped: list[Tensor] = []
    for site in network.sites.values():
        site.activation = torch.ones_like if site.norm_first else site.activation
        if not site.norm_first:  # whatever the norm does, the value that comes to dropout is one
            site.norm.register_forward_hook(lambda _, inputs, output: output * 0 + 1)
        site.register_forward_hook(lambda _, inputs, output: dropped.append(output.detach().clone()))
    network.module.train()
    for step in range(2):
        network.module(torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(step)))
    return dropped


@pytest.mark.parametrize("placement", CHOICES["placement"].choices)
def test_every_norm_sees_the_same_dropout(placement: str, registered, make_run) -> None:
    @registered(norms, f"draws_at_the_site_{placement}")
    class Draws(Norm):
        """Draws random numbers when it is built and when it runs, and hands on another memory format."""

        def __init__(self, num_features: int) -> None:
            super().__init__(num_features)
            self.noise = float(torch.randn(()))

        def forward(self, x: Tensor) -> Tensor:
            return (x + self.noise * torch.randn_like(x)).contiguous(memory_format=torch.channels_last)

    names = norms.names()
    assert f"draws_at_the_site_{placement}" in names
    reference = masks("none", make_run, placement)
    assert {float(value) for value in reference[0].unique()} == {0.0, 2.0}, "kept values are scaled by 1/(1 - p)"
    assert not torch.equal(reference[0], reference[2]), "the second step draws another mask"
    assert not torch.equal(masks("none", make_run, placement, seed=1)[0], reference[0])
    for norm in names:
        slot = norms[norm].cls.slot
        if slot == "branch" or (slot == "site" and placement == "after"):
            continue  # refused in this network: it has no branches, or its activation would come ahead of the norm
        assert all(map(torch.equal, masks(norm, make_run, placement), reference)), norm


def test_dropout_rests_in_evaluation_mode_and_without_a_stream() -> None:
    site = Site(3, "relu", "before", 0.5)
    site.install(Doubling())
    plain = torch.relu(2 * X + 1)
    assert torch.equal(site(X), plain), "a network that is only examined drops nothing"
    site.dropout_stream = torch.Generator().manual_seed(0)
    assert not torch.equal(site(X), plain)
    assert torch.equal(site.eval()(X), plain)


def test_dropout_drops_its_share() -> None:
    site = Site(3, None, "before", 0.3)
    assert site.dropout == 0.0
    site = Site(3, "relu", "before", 0.3)
    site.install(Doubling())
    site.dropout_stream = torch.Generator().manual_seed(0)
    dropped = float((site(torch.ones(100, 3, 10, 10)) == 0).float().mean())
    assert math.isclose(dropped, 0.3, abs_tol=0.014)  # 30,000 draws: a deviation of 0.0027, times 5


def test_sites_of_one_shape_drop_differently(make_run) -> None:
    run = make_run("model=mlp", "model.width=64", "model.depth=2", "site.dropout=0.5")
    network = build_network(run.spec, NetworkShape((1, 8, 8), 10), total_steps=1)
    network.open_streams(0, torch.device("cpu"))
    one, other = (site.dropout_stream for site in network.sites.values())
    assert not torch.equal(torch.rand(8, generator=one), torch.rand(8, generator=other))


def test_positions_apart_are_samples_of_their_own_for_the_norm() -> None:
    seen: list[Tensor] = []
    site = Site(3, None, "before", 0.0, channel_dim=-1, positions_apart=8)
    site.install(nn.Identity())
    site.norm.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    nn.init.constant_(site.shift, 2.0)
    x = torch.arange(48.0).view(2, 4, 2, 3)
    assert torch.equal(site(x), x + 2)
    assert torch.equal(seen[0], x.view(16, 3))
    with pytest.raises(ValueError, match="positions_apart is for channels last, channel_dim=-1, got channel_dim=1"):
        Site(3, None, "before", 0.0, positions_apart=8)
