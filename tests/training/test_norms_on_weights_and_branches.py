"""Checks runs with methods on weights, SkipInit and Fixup: what counts as trunk and decays, what the run's id and the seed decide."""

from __future__ import annotations

import pytest
import torch

from normlib.norms import norms
from normlib.training.network import Network, NetworkShape, build_network
from normlib.training.optimizer import make_optimizer

SHORT = ("model=resnet", "model.width=4", "data.batch_size=100", "training.steps=2")
ON_WEIGHTS = [entry.name for entry in norms.entries() if entry.cls.slot == "weight"]
OF_BRANCHES = [entry.name for entry in norms.entries() if entry.cls.slot == "branch"]


def network(make_run, *overrides: str) -> Network:
    return build_network(make_run(*SHORT, *overrides).spec, NetworkShape((1, 8, 8), 10), total_steps=2)


@pytest.mark.parametrize("overrides", [(f"norm={name}",) for name in ON_WEIGHTS] + [("norm=group_ws",)], ids=str)
def test_the_layers_parameter_is_trunk_and_decays_and_what_the_method_trains_does_not(overrides, make_run) -> None:
    built, plain = network(make_run, *overrides), network(make_run, "norm=none")
    assert built.count_parameters()["trunk"] == plain.count_parameters()["trunk"]
    assert all(torch.equal(built.trunk[name], value) for name, value in plain.trunk.items())
    assert not any(name.endswith(".original") for name in built.norm_parameter_names)
    settings = make_run(*SHORT, *overrides, "optimizer.weight_decay=0.1").spec["optimizer"]
    optimizer = make_optimizer(built.module, built.norm_parameter_names, settings, 0.1)
    decayed = {id(p) for group in optimizer.param_groups if group["weight_decay"] for p in group["params"]}
    assert decayed == {id(parameter) for parameter in built.trunk.values()}


def test_the_start_of_spectral_norm_follows_from_the_seed_alone(make_run) -> None:
    def vectors(*overrides: str) -> list[torch.Tensor]:
        return [site.norm.acting[0].u for site in network(make_run, "norm=spectral_norm", *overrides).sites.values()]

    torch.manual_seed(1)
    one = vectors()
    torch.manual_seed(2)
    before = torch.get_rng_state()
    assert all(map(torch.equal, vectors(), one))
    assert torch.equal(torch.get_rng_state(), before)
    assert not any(map(torch.equal, vectors("seed=1"), one))


def test_state_of_spectral_norm_is_counted(make_run) -> None:
    built = network(make_run, "norm=spectral_norm")
    assert built.state_size == sum(site.num_features for site in built.sites.values())


@pytest.mark.parametrize("precision", ["32", "bf16-mixed"])
@pytest.mark.parametrize("norm", [*ON_WEIGHTS, *OF_BRANCHES, "group_ws"])
def test_runs_end_and_give_the_same_numbers_again(norm: str, precision: str, train) -> None:
    overrides = (*SHORT, f"norm={norm}", f"training.precision={precision}")
    torch.manual_seed(1)
    first = train(*overrides)
    torch.manual_seed(2)
    again = train(*overrides)
    assert (first.status, first.steps) == ("done", 2), first.reason
    assert again.metrics == first.metrics and again.hashes == first.hashes


def test_the_record_of_a_run_names_what_fixup_reinitialized(train) -> None:
    branches = [f"blocks.{index}.conv{layer}.weight" for index in range(3) for layer in (1, 2)]
    assert train(*SHORT, "norm=fixup").reinitialized == [*branches, "classifier.weight"]
    assert train(*SHORT, "norm=skipinit").reinitialized == []


def test_the_code_of_a_method_on_weights_counts_in_the_runs_id(make_run, monkeypatch: pytest.MonkeyPatch) -> None:
    from normlib.experiments import resolve

    plain, beside = make_run(*SHORT, "norm=group"), make_run(*SHORT, "norm=group_ws")
    assert set(beside.code) - set(plain.code) == {"weights"} and plain.code["norm"] == beside.code["norm"]
    assert beside.labels["norm"] == "group_ws" and beside.spec["norm"]["name"] == "group"
    cls = norms["weight_standardization"].cls
    hashed = resolve.source.class_hash
    monkeypatch.setattr(resolve.source, "class_hash", lambda of: "edited" if of is cls else hashed(of))
    resolve._code.cache_clear()
    try:
        edited = make_run(*SHORT, "norm=group_ws", "training.steps=2", "accelerator=cpu")
    finally:
        resolve._code.cache_clear()
    assert edited.spec == beside.spec and edited.id != beside.id
