"""Checks SkipInit and Fixup: the start of a residual network by the rules of their papers, what they train, and what is refused."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from normlib.norms import create
from normlib.norms.place import BranchPosition, CannotEnter, Place
from normlib.training.network import Network, NetworkShape, build_network

IMAGE = (1, 8, 8)
DEPTH = 20  # 9 branches of 2 layers
NUM_BRANCHES, NUM_LAYERS = 9, 2
BRANCHES = [f"blocks.{index}" for index in range(NUM_BRANCHES)]
# Float32 holds 6e-8 of a value; some twenty layers with values of order one stay below.
SINGLE = 1e-5


@pytest.fixture(scope="module")
def built(make_run: Callable[..., Any]) -> Callable[..., Network]:
    def network(norm: str, *overrides: str, **settings: Any) -> Network:
        spec = json.loads(
            json.dumps(make_run("model=resnet", "model.width=4", f"model.depth={DEPTH}", *overrides).spec)
        )
        spec["norm"] = {"name": norm, "gamma_noise": 0.0, "weights": None, **settings}
        return build_network(spec, NetworkShape(IMAGE, 10), total_steps=10)

    return network


def images(num: int = 3) -> Tensor:
    return torch.randn((num, *IMAGE), generator=torch.Generator().manual_seed(0))


def own_parameters(network: Network) -> dict[str, Tensor]:
    """The norm's parameters but for the sites' shifts."""
    parameters = dict(network.module.named_parameters())
    return {name: parameters[name] for name in network.norm_parameter_names if not name.endswith(".shift")}


def shortcut_alone(module: Any, x: Tensor) -> Tensor:
    """The network if every residual branch gave zero."""
    x = torch.relu(module.stem(x))
    for block in module.blocks:
        shortcut = x[:, :, :: block.stride, :: block.stride]
        before = block.new_channels // 2
        x = torch.relu(nn.functional.pad(shortcut, (0, 0, 0, 0, before, block.new_channels - before)))
    return module.classifier(x.mean((2, 3)))


# ---- skipinit ----------------------------------------------------------------------------------------------------------


def test_skipinit_has_one_multiplier_a_branch_and_starts_as_the_shortcut(built) -> None:
    network, plain = built("skipinit"), built("none")
    assert set(own_parameters(network)) == {f"{block}.site2.norm.alpha" for block in BRANCHES}
    assert network.reinitialized == () and network.trunk_hash == plain.trunk_hash
    assert all(torch.equal(network.trunk[name], value) for name, value in plain.trunk.items())
    assert torch.allclose(network.module(images()), shortcut_alone(network.module, images()), atol=SINGLE)
    assert not torch.allclose(plain.module(images()), shortcut_alone(plain.module, images()), atol=0.1)
    assert network.count_parameters()["norm"] == plain.count_parameters()["norm"] + NUM_BRANCHES


def test_skipinit_trains_its_multipliers_from_the_first_step(built) -> None:
    network = built("skipinit")
    network.module(images()).square().sum().backward()
    assert all(parameter.grad.abs() > 0 for parameter in own_parameters(network).values())


def test_skipinit_with_multipliers_of_one_is_no_norm_at_all(built) -> None:
    x = images()
    assert torch.allclose(built("skipinit", start=1.0).module(x), built("none").module(x), rtol=SINGLE, atol=SINGLE)


# ---- fixup -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["he", "torch"])
def test_fixup_starts_the_trunk_by_rules_1_and_2_and_nothing_else_of_it(scheme: str, built) -> None:
    network, plain = (built(norm, f"init.scheme={scheme}") for norm in ("fixup", "none"))
    for name, value in plain.trunk.items():
        got = network.trunk[name]
        if name.startswith("classifier") or name.endswith("conv2.weight"):
            assert not got.any(), name
        elif name.endswith("conv1.weight"):
            assert torch.allclose(got, value * NUM_BRANCHES ** (-1 / (2 * NUM_LAYERS - 2)), rtol=SINGLE), name
        else:
            assert torch.equal(got, value), name
    changed = {f"{block}.{layer}.weight" for block in BRANCHES for layer in ("conv1", "conv2")} | {"classifier.weight"}
    assert set(network.reinitialized) == changed | ({"classifier.bias"} if scheme == "torch" else set())
    assert network.trunk_hash == plain.trunk_hash, "the hash is of the trunk before the norm"


@pytest.mark.parametrize(
    ("num_layers", "num_branches", "scale"), [(2, 16, 1 / 4), (3, 16, 1 / 2), (4, 64, 1 / 2), (2, 1, 1.0)]
)
def test_fixup_scales_by_branches_and_layers(num_layers: int, num_branches: int, scale: float) -> None:
    layer = nn.Linear(3, 3, bias=False)
    before = layer.weight.detach().clone()
    create("fixup", 3).enter(Place(layer, "relu", BranchPosition(0, num_layers, num_branches), nn.Linear(3, 2)))
    assert torch.allclose(layer.weight, scale * before)


def test_a_branch_of_one_layer_starts_at_zero() -> None:
    layer = nn.Linear(3, 3, bias=False)
    create("fixup", 3).enter(Place(layer, None, BranchPosition(0, 1, 5), nn.Linear(3, 2)))
    assert not layer.weight.any(), "its exponent would be a division by zero"


def test_fixup_has_the_scalars_of_rule_3(built) -> None:
    network = built("fixup")
    scalars = {name: parameter.item() for name, parameter in own_parameters(network).items()}
    biases = {f"{block}.{site}.norm.bias_ahead": 0.0 for block in BRANCHES for site in ("site1", "site2")}
    assert scalars == biases | {f"{block}.site2.norm.multiplier": 1.0 for block in BRANCHES}


def test_a_branch_computes_what_the_paper_draws(built) -> None:
    """Figure 1 of the paper, right: bias, layer, bias, activation, bias, layer, multiplier, bias; a shift a channel for some of them."""
    module: Any = built("fixup").module
    block = module.blocks[0].double()
    norms = block.site1.norm, block.site2.norm
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    x = torch.randn((2, 4, 8, 8), generator=generator, dtype=torch.float64)
    first = nn.functional.conv2d(x + norms[0].bias_ahead, block.conv1.weight, padding=1)
    hidden = torch.relu(first + block.site1.shift[:, None, None])
    second = nn.functional.conv2d(hidden + norms[1].bias_ahead, block.conv2.weight, padding=1)
    expected = torch.relu(x + second * norms[1].multiplier + block.site2.shift[:, None, None])
    assert torch.allclose(block(x), expected, rtol=0, atol=1e-12)


def test_everything_of_fixup_trains_within_two_steps(built) -> None:
    network = built("fixup")
    optimizer = torch.optim.SGD(network.module.parameters(), lr=0.1)
    for _ in range(3):  # the classifier learns first, then the last layers of the branches, then all
        optimizer.zero_grad()
        nn.functional.cross_entropy(network.module(images()), torch.arange(3)).backward()
        optimizer.step()
    still = [name for name, parameter in network.module.named_parameters() if not parameter.grad.abs().max() > 0]
    assert still == []


@pytest.mark.parametrize("norm", ["skipinit", "fixup"])
def test_copies_and_pickles_of_a_network_stand_alone(norm: str, built) -> None:
    network = built(norm)
    with torch.no_grad():
        for parameter in own_parameters(network).values():
            parameter.add_(0.5)
        for name, parameter in network.trunk.items():
            if "conv2" in name or "classifier" in name:
                parameter.add_(0.1)
    expected = network.module(images())
    for other in (copy.deepcopy(network.module), pickle.loads(pickle.dumps(network.module))):
        assert torch.equal(other(images()), expected)
        with torch.no_grad():
            for parameter in network.module.parameters():
                parameter.zero_()
        assert torch.equal(other(images()), expected), "it follows the parameters of what it was made from"
        network.module.load_state_dict(other.state_dict())


# ---- what is refused -----------------------------------------------------------------------------------------------------


def test_fixup_needs_the_classifier_and_weights_of_the_layers_own() -> None:
    branch = BranchPosition(0, 2, 3)
    with pytest.raises(CannotEnter, match=r"does not say which layer that is; let it set sites\.classifier"):
        create("fixup", 3).enter(Place(nn.Linear(3, 3), "relu", branch, None))
    with pytest.raises(CannotEnter, match="ahead of a site in a branch there is none; use skipinit"):
        create("fixup", 3).enter(Place(None, "relu", branch, nn.Linear(3, 2)))
    layer = nn.Linear(3, 3)
    create("weight_norm", 3).enter(Place(layer))
    with pytest.raises(CannotEnter, match="is not its own parameter, but a method on weights"):
        create("fixup", 3).enter(Place(layer, "relu", branch, nn.Linear(3, 2)))


@pytest.mark.parametrize("norm", ["skipinit", "fixup"])
def test_a_network_without_branches_is_skipped_with_the_reason(norm: str, make_run) -> None:
    run = make_run("model=convnet", f"norm={norm}")
    assert run.skip_reason == (
        f"{norm} works on residual branches, but this network declares none; use model=resnet, or let the model make the sites "
        "of each branch inside sites.branch()"
    )
    assert make_run("model=resnet", f"norm={norm}").skip_reason is None


def test_fixup_beside_a_method_on_weights_is_skipped_with_the_reason(make_run) -> None:
    run = make_run("model=resnet", "norm=fixup", "norm.weights=weight_standardization")
    assert run.skip_reason is not None and "Fixup reinitializes the layers of residual branches" in run.skip_reason
    assert make_run("model=resnet", "norm=skipinit", "norm.weights=scaled_weight_standardization").skip_reason is None
