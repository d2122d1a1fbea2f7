"""Checks how norms of every slot move into a network: whole sites, weights, residual branches, time steps; what is refused, and why."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from normlib.experiments.complaints import ConfigError
from normlib.models.site import Sites
from normlib.norms import norms
from normlib.norms.base import Norm
from normlib.norms.batch import BatchNorm
from normlib.norms.none import NoNorm
from normlib.norms.place import CannotEnter, Place
from normlib.testing import subject
from normlib.training.network import IdenticalTrunkError, Network, NetworkShape, build_network

IMAGE = (1, 8, 8)
SMALL = ("model=resnet", "model.width=8")


def network(make_run: Callable[..., Any], norm: str, *overrides: str, weights: str | None = None) -> Network:
    spec = json.loads(json.dumps(make_run(*SMALL, *overrides).spec))
    spec["norm"] = {"name": norm, "gamma_noise": 0.0, "weights": weights}
    return build_network(spec, NetworkShape(IMAGE, 10), total_steps=10)


class Doubles(Norm):
    """Takes the whole site: its own activation doubles."""

    slot = "site"

    def __init__(self, num_features: int, activate: bool = True) -> None:
        super().__init__(num_features)
        self.activate = activate

    def normalize(self, x: Tensor) -> Tensor:
        return 2 * x if self.activate else x


class Halves(NoNorm):
    """Halves the weights of the layer ahead, by a factor that it trains."""

    slot = "weight"

    def enter(self, place: Place) -> None:
        if place.ahead is None:
            raise CannotEnter("there is no layer ahead")
        parametrize.register_parametrization(place.ahead, "weight", Factor())


class Factor(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(0.5))

    def forward(self, weight: Tensor) -> Tensor:
        return self.factor * weight


class Replaces(NoNorm):
    slot = "weight"

    def enter(self, place: Place) -> None:
        assert place.ahead is not None
        place.ahead.weight = nn.Parameter(place.ahead.weight.detach().clone())


class Reinitializes(NoNorm):
    slot = "branch"

    def enter(self, place: Place) -> None:
        if place.branch is not None and place.branch.is_last:
            assert place.ahead is not None
            nn.init.zeros_(place.ahead.weight)


def test_a_norm_with_its_own_activation_takes_the_whole_site(registered, make_run) -> None:
    registered(norms, "doubles")(Doubles)
    with_activation, without = (Sites()(3, ahead=None, activation=activation) for activation in (True, False))
    with_activation.install(Doubles(3))
    without.install(Doubles(3, activate=False))
    x = -torch.ones(2, 3)
    assert torch.equal(with_activation(x), 2 * x), "no second activation behind the norm's own"
    assert torch.equal(without(x), x)
    built = network(make_run, "doubles")
    assert [site.norm.activate for site in built.sites.values()] == [True, True, False, True, False, True, False]


def test_behind_the_networks_activation_it_is_skipped(registered, make_run) -> None:
    registered(norms, "doubles_behind")(Doubles)
    run = make_run(*SMALL, "norm=none", "site.placement=after")
    assert run.skip_reason is None
    with pytest.raises(CannotEnter, match=r"takes the whole site.*site\.placement=after\); use site\.placement=before"):
        network(make_run, "doubles_behind", "site.placement=after")


def test_a_method_on_weights_leaves_the_trunk_as_it_is(registered, make_run) -> None:
    registered(norms, "halves")(Halves)
    plain = network(make_run, "none")
    for built in (network(make_run, "halves"), network(make_run, "group", weights="halves")):
        assert built.trunk_hash == plain.trunk_hash and built.reinitialized == ()
        assert all(torch.equal(built.trunk[name], value) for name, value in plain.trunk.items())
        factors = [name for name in built.norm_parameter_names if name.endswith("factor")]
        assert len(factors) == len(built.sites)
        assert built.count_parameters()["trunk"] == plain.count_parameters()["trunk"]
        assert torch.equal(built.module.stem.weight, plain.module.stem.weight / 2)
    assert network(make_run, "halves").count_parameters()["norm"] == plain.count_parameters()["norm"] + 7


def test_replacing_a_trunk_parameter_is_refused(registered, make_run) -> None:
    registered(norms, "replaces")(Replaces)
    with pytest.raises(
        IdenticalTrunkError, match=r"has replaced the trunk's stem\.weight.*must keep the layer's own parameter"
    ):
        network(make_run, "replaces")


def test_what_is_reinitialized_is_measured_and_has_to_be_declared(registered, make_run) -> None:
    registered(norms, "reinitializes", reinitializes="the last layer of each residual branch")(Reinitializes)
    built = network(make_run, "reinitializes")
    assert built.reinitialized == tuple(f"blocks.{index}.conv2.weight" for index in range(3))
    assert built.trunk_hash == network(make_run, "none").trunk_hash, "the hash is of the plain trunk"

    class ReinitializesUndeclared(Reinitializes):
        pass

    registered(norms, "reinitializes_undeclared")(ReinitializesUndeclared)
    with pytest.raises(IdenticalTrunkError, match=r"has changed the trunk's blocks\.0\.conv2\.weight.*reinitializes="):
        network(make_run, "reinitializes_undeclared")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("norm=group", "norm.weights=layer"), r"no method on weights is named 'layer'"),
        (("norm=halves_again", "norm.weights=halves_again"), r"would be a second such method; leave one out"),
        (("norm=no_arm",), r"norm=no_arm cannot be an arm of a comparison: it is a building block"),
    ],
)
def test_what_cannot_be_an_arm_is_refused(overrides: tuple[str, ...], message: str, registered, tmp_path) -> None:
    from normlib.experiments.plan import make_run

    class NoArm(NoNorm):
        not_an_arm = "it is a building block"

    registered(norms, "no_arm")(NoArm)
    registered(norms, "halves_again")(Halves)
    with pytest.raises(ConfigError, match=message):
        make_run([*overrides, "accelerator=cpu"])


def test_running_statistics_of_each_time_step_are_its_own() -> None:
    site = Sites()(3, ahead=None, activation=False, steps=3)
    site.install(BatchNorm(3, momentum=1.0))
    inputs = [torch.full((2, 3), float(step)) + torch.tensor([[-1.0], [1.0]]) for step in range(4)]
    for step, x in enumerate(inputs[:3]):
        site(x, step)
    assert [norm.running_mean[0].item() for norm in site.norms] == [0.0, 1.0, 2.0]
    assert [name for name, _ in site.named_parameters()] == ["norm.weight", "norm.bias"], "scale and shift are shared"
    site.eval()
    assert torch.equal(site(inputs[3], 3), site(inputs[3], 2)), "beyond the last step its statistics are used"
    assert not torch.equal(site(inputs[3], 3), site(inputs[3], 1))


def test_a_norm_without_running_statistics_is_the_same_at_every_step() -> None:
    site = Sites()(3, ahead=None, activation=False, steps=3)
    site.install(norms["layer"].cls(3))
    assert len(site.norms) == 1
    x = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(site(x, 2), site(x, 0))


def test_channels_last_sites_shift_the_last_dimension() -> None:
    site = Sites()(3, ahead=None, activation=False, channel_dim=-1)
    site.install(NoNorm(3, channel_dim=-1))
    with torch.no_grad():
        site.shift.copy_(torch.arange(3.0))
    assert torch.equal(site(torch.zeros(2, 5, 3)), torch.arange(3.0).expand(2, 5, 3))


@pytest.mark.parametrize("norm", ["evonorm_b0", "evonorm_s0", "frn"])
@pytest.mark.parametrize("model", ["rnn", "transformer"])
def test_a_norm_with_its_activation_is_no_arm_where_no_site_has_one(norm: str, model: str, make_run: Any) -> None:
    """EvoNorm would scale and shift, no more, and be shown as itself."""
    reason = make_run(f"model={model}", f"norm={norm}").skip_reason
    assert reason is not None and "no site of this network has an activation" in reason


class Remembers(NoNorm):
    """Keeps its place."""

    def enter(self, place: Place) -> None:
        self.place = place


@pytest.mark.parametrize("model", ["mlp", "convnet", "resnet", "transformer", "rnn"])
def test_a_norm_learns_its_number_and_its_name(model: str, make_run: Callable[..., Any], registered: Any) -> None:
    registered(norms, f"remembers_in_{model}")(Remembers)
    spec = json.loads(json.dumps(make_run(f"model={model}").spec))
    spec["norm"] = {"name": f"remembers_in_{model}", "gamma_noise": 0.0, "weights": None}
    built = build_network(spec, NetworkShape(IMAGE, 10), total_steps=10)
    places = [site.norm.place for site in built.sites.values()]  # type: ignore[union-attr]
    assert sorted(place.index for place in places) == list(range(len(built.sites)))
    assert {place.num_sites for place in places} == {len(built.sites)}
    for place in places:
        assert built.module.get_submodule(place.name).norm.place is place


def test_the_contracts_small_networks_are_real_places() -> None:
    norm: Any = subject(Remembers).network().norm
    assert (norm.place.index, norm.place.num_sites, norm.place.name) == (0, 1, "norm")

    class InBranches(Remembers):
        slot = "branch"

    branch: Any = subject(InBranches).network()
    assert [(norm.place.index, norm.place.num_sites) for norm in branch.norms] == [(0, 2), (1, 2)]
    assert [branch.get_submodule(norm.place.name) for norm in branch.norms] == list(branch.norms)
