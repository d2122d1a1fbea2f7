"""Checks the methods on weights: against float64 references written from the papers, torch and timm; over every kind of layer.

The references are in plain tensor operations on a matrix of output channels by fan-in; nothing in them is shared with normlib.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

from normlib.norms import create, norms
from normlib.norms.place import CannotEnter, Place

EPS = 1e-5
ON_WEIGHTS = [entry.name for entry in norms.entries() if entry.cls.slot == "weight"]
LAYERS: dict[str, Callable[[], Any]] = {
    "linear": lambda: nn.Linear(6, 4, bias=False),
    "conv1d": lambda: nn.Conv1d(6, 4, 3, bias=False),
    "conv2d": lambda: nn.Conv2d(6, 4, 3, bias=False),
    "grouped": lambda: nn.Conv2d(6, 4, 3, groups=2, bias=False),
    "depthwise": lambda: nn.Conv2d(4, 4, 3, groups=4, bias=False),
    "conv3d": lambda: nn.Conv3d(6, 4, 2, bias=False),
    "transposed1d": lambda: nn.ConvTranspose1d(6, 4, 3, bias=False),
    "transposed2d": lambda: nn.ConvTranspose2d(6, 4, 3, bias=False),
    "transposed3d": lambda: nn.ConvTranspose3d(6, 4, 2, bias=False),
}
# Float64 holds 1e-16 of a value; a few dozen operations on values of order one stay far below.
DOUBLE = 1e-12
# Float32 holds 6e-8 of a value.
SINGLE = 1e-5


def draw(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def layer_of(kind: str, dtype: torch.dtype = torch.float64) -> Any:
    layer = LAYERS[kind]()
    with torch.no_grad():
        layer.weight.copy_(0.3 * draw(tuple(layer.weight.shape)) + 0.1)
    return layer.to(dtype)


def entered(name: str, layer: Any, activation: str | None = "relu", **settings: Any) -> Any:
    """The norm that has entered ahead of which `layer` stands; the power method starts from fixed numbers."""
    norm = create(name, 4, **settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        norm.enter(Place(ahead=layer, activation=activation))
    return norm


def use(layer: Any) -> Tensor:
    """The weight, computed once more: in training this is a step of the power method."""
    return layer.weight


def matrix(layer: Any, weight: Tensor) -> Tensor:
    """Output channels by fan-in, index by index."""
    out = 1 if isinstance(layer, nn.modules.conv._ConvTransposeNd) else 0
    return torch.stack([weight.select(out, index).reshape(-1) for index in range(weight.shape[out])])


# ---- references ------------------------------------------------------------------------------------------------------


def weight_norm(v: Tensor, g: Tensor) -> Tensor:
    """Salimans, Kingma 2016, equation 2, unit by unit."""
    return torch.stack([g[i] * v[i] / (v[i] ** 2).sum().sqrt() for i in range(len(v))])


def weight_standardization(w: Tensor) -> Tensor:
    """Qiao et al. 2019, mean and standard deviation over the I weights of an output channel; epsilon as in the norm."""
    size = w.shape[1]
    mean = w.sum(1, keepdim=True) / size
    return (w - mean) / (((w - mean) ** 2).sum(1, keepdim=True) / size + EPS**2).sqrt()


def scaled_weight_standardization(w: Tensor, gamma: float, gain: Tensor) -> Tensor:
    """Brock et al. 2021: gamma (W - mu) / (sigma sqrt(N)), times the gain of the output channel."""
    size = w.shape[1]
    mean = w.sum(1, keepdim=True) / size
    sigma = (((w - mean) ** 2).sum(1, keepdim=True) / size).sqrt()
    return gain[:, None] * gamma * (w - mean) / (sigma * size**0.5)


@pytest.mark.parametrize("kind", LAYERS)
def test_weight_norm_is_that_of_the_paper(kind: str) -> None:
    layer = layer_of(kind)
    before = layer.weight.detach().clone()
    norm = entered("weight_norm", layer)
    assert torch.allclose(layer.weight, before, rtol=0, atol=DOUBLE), "the network starts as it is"
    (g,) = norm.acting[0].parameters()
    assert torch.allclose(g, matrix(layer, before).norm(dim=1))
    with torch.no_grad():
        g.copy_(draw((4,), seed=1))
        layer.parametrizations.weight.original.mul_(3.0)
    expected = weight_norm(matrix(layer, 3 * before), g)
    assert torch.allclose(matrix(layer, layer.weight), expected, rtol=0, atol=DOUBLE)


@pytest.mark.parametrize("kind", LAYERS)
def test_weight_standardization_is_that_of_the_paper(kind: str) -> None:
    layer = layer_of(kind)
    expected = weight_standardization(matrix(layer, layer.weight.detach()))
    entered("weight_standardization", layer)
    assert torch.allclose(matrix(layer, layer.weight), expected, rtol=0, atol=DOUBLE)


@pytest.mark.parametrize("kind", LAYERS)
def test_scaled_weight_standardization_is_that_of_the_paper(kind: str) -> None:
    layer = layer_of(kind)
    before = matrix(layer, layer.weight.detach())
    norm = entered("scaled_weight_standardization", layer, activation="gelu")
    gain = norm.acting[0].gain
    assert torch.equal(gain, torch.ones(4))
    with torch.no_grad():
        gain.copy_(draw((4,), seed=1))
    expected = scaled_weight_standardization(before, 1.7015043497085571, gain)
    assert torch.allclose(matrix(layer, layer.weight), expected, rtol=0, atol=DOUBLE)


@pytest.mark.parametrize("kind", LAYERS)
def test_spectral_norm_reaches_the_largest_singular_value(kind: str) -> None:
    layer = layer_of(kind)
    before = matrix(layer, layer.weight.detach())
    entered("spectral_norm", layer)
    for _ in range(300):
        weight = use(layer)
    # The power method's error falls by the square of the ratio of the two largest singular values each time.
    second, first = torch.linalg.svdvals(before)[:2].flip(0)
    assert second / first < 0.97, "else 300 iterations are too few"
    assert torch.allclose(matrix(layer, weight), before / first, rtol=1e-6, atol=1e-6)


# ---- other people's code ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["linear", "conv2d", "transposed2d"])
@pytest.mark.parametrize("name", ["weight_norm", "spectral_norm"])
def test_values_and_gradients_are_those_of_torch(name: str, kind: str) -> None:
    ours, theirs = layer_of(kind), layer_of(kind)
    entered(name, ours)
    output = 1 if kind.startswith("transposed") else 0
    torch.manual_seed(0)
    if name == "weight_norm":
        parametrizations.weight_norm(theirs, dim=output)
    else:
        parametrizations.spectral_norm(theirs)
        for layer in (ours, theirs):
            for _ in range(300):  # their vectors start elsewhere; both go to the same ones, up to a common sign
                use(layer)
    assert torch.allclose(ours.weight, theirs.weight, rtol=0, atol=1e-6 if name == "spectral_norm" else DOUBLE)
    along = draw(tuple(ours.weight.shape), seed=2)
    for layer in (ours, theirs):
        (layer.weight * along).sum().backward()
    original = (
        "original1" if name == "weight_norm" else "original"
    )  # theirs keeps length and direction as original0 and 1
    got, expected = ours.parametrizations.weight.original.grad, getattr(theirs.parametrizations.weight, original).grad
    assert torch.allclose(got, expected, rtol=0, atol=1e-6 if name == "spectral_norm" else DOUBLE)


@pytest.mark.vision
@pytest.mark.parametrize("scaled", [False, True], ids=["weight_standardization", "scaled_weight_standardization"])
def test_outputs_are_those_of_timm(scaled: bool) -> None:
    layers = pytest.importorskip("timm.layers", reason="timm is not installed")
    gamma = 1.7139588594436646
    theirs = (
        layers.ScaledStdConv2d(6, 4, 3, padding=0, gamma=gamma, eps=1e-12, bias=False)
        if scaled
        else layers.StdConv2d(6, 4, 3, padding=0, eps=EPS**2)  # timm adds it to the variance
    )
    ours = layer_of("conv2d", torch.float32)
    theirs.load_state_dict({"weight": ours.weight}, strict=False)
    entered("scaled_weight_standardization" if scaled else "weight_standardization", ours)
    x = draw((2, 6, 5, 5), seed=3).float()
    assert torch.allclose(ours(x), theirs(x), atol=SINGLE)


# ---- what they promise -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ON_WEIGHTS)
def test_the_layers_own_parameter_stays_and_trains(name: str) -> None:
    layer = layer_of("conv2d", torch.float32)
    parameter, value = layer.weight, layer.weight.detach().clone()
    norm = entered(name, layer)
    assert layer.parametrizations.weight.original is parameter and torch.equal(parameter, value)
    layer(draw((2, 6, 5, 5)).float()).square().sum().backward()
    assert parameter.grad is not None and parameter.grad.abs().max() > 0
    x = draw((2, 4, 3, 3)).float()
    assert norm(x) is x, "the input passes as it is"
    assert not list(norm.parameters()) and not norm.state_dict()


@pytest.mark.parametrize("name", ON_WEIGHTS)
def test_under_autocast_the_weights_are_computed_in_float32(name: str) -> None:
    plain, mixed = layer_of("linear", torch.float32), layer_of("linear", torch.float32)
    for layer in (plain, mixed):
        entered(name, layer)
    expected = plain.weight
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = mixed.weight
        assert mixed(draw((2, 6)).float()).dtype is torch.bfloat16
    assert torch.equal(got, expected)


@pytest.mark.parametrize("name", ON_WEIGHTS)
def test_weights_in_half_precision_keep_their_type_and_are_right(name: str) -> None:
    half, double = layer_of("linear", torch.bfloat16), layer_of("linear", torch.bfloat16).double()
    for layer in (half, double):
        entered(name, layer)
    assert half.weight.dtype is torch.bfloat16
    # bfloat16 holds 4e-3 of a value; the weights, and g and u as they are kept, are each rounded once.
    assert torch.allclose(half.weight.double(), double.weight, rtol=1.6e-2, atol=1.6e-2)


@pytest.mark.parametrize("name", ON_WEIGHTS)
@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (None, "ahead of a site of this network there is none; use a norm that works on the input"),
        (nn.Embedding(3, 4), r"there is Embedding\(3, 4\)"),
        (nn.ConvTranspose2d(4, 4, 3, groups=2), "keeps those of its groups in one row; use groups=1"),
    ],
    ids=["none", "embedding", "grouped_transposed"],
)
def test_a_layer_it_cannot_work_on_is_refused(name: str, layer: nn.Module | None, message: str) -> None:
    with pytest.raises(CannotEnter, match=message):
        create(name, 4).enter(Place(ahead=layer))


@pytest.mark.parametrize("name", ["weight_standardization", "scaled_weight_standardization"])
def test_a_single_weight_an_output_channel_is_refused(name: str) -> None:
    with pytest.raises(CannotEnter, match="has one weight for each: it would always be zero"):
        create(name, 4).enter(Place(ahead=nn.Conv2d(4, 4, 1, groups=4)))


def test_a_second_method_on_one_layer_is_refused() -> None:
    layer = layer_of("linear")
    entered("weight_norm", layer)
    with pytest.raises(CannotEnter, match="would be the second method on the weights of"):
        entered("weight_standardization", layer)


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="num_power_iterations is at least 1, got 0"):
        create("spectral_norm", 4, num_power_iterations=0)
    with pytest.raises(CannotEnter, match="no gamma for the activation 'mish', only for .*relu.*; set gamma"):
        entered("scaled_weight_standardization", layer_of("linear"), activation="mish")


def test_rows_of_zeros_stay_finite() -> None:
    for name in ON_WEIGHTS:
        layer = nn.Linear(3, 4, bias=False)
        nn.init.zeros_(layer.weight)
        entered(name, layer)
        layer(torch.ones(2, 3)).sum().backward()
        assert layer.weight.isfinite().all() and layer.parametrizations.weight.original.grad.isfinite().all(), name


@pytest.mark.parametrize(
    ("activation", "gamma"), [("relu", math.sqrt(2 / (1 - 1 / math.pi))), ("gelu", None), ("tanh", None)]
)
def test_gamma_gives_the_activation_of_normal_values_variance_one(activation: str, gamma: float | None) -> None:
    from normlib.models.site import ACTIVATIONS
    from normlib.norms.weights.scaled_weight_standardization import GAMMAS

    z = torch.linspace(-12, 12, 100_001, dtype=torch.float64)
    weight = torch.exp(-z.square() / 2) / torch.exp(-z.square() / 2).sum()
    y = ACTIVATIONS[activation](z)
    mean = (weight * y).sum()
    exact = (weight * (y - mean).square()).sum().rsqrt()
    # The authors found theirs by simulation on a quarter of a million values: right to about a thousandth.
    assert GAMMAS[activation] == pytest.approx(float(exact), rel=2e-3)
    assert gamma is None or gamma == pytest.approx(float(exact), rel=1e-4)


def test_scaled_weight_standardization_takes_gamma_of_the_activation_and_leaves_its_gain_out() -> None:
    weights = []
    for activation, settings in (("relu", {}), (None, {}), ("relu", {"gamma": 2.0}), ("relu", {"affine": False})):
        layer = layer_of("linear")
        norm = entered("scaled_weight_standardization", layer, activation=activation, **settings)
        weights.append(layer.weight.detach())
        assert len(list(norm.acting[0].parameters())) == (0 if settings == {"affine": False} else 1)
    relu, identity, twice, without_gain = weights
    assert torch.allclose(relu, identity * 1.7139588594436646) and torch.allclose(twice, 2 * identity)
    assert torch.equal(without_gain, relu)
    assert torch.allclose(identity.square().sum(1), torch.ones(4, dtype=torch.float64)), "N times variance 1/N"


def test_scaled_weight_standardization_keeps_the_variance_through_a_deep_relu_network() -> None:
    x = draw((256, 128), seed=5)
    for depth in range(12):
        layer = nn.Linear(128, 128, bias=False, dtype=torch.float64)
        with torch.no_grad():
            layer.weight.copy_(0.1 * draw((128, 128), seed=10 + depth))
        create("scaled_weight_standardization", 128).enter(Place(ahead=layer, activation="relu"))
        x = torch.relu(layer(x)).detach()
    # Each of twelve layers is one draw of 128 x 128 weights, whose variance of the output scatters by about a tenth.
    assert 0.5 < float(x.var()) < 2


# ---- the state of spectral norm, and switches ------------------------------------------------------------------------


def test_u_moves_in_training_alone_and_not_when_frozen() -> None:
    layer = layer_of("linear")
    norm = entered("spectral_norm", layer)
    with torch.no_grad():
        layer.parametrizations.weight.original.add_(draw((4, 6), seed=1))  # away from where u points
    function = norm.acting[0]
    before = function.u.clone()
    layer.eval()
    use(layer)
    assert torch.equal(function.u, before), "eval mode moves nothing"
    layer.train()
    norm.freeze()
    use(layer)
    assert torch.equal(function.u, before), "a frozen norm moves nothing"
    norm.unfreeze()
    use(layer)
    assert not torch.equal(function.u, before)


def test_spectral_norm_allows_two_forward_passes_before_one_backward() -> None:
    layer = layer_of("linear")
    entered("spectral_norm", layer)
    x = draw((2, 6))
    (layer(x).sum() + layer(2 * x).sum()).backward()
    assert layer.parametrizations.weight.original.grad.isfinite().all()


@pytest.mark.parametrize("name", ["weight_norm", "scaled_weight_standardization"])
def test_freezing_a_norm_freezes_what_it_trains_in_the_layer_and_not_the_layer(name: str) -> None:
    layer = layer_of("linear")
    norm = entered(name, layer)
    (own,) = norm.acting[0].parameters()
    norm.freeze()
    assert not own.requires_grad and layer.parametrizations.weight.original.requires_grad
    norm.unfreeze()
    assert own.requires_grad


@pytest.mark.parametrize("name", ON_WEIGHTS)
def test_a_deep_copy_of_a_network_has_switches_of_its_own(name: str) -> None:
    layer = layer_of("linear")
    network = nn.Sequential(layer, entered(name, layer))
    other = copy.deepcopy(network)
    assert other[1].acting[0] is other[0].parametrizations.weight[0] is not network[1].acting[0]
    assert parametrize.is_parametrized(other[0]) and torch.equal(other.eval()[0].weight, network.eval()[0].weight)


def test_weight_standardization_gives_rows_of_variance_one_to_small_weights_of_a_large_fan_in() -> None:
    """With 1e-5 itself inside the root these rows came out with deviations of 0.26 to 0.63."""
    for deviation in (8e-4, 2.5e-3):
        layer = nn.Conv2d(512, 4, 3, bias=False)
        with torch.no_grad():
            layer.weight.copy_(draw((4, 512, 3, 3)) * deviation)
        entered("weight_standardization", layer)
        rows = layer.weight.detach().flatten(1).double()
        torch.testing.assert_close(rows.var(1, correction=0), torch.ones(4).double(), rtol=2e-4, atol=0)
