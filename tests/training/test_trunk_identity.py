"""Checks identity: trunk, data order, augmentation and dropout follow from the seed, and no norm can shift any of them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from normlib.models import models
from normlib.models import names as model_names
from normlib.models.site import Sites
from normlib.norms import norms
from normlib.norms.base import Norm
from normlib.norms.none import NoNorm
from normlib.norms.place import CannotEnter
from normlib.training.inputs import make_dataset, make_task
from normlib.training.network import Network, NetworkShape, build_network
from normlib.training.seeding import generator, global_stream, stream_seed

# Collections of architectures (they have a setting called name) need extras, and have test files of their own.
MODELS = [name for name in model_names() if not {"name", "path"} & set(models[name].settings)]
DATA = {"gpt": "characters", "unet": "shapes"}
"""Of models that are not for digits, what they are for."""
# Everything that is random in a run: order, flips, crops, dropout; two epochs, the second cut short.
ALL_RANDOM = (
    "model=convnet", "model.width=8", "model.depth=2", "data.batch_size=100", "data.flip=true", "data.crop=1",
    "site.dropout=0.3", "training.steps=15", "evaluation.points=3",
)  # fmt: skip


class Draws(Norm):
    """Draws from torch's global random numbers when it is built and whenever it runs."""

    def __init__(self, num_features: int, channel_dim: int = 1) -> None:
        super().__init__(num_features, channel_dim=channel_dim)
        self.noise = float(torch.rand(()))

    def normalize(self, x: Tensor) -> Tensor:
        return x + self.noise * torch.randn_like(x)


class DrawsInVain(NoNorm):
    """Draws as well, but hands on what came: its runs must equal those of `none` to the last bit."""

    def __init__(self, num_features: int) -> None:
        super().__init__(num_features)
        torch.randn(num_features)

    def forward(self, x: Tensor) -> Tensor:
        torch.randn(3)
        return super().forward(x)


def network(make_run: Callable[..., Any], *overrides: str, norm: str | None = None) -> Network:
    spec = json.loads(json.dumps(make_run(*overrides).spec))
    if norm is not None:
        spec["norm"] = {"name": norm, "gamma_noise": 0.0, "weights": None}
    shape = NetworkShape.for_task(make_dataset(spec["data"]), make_task(spec["task"]))
    return build_network(spec, shape, total_steps=10)


def small_of(model: str) -> tuple[str, ...]:
    """A small network of a kind, on data that it takes."""
    return f"model={model}", "model.width=8", f"data={DATA.get(model, 'digits')}"


def trunk(of: Network) -> dict[str, Tensor]:
    return {name: p.detach() for name, p in of.trunk.items()}


def without_seconds(curves: dict[str, dict[str, list]]) -> dict[str, dict[str, list]]:
    return {name: {key: v for key, v in curve.items() if key != "seconds"} for name, curve in curves.items()}


@pytest.mark.parametrize("model", MODELS)
def test_the_trunk_is_the_same_for_every_norm(model: str, registered, make_run) -> None:
    registered(norms, f"draws_{model}")(Draws)
    reference = network(make_run, *small_of(model), norm="none")
    refused = []
    for norm in norms.names():
        try:
            other = network(make_run, *small_of(model), norm=norm)
        except CannotEnter:
            refused.append(norm)
            continue
        assert other.trunk_hash == reference.trunk_hash, norm
        assert trunk(other).keys() == trunk(reference).keys()
        differ = {name for name, value in trunk(reference).items() if not torch.equal(trunk(other)[name], value)}
        assert differ == set(other.reinitialized), norm
        assert bool(differ) == ("reinitializes" in norms[norm].metadata), norm
    assert f"draws_{model}" not in refused
    assert {norms[norm].cls.slot for norm in refused} <= {"weight", "branch", "site"}, (
        "only these need more than a site"
    )


def test_planted_difference_in_the_trunk_changes_its_hash(make_run, monkeypatch: pytest.MonkeyPatch) -> None:
    small = ("model=mlp", "model.width=8")
    reference = network(make_run, *small).trunk_hash
    from normlib.training import network as module

    fill = module.fill_trunk

    def shifted(trunk: nn.Module, *rest: Any) -> None:
        fill(trunk, *rest)
        with torch.no_grad():
            next(trunk.parameters())[0, 0] += 1e-6

    monkeypatch.setattr(module, "fill_trunk", shifted)
    assert network(make_run, *small).trunk_hash != reference


def test_runs_of_every_norm_are_fed_the_same(registered, train) -> None:
    registered(norms, "draws_while_trained")(Draws)
    with_branches = (*ALL_RANDOM, "model=resnet", "model.depth=8")
    plain = train(*ALL_RANDOM, "norm=none").hashes
    plain_with_branches = train(*with_branches, "norm=none").hashes
    assert "draws_while_trained" in norms.names()
    for norm in norms.names():
        branch = norms[norm].cls.slot == "branch"
        record = train(*(with_branches if branch else ALL_RANDOM), f"norm={norm}")
        assert record.status == "done", record.traceback
        assert record.hashes == (plain_with_branches if branch else plain), norm
    assert len(plain["batches"]) == 2


def test_a_norm_that_draws_in_vain_changes_no_number(registered, train) -> None:
    registered(norms, "draws_in_vain")(DrawsInVain)
    plain, drawing = (train(*ALL_RANDOM, f"norm={norm}") for norm in ("none", "draws_in_vain"))
    assert drawing.metrics == plain.metrics
    assert without_seconds(drawing.curves) == without_seconds(plain.curves)
    assert drawing.hashes == plain.hashes


def test_a_norm_that_draws_gives_the_same_numbers_again(registered, train) -> None:
    registered(norms, "draws_again")(Draws)
    torch.manual_seed(1)
    first = train(*ALL_RANDOM, "norm=draws_again")
    torch.manual_seed(2)
    again = train(*ALL_RANDOM, "norm=draws_again", steps_per_chunk=4)
    assert first.metrics == again.metrics
    assert first.metrics != train(*ALL_RANDOM, "norm=none").metrics, "the noise matters"
    assert first.metrics != train(*ALL_RANDOM, "norm=draws_again", "seed=1").metrics


def test_training_leaves_the_global_random_numbers_as_they_were(registered, train) -> None:
    registered(norms, "draws_and_leaves")(Draws)
    before = torch.get_rng_state()
    train(*ALL_RANDOM, "norm=draws_and_leaves")
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("model", MODELS)
def test_seeds_differ_in_every_weight(model: str, make_run) -> None:
    one, other = (trunk(network(make_run, *small_of(model), f"seed={seed}")) for seed in (0, 1))
    for name in one:
        assert torch.equal(one[name], other[name]) == name.endswith(".bias"), name  # biases start at zero


def test_only_modules_with_parameters_of_their_own_reset_them(registered, make_run) -> None:
    class Scale(nn.Module):
        """Has a parameter, so it starts it itself."""

        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.zeros(8))

        def reset_parameters(self) -> None:
            nn.init.normal_(self.scale)

    @registered(models, "planted_resets")
    class Resets(nn.Module):
        """Would reinitialize its parts, and takes for granted that its site is a norm of torch's."""

        def __init__(self, sites: Sites, input_shape: tuple[int, ...], num_outputs: int) -> None:
            super().__init__()
            self.layer = nn.Linear(64, 8, bias=False)
            self.site = sites(8, ahead=self.layer)
            self.scale = Scale()
            self.classifier = nn.Linear(8, num_outputs)

        def reset_parameters(self) -> None:
            nn.init.ones_(self.site.weight)

        def forward(self, x: Tensor) -> Tensor:
            return self.classifier(self.scale.scale * self.site(self.layer(x.flatten(1))))

    one, same, other = (trunk(network(make_run, "model=planted_resets", f"seed={seed}")) for seed in (0, 0, 1))
    assert torch.equal(one["scale.scale"], same["scale.scale"])
    assert not torch.equal(one["scale.scale"], other["scale.scale"])
    assert one["scale.scale"].any()


def test_parameters_follow_from_seed_and_name_alone(make_run) -> None:
    shallow, deep = (trunk(network(make_run, "model=mlp", "model.width=8", f"model.depth={depth}")) for depth in (2, 3))
    assert set(deep) - set(shallow) == {"layers.2.weight"}
    assert all(torch.equal(deep[name], value) for name, value in shallow.items())
    expected = torch.empty(8, 64).normal_(0, math.sqrt(2 / 64), generator=generator(0, "init", "layers.0.weight"))
    assert torch.equal(deep["layers.0.weight"], expected)


def test_site_settings_and_placement_leave_the_trunk_alone(make_run) -> None:
    small = ("model=convnet", "model.width=8", "model.depth=2")
    reference = network(make_run, *small).trunk_hash
    for override in ("site.placement=after", "site.dropout=0.5", "site.norm_batch_size=2", "data.batch_size=7"):
        assert network(make_run, *small, override).trunk_hash == reference
    for override in ("seed=1", "site.activation=tanh", "init.scheme=torch", "init.scale=2"):
        assert network(make_run, *small, override).trunk_hash != reference


def test_schemes_and_scales_of_the_start(make_run) -> None:
    plain, scaled = (trunk(network(make_run, "model=mlp", f"init.scale={scale}")) for scale in (1, 2))
    assert torch.equal(scaled["layers.0.weight"], 2 * plain["layers.0.weight"])
    of_torch = trunk(network(make_run, "model=mlp", "init.scheme=torch"))
    for name, fan_in in (("layers.0.weight", 64), ("classifier.weight", 128), ("classifier.bias", 128)):
        bound = 1 / math.sqrt(fan_in)
        largest = float(of_torch[name].abs().max())
        assert largest <= bound
        # Of n uniform values the largest is on average 1/n below the bound; even of the ten biases it is above half.
        assert largest > bound / 2
    assert of_torch["classifier.bias"].any()
    assert not plain["classifier.bias"].any()


def test_a_model_with_layers_of_other_kinds_starts_from_the_seed(registered, make_run) -> None:
    @registered(models, "with_embedding")
    class WithOthers(nn.Module):
        """Holds a layer with a start of torch's own, and one that draws when it is made."""

        def __init__(self, sites: Sites, input_shape: tuple[int, ...], num_outputs: int) -> None:
            super().__init__()
            self.site = sites(64, ahead=None)
            self.prelu = nn.PReLU()
            self.mix = nn.Bilinear(64, 2, 8)
            self.raw = nn.Parameter(torch.randn(2))
            self.classifier = nn.Linear(8, num_outputs)

        def forward(self, x: Tensor) -> Tensor:
            x = self.prelu(self.site(x.flatten(1)))
            return self.classifier(self.mix(x, self.raw.expand(len(x), 2)))

    torch.manual_seed(1)
    one = network(make_run, "model=with_embedding")
    torch.manual_seed(2)
    assert network(make_run, "model=with_embedding", norm="none").trunk_hash == one.trunk_hash
    assert network(make_run, "model=with_embedding", "seed=1").trunk_hash != one.trunk_hash


def test_streams_are_unrelated_and_the_global_one_is_put_back() -> None:
    seeds = {stream_seed(*stream) for stream in [(0, "order", 0), (0, "order", 1), (1, "order", 0), (0, "dropout", 0)]}
    assert len(seeds) == 4
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert stream_seed(0, "order", 1) == 4489457307835839548, "the same in every process, on every machine"
    before = torch.get_rng_state()
    with global_stream(0, "test"):
        inside = torch.rand(3)
    assert torch.equal(torch.get_rng_state(), before)

    def interrupted() -> None:
        with global_stream(0, "test"):
            assert torch.equal(torch.rand(3), inside)
            raise RuntimeError("planted")

    with pytest.raises(RuntimeError, match="planted"):
        interrupted()
    assert torch.equal(torch.get_rng_state(), before)
