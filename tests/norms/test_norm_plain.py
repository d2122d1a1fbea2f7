"""Plain modules and functions as norms: what is found out about them, what a network gets of them, and what is refused."""

from __future__ import annotations

import copy
import json
import pickle
import re
from typing import Any

import pytest
import torch
from torch import nn

import normlib
from normlib.experiments.plan import make_run as plan_run
from normlib.models.site import Site
from normlib.norms import norms
from normlib.norms.base import Norm
from normlib.norms.plain import plain_norm
from normlib.registry import RegistryError
from normlib.testing import ContractError, check_norm, finding, findings
from normlib.training.network import Network, NetworkShape, build_network
from tests.norms import plain_modules as plain

X = torch.randn(6, 8, 5, 4, generator=torch.Generator().manual_seed(0))
MODULES = (
    plain.absolute, plain.Shifted, plain.ShiftedBefore, plain.ShiftedByOne, plain.OfTheBatch, plain.Averages,
    plain.AveragesAsKeras, plain.AveragesByTenths, nn.BatchNorm2d,
)  # fmt: skip


@pytest.fixture(autouse=True)
def _registered(pristine_registries: None) -> None:
    for module in (*MODULES, plain.Hides, plain.Pools):
        normlib.register(f"my_{module.__name__}", wraps=module)


def network(make_run: Any, norm: str, *overrides: str, **settings: Any) -> Network:
    spec = json.loads(json.dumps(make_run("model=convnet", "model.width=8", "model.depth=2", *overrides).spec))
    spec["norm"] = {"name": norm, "gamma_noise": 0.0, "weights": None, **settings}
    return build_network(spec, NetworkShape((1, 8, 8), 10), total_steps=10)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_what_goes_through_is_what_the_module_makes_of_it(module: Any) -> None:
    norm = normlib.create(f"my_{module.__name__}", 8)
    own: Any = module(8) if isinstance(module, type) else module
    last = normlib.create(f"my_{module.__name__}", 8, channel_dim=-1)
    assert isinstance(norm, Norm)
    y, moved = own(X), X.movedim(1, -1).contiguous()
    assert torch.equal(norm(X), y)
    y_last = last(moved)
    assert torch.allclose(y_last.movedim(-1, 1), y, atol=1e-6)
    assert y_last.stride() == moved.stride()
    if isinstance(own, nn.Module):
        assert {name: tuple(value.shape) for name, value in norm.module.state_dict().items()} == {
            name: tuple(value.shape) for name, value in own.state_dict().items()
        }
        assert torch.equal(norm.eval()(X), own.eval()(X)), "eval mode reaches the module"


def test_decorated_classes_and_functions_stay_what_they_are() -> None:
    decorate = normlib.register("my_own")
    assert decorate(plain.Averages) is plain.Averages
    assert normlib.register("my_other", wraps=plain.absolute) is plain.absolute


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_copies_and_pickles_go_on_alike(module: Any) -> None:
    norm = normlib.create(f"my_{module.__name__}", 8)
    norm(X)
    for other in (copy.deepcopy(norm), pickle.loads(pickle.dumps(norm))):
        reference = copy.deepcopy(norm)
        assert type(other) is type(norm)
        assert repr(other) == repr(norm)
        assert torch.equal(other(X), reference(X))
        assert torch.equal(other.eval()(X), reference.eval()(X))


NATURES = {
    plain.absolute: (False, (), None, None, False),
    plain.Shifted: (False, (), "offset", "gain", False),
    plain.ShiftedBefore: (False, (), None, None, False),
    plain.ShiftedByOne: (False, (), None, None, False),
    plain.OfTheBatch: (True, (), None, None, False),
    plain.Averages: (True, ("running_size",), None, None, True),
    plain.AveragesAsKeras: (True, ("running_size",), None, None, False),
    plain.AveragesByTenths: (True, ("running_size",), None, None, False),
    nn.BatchNorm2d: (True, ("running_mean", "running_var"), "bias", "weight", True),
}


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_its_nature_is_found_out(module: Any) -> None:
    state = torch.get_rng_state()
    cls = plain_norm(module)
    depends, moving, shift, scale, torch_momentum = NATURES[module]
    for traits in (cls.default_traits(), cls(8).traits):
        assert (traits.depends_on_batch, traits.moving, traits.shift, traits.scale) == (depends, moving, shift, scale)
        assert traits.has_torch_momentum == torch_momentum
    assert cls.depends_on_batch == cls(8).depends_on_batch == depends
    assert torch.equal(state, torch.get_rng_state())


def test_its_nature_is_that_of_its_settings() -> None:
    norm = normlib.create("my_Shifted", 8, affine=False)
    assert norm.bias is None
    assert norm.weight is norm.module.gain
    assert normlib.create("my_BatchNorm2d", 8, track_running_stats=False).has_running_statistics is False
    with torch.device("meta"):
        assert normlib.create("my_Shifted", 24).bias.is_meta


def test_a_width_that_it_takes_is_looked_for() -> None:
    assert plain_norm(plain.ForImagesOnly).depends_on_batch is False


def test_a_module_for_some_ranks_is_checked_on_those_and_refuses_the_others() -> None:
    for module, ranks in ((plain.ForImagesOnly, (4,)), (nn.BatchNorm1d, (2, 3)), (nn.BatchNorm3d, (5,))):
        norm = plain_norm(module)(48)
        assert norm.traits.ranks == ranks
        for rank in {2, 3, 4, 5} - set(ranks):
            with pytest.raises(ValueError, match="takes inputs of .* dimensions, but got shape"):
                norm(torch.ones(6, 48, 4, 2, 2)[(..., *[0] * (5 - rank))])
        checks = ("shapes", "network", "channels_last", "resume", "state_dict", "functional_call")
        assert [finding(check, module).status for check in checks] == ["ok"] * 6


def test_a_module_for_images_is_no_part_of_a_network_on_vectors() -> None:
    run, _ = plan_run(["norm=my_BatchNorm2d", "model=mlp"])
    assert run.skip_reason is not None
    assert "takes inputs of 4 dimensions, but got shape (32, 128)" in run.skip_reason


def test_a_module_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Pools: .*shape \(6, 8, 8, 4\) came out as shape \(8, 8, 4\).*normlib.Norm"):
        normlib.create("my_Pools", 8)


@pytest.mark.parametrize(("norm", "shifts", "parameters"), [
    ("my_absolute", True, 24), ("my_Shifted", False, 48), ("my_ShiftedBefore", True, 48), ("my_ShiftedByOne", True, 26),
    ("my_Averages", True, 24), ("my_BatchNorm2d", False, 48),
])  # fmt: skip
def test_a_site_adds_a_shift_where_there_is_none(norm: str, shifts: bool, parameters: int, make_run: Any) -> None:
    built = network(make_run, norm)  # two sites, of 8 and of 16 channels
    assert {site.shift is not None for site in built.sites.values()} == {shifts}
    assert built.count_parameters()["norm"] == parameters
    assert built.trunk_hash == network(make_run, "batch").trunk_hash


def test_its_buffers_are_counted(make_run: Any) -> None:
    assert network(make_run, "my_Averages").state_size == 2 * (8 + 16)
    assert network(make_run, "my_absolute").state_size == 0


def test_noise_goes_to_its_scale_or_its_shift_or_the_sites(make_run: Any) -> None:
    for norm, named in (("my_Shifted", "norm.module.gain"), ("my_absolute", "shift")):
        start, noisy = (network(make_run, norm, gamma_noise=size) for size in (0.0, 0.1))
        before, after = (next(iter(each.sites.values())).state_dict() for each in (start, noisy))
        assert {name for name in before if not torch.equal(before[name], after[name])} == {named}


def test_inputs_that_do_not_fit_are_refused() -> None:
    norm = normlib.create("my_absolute", 8)
    with pytest.raises(ValueError, match="num_features = 8"):
        norm(X[:, :4])
    with pytest.raises(TypeError, match="real floating numbers"):
        norm(X.long())
    with pytest.raises(ValueError, match="takes no mask"):
        norm(X, torch.ones(6, 5, 4, dtype=torch.bool))
    with pytest.raises(ValueError, match="channel_dim is 1"):
        normlib.create("my_absolute", 8, channel_dim=2)


def test_ghost_batches() -> None:
    norm = normlib.create("my_OfTheBatch", 8)
    norm.norm_batch_size = 3
    assert torch.equal(norm(X), torch.cat([norm.module(X[:3]), norm.module(X[3:])]))
    assert torch.equal(norm.eval()(X), norm.module(X))
    inert = normlib.create("my_absolute", 8)
    inert.norm_batch_size = 3
    assert torch.equal(inert(X), inert.module(X))


REFUSED = [
    ("my_Averages", "site.norm_batch_size=4", "cannot set norm_batch_size.*running_size once more; leave norm_batch_size=4 out"),
    ("my_AveragesAsKeras", "site.horizon=80", "site.horizon=80: .*no attribute `momentum` that weighs the new value of running_size"),
    ("my_AveragesByTenths", "site.horizon=80", "site.horizon=80: .*no attribute `momentum`"),
    *(("my_BatchNorm2d", f"evaluation.statistics={which}", f"running_mean, running_var averages.*statistics={which} is not possible.*normlib.RunningNorm")
      for which in ("precise", "batch")),
]  # fmt: skip


@pytest.mark.parametrize(("norm", "setting", "words"), REFUSED)
def test_what_a_plain_module_cannot_promise_skips_the_run_with_its_reason(norm: str, setting: str, words: str) -> None:
    run, _ = plan_run([f"norm={norm}", "model=convnet", "data.batch_size=8", "model.width=8", setting])
    assert run.skip_reason is not None
    assert re.search(words, run.skip_reason), run.skip_reason


@pytest.mark.parametrize(("norm", "setting"), [
    ("my_OfTheBatch", "site.norm_batch_size=4"), ("my_absolute", "site.norm_batch_size=4"), ("my_absolute", "site.horizon=80"),
    ("my_Averages", "site.horizon=80"), ("my_OfTheBatch", "evaluation.statistics=precise"),
    ("my_Averages", "evaluation.statistics=running"),
])  # fmt: skip
def test_what_it_can_do_is_not_refused(norm: str, setting: str) -> None:
    run, _ = plan_run([f"norm={norm}", "model=convnet", "data.batch_size=8", "model.width=8", setting])
    assert run.skip_reason is None


def test_the_horizon_sets_the_modules_momentum(make_run: Any) -> None:
    built = network(make_run, "my_Averages", "site.horizon=80", "data.batch_size=8")
    assert {site.norm.module.momentum for site in built.sites.values()} == {0.1}
    built = network(make_run, "my_Averages", "site.horizon=40", "data.batch_size=8")
    assert {site.norm.module.momentum for site in built.sites.values()} == {0.2}


def test_switches() -> None:
    norm = normlib.create("my_Averages", 8)
    norm(X)
    before = copy.deepcopy(norm.state_dict())
    in_eval = norm.eval()(X)
    norm.train()
    norm.update_running = False
    moved = norm(X)
    assert torch.equal(norm.state_dict()["module.running_size"], before["module.running_size"])
    assert not torch.equal(moved, in_eval)
    norm.freeze()
    norm.train()
    assert torch.equal(norm(X), in_eval)
    norm.unfreeze()
    assert torch.equal(norm(X), moved)
    assert not torch.equal(norm.state_dict()["module.running_size"], before["module.running_size"])
    with pytest.raises(ValueError, match="cannot set statistics.*to anything but 'auto' and 'running', got 'batch'"):
        norm.statistics = "batch"
    norm.reset_parameters()
    assert bool((norm.module.running_size == 1).all())


def test_its_statistics_are_not_recomputed() -> None:
    model = nn.Sequential(normlib.create("my_Averages", 8), normlib.create("batch", 8))
    with pytest.raises(ValueError, match="does not know what its running_size averages.*normlib.RunningNorm"):
        normlib.recompute_statistics(model, [X])
    model[0].freeze()
    before = copy.deepcopy(model[0].state_dict())
    normlib.recompute_statistics(model, [X])
    assert torch.equal(before["module.running_size"], model[0].module.running_size)


def test_time_steps_have_running_statistics_of_their_own(make_run: Any) -> None:
    site = Site(8, "relu", "before", 0.0, steps=3)
    site.install(normlib.create("my_Averages", 8))
    assert len(site.norms) == 3
    site(X, step=1)
    moved = [not bool((norm.module.running_size == 1).all()) for norm in site.norms]
    assert moved == [False, True, False]
    site = Site(8, "relu", "before", 0.0, steps=3)
    site.install(normlib.create("my_Shifted", 8))
    assert len(site.norms) == 1


def test_the_contract_takes_a_plain_class_or_function_and_tells_what_is_not_promised() -> None:
    found = {each.check: each for each in findings(plain.OfTheBatch) if each.check not in ("compile", "export")}
    assert "FAILED" not in {each.status for each in found.values()}
    assert found["modes"].status == "unpromised"
    assert "samples alone against together" in found["modes"].reason
    assert found["shapes"].status == found["channels_last"].status == found["resume"].status == "ok"
    assert found["counts"].reason == "its parameters and buffers are counted, not declared"
    assert finding("shapes", plain.absolute).status == "ok"


@pytest.mark.parametrize(
    ("check", "words"), [("resume", "is all of the state in buffers"), ("state_dict", "does not continue")]
)
def test_what_a_plain_module_has_to_keep_is_a_fault_where_it_does_not(check: str, words: str) -> None:
    found = finding(check, plain.Hides)
    assert found.status == "FAILED"
    assert words in found.reason
    with pytest.raises(ContractError, match="Hides breaks"):
        check_norm(plain.Hides)


def test_what_cannot_be_registered() -> None:
    class NoDefault(nn.Module):
        def __init__(self, num_features: int, size: int) -> None: ...

    for thing, message in [
        (NoDefault, "has no default"),
        (nn.ReLU, "constructor of ReLU takes num_features"),
        (nn.BatchNorm2d(3), "is none of these"),
        (lambda: None, "is none of these"),
        (torch.sqrt, "is none of these"),
    ]:
        with pytest.raises(RegistryError, match=message):
            normlib.register("my_fresh", wraps=thing)


def test_settings_are_typed_and_named() -> None:
    assert list(norms["my_absolute"].settings) == ["eps"]
    assert normlib.create("my_absolute", 8, eps=1.0).module.settings == {"eps": 1.0}
    with pytest.raises(RegistryError, match="'eps' is float, got 'small'"):
        normlib.create("my_absolute", 8, eps="small")
    with pytest.raises(RegistryError, match="no setting is named 'epsilon'; did you mean 'eps'"):
        normlib.create("my_absolute", 8, epsilon=1.0)
    assert norms["my_absolute"].summary == "Divides by the mean absolute value of a position."
