"""Checks norm.gamma_noise: the same trunk and batches, another trajectory, and noise from no stream but its own."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from normlib.experiments.complaints import ConfigError
from normlib.experiments.schema import store_schema
from normlib.norms import norms
from normlib.norms.base import Norm
from normlib.registry import RegistryError
from normlib.training.network import Network, NetworkShape, build_network
from normlib.training.seeding import generator

SMALL = ("model=mlp", "model.width=8", "model.depth=2", "data.batch_size=32")


def network(make_run, *overrides: str) -> Network:
    return build_network(make_run(*SMALL, *overrides).spec, NetworkShape((64,), 10), total_steps=10)


class OnlyShift(Norm):
    """A norm with a shift and without a scale."""

    def __init__(self, num_features: int) -> None:
        super().__init__(num_features)
        self.weight = None

    def transform(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        return x + self.bias


class Draws(Norm):
    """Draws from torch's global random numbers when it is built, and adds them up in its output."""

    def __init__(self, num_features: int) -> None:
        super().__init__(num_features)
        self.noise = float(torch.rand(()))

    def normalize(self, x: Tensor) -> Tensor:
        return x * self.noise


def test_scales_start_at_one_plus_noise_from_the_sites_own_stream(make_run) -> None:
    noisy = network(make_run, "norm=batch", "norm.gamma_noise=0.5", "seed=3")
    for name, site in noisy.sites.items():
        noise = torch.randn(8, generator=generator(3, "gamma_noise", name))
        assert torch.equal(site.norm.weight.detach(), torch.ones(8).add_(noise, alpha=0.5))
        assert not site.norm.bias.any()
    first, second = (site.norm.weight for site in noisy.sites.values())
    assert not torch.equal(first, second), "every site has noise of its own"
    other = network(make_run, "norm=batch", "norm.gamma_noise=0.5", "seed=4")
    assert not torch.equal(next(iter(other.sites.values())).norm.weight, first)


def test_where_there_is_no_scale_the_shift_gets_the_noise(make_run, registered) -> None:
    registered(norms, "only_shift")(OnlyShift)
    noise = torch.randn(8, generator=generator(0, "gamma_noise", "sites.0"))
    for overrides in (["norm=only_shift"], ["norm=batch", "norm.affine=false"], ["norm=none"]):
        noisy = network(make_run, *overrides, "norm.gamma_noise=1e-3")
        site = noisy.sites["sites.0"]
        shift = site.norm.bias if overrides == ["norm=only_shift"] else site.shift
        assert torch.equal(shift.detach(), torch.zeros(8).add_(noise, alpha=1e-3)), overrides


def test_noise_leaves_the_trunk_and_every_other_stream_alone(make_run, registered) -> None:
    registered(norms, "draws_for_noise")(Draws)
    plain, noisy = (network(make_run, "norm=draws_for_noise", f"norm.gamma_noise={size}") for size in (0, 1e-6))
    assert noisy.trunk_hash == plain.trunk_hash
    drawn = [[site.norm.noise for site in each.sites.values()] for each in (plain, noisy)]
    assert drawn[0] == drawn[1] and len(set(drawn[0])) == 2


def test_the_same_batches_on_another_trajectory(train) -> None:
    random = ("model=convnet", "model.width=8", "model.depth=2", "data.batch_size=16", "data.flip=true", "data.crop=1",
              "site.dropout=0.2", "training.steps=60")  # fmt: skip
    plain, noisy, again = (train(*random, "norm=batch", f"norm.gamma_noise={size}") for size in (0, 1e-6, 1e-6))
    assert noisy.hashes == plain.hashes
    assert noisy.curves["train"]["loss"] != plain.curves["train"]["loss"]
    # Sixty steps are too few for noise of 1e-6 to be anything but noise.
    assert noisy.metrics["train"]["loss"] == pytest.approx(plain.metrics["train"]["loss"], rel=0.1)
    assert (again.metrics, again.hashes) == (noisy.metrics, noisy.hashes)
    assert noisy.parameters == plain.parameters and noisy.id != plain.id


@pytest.mark.parametrize("norm", norms.names())
def test_every_norm_takes_it_and_none_sees_it(norm: str, make_run) -> None:
    assert "gamma_noise" not in norms[norm].settings
    branch = norms[norm].cls.slot == "branch"
    images = ("model=resnet",) if branch else ("model=convnet", "model.width=8", "model.depth=2")
    spec = make_run(*images, f"norm={norm}", "norm.gamma_noise=1e-3").spec
    noisy = build_network(spec, NetworkShape((1, 8, 8), 10), total_steps=10)
    own = [p.detach() for name, p in noisy.module.named_parameters() if name in noisy.norm_parameter_names]
    assert any(((p != 0) & (p != 1)).all() for p in own)


def test_negative_noise_is_refused(make_run) -> None:
    with pytest.raises(ConfigError, match=r"norm\.gamma_noise is the size of noise.*got -1"):
        make_run(*SMALL, "norm=batch", "norm.gamma_noise=-1")


def test_a_norm_with_an_argument_of_that_name_is_refused(registered) -> None:
    @registered(norms, "takes_gamma_noise")
    class Takes(Norm):
        """Has an argument of the same name."""

        def __init__(self, num_features: int, gamma_noise: float = 0.0) -> None:
            super().__init__(num_features)

    with pytest.raises(RegistryError, match="'takes_gamma_noise': every norm has the setting 'gamma_noise'"):
        store_schema()
