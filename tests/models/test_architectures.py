"""Checks torchvision's and timm's networks as trunks: a site for every norm, no bias ahead, one trunk for all norms, the same function."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from normlib.models import models
from normlib.models.site import Sites
from normlib.training.network import NetworkShape, build_network

IMAGE = (3, 32, 32)
NETWORKS = {
    "torchvision": {"resnet18": 20, "mobilenet_v3_small": 34, "vgg11_bn": 8, "convnext_tiny": 23},
    "timm": {"resnet18": 20, "vit_tiny_patch16_224": 25, "convnext_atto": 17, "regnetx_002": 44, "resnetv2_50": 49},
}
"""Of each network the number of its norms."""
CASES = [
    pytest.param(library, name, marks=[pytest.mark.vision, pytest.mark.skipif(not there, reason=f"{library} is not installed")])
    for library, networks in NETWORKS.items()
    for there in [importlib.util.find_spec(library) is not None]
    for name in networks
]  # fmt: skip
here = pytest.mark.parametrize(("library", "name"), CASES)


def spec_of(make_run: Callable[..., Any], library: str, name: str, norm: str) -> dict[str, Any]:
    """The spec of a run on 32 x 32 images; the digits of `make_run` are smaller, so the network's own check is left out."""
    run = make_run(f"model={library}", f"model.name={name}", "model.image_size=32", f"norm={norm}")
    return {**run.spec, "model": {**run.spec["model"], "image_size": None}}


@here
def test_every_norm_is_a_site_and_the_trunk_is_the_same(library: str, name: str, make_run) -> None:
    built = {
        norm: build_network(spec_of(make_run, library, name, norm), NetworkShape(IMAGE, 10), 1)
        for norm in ("batch", "group", "none")
    }
    assert len({network.trunk_hash for network in built.values()}) == 1
    for norm, network in built.items():
        assert len(network.sites) == NETWORKS[library][name]
        assert (
            not [m for m in network.module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
            or norm == "batch"
        )
    network = built["group"]
    loss = network.module(torch.randn(2, *IMAGE, generator=torch.Generator().manual_seed(0))).square().mean()
    loss.backward()
    assert loss.isfinite()
    assert all(parameter.grad is not None for parameter in network.trunk.values())


@pytest.mark.vision
def test_a_network_with_its_own_weights_and_norms_is_torchvisions() -> None:
    library = pytest.importorskip("torchvision", reason="torchvision is not installed")
    theirs = library.models.resnet18(weights=None, num_classes=10)
    sites = Sites()
    ours = models["torchvision"].cls(sites, (3, 64, 64), 10, name="resnet18")
    for site, norm in zip(sites.sites, (m for m in theirs.modules() if isinstance(m, nn.BatchNorm2d)), strict=True):
        nn.init.uniform_(norm.weight)
        site.norm = norm
    own = dict(ours.network.named_parameters())
    with torch.no_grad():
        for key, value in theirs.named_parameters():
            if key in own:
                own[key].copy_(value)
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(ours.eval()(x), theirs.eval()(x))
    assert sites.classifier is ours.network.fc
    assert [type(layer) for layer in sites.ahead.values()] == [nn.Conv2d] * 20


@pytest.mark.vision
def test_the_bias_ahead_of_a_norm_is_gone() -> None:
    pytest.importorskip("torchvision", reason="torchvision is not installed")
    sites = Sites()
    models["torchvision"].cls(sites, IMAGE, 10, name="vgg11_bn")
    assert all(isinstance(layer, nn.Conv2d) and layer.bias is None for layer in sites.ahead.values())


@pytest.mark.vision
@pytest.mark.parametrize(
    ("library", "name", "input_shape", "message"),
    [
        ("torchvision", "resnet81", IMAGE, "no model of torchvision is named 'resnet81'; did you mean 'resnet18'"),
        ("torchvision", "alexnet", (3, 64, 64), "has no normalization layer"),
        ("torchvision", "vgg11_bn", (1, 8, 8), "does not take inputs of shape .*: set model.image_size"),
        ("torchvision", "resnet18", (64,), r"needs images \(C, H, W\)"),
        ("timm", "resnet81", IMAGE, "no model of timm is named 'resnet81'; did you mean"),
        ("timm", "resnetv2_50x1_bit", IMAGE, r"standardizes its weights \(StdConv2d\).*norm.weights="),
    ],
)
def test_what_cannot_be_a_trunk_is_refused(library: str, name: str, input_shape: tuple[int, ...], message: str) -> None:
    pytest.importorskip(library, reason=f"{library} is not installed")
    with pytest.raises(ValueError, match=message):
        models[library].cls(Sites(), input_shape, 10, name=name)


@pytest.mark.vision
def test_dropout_is_the_authors_and_draws_from_the_networks_stream(make_run) -> None:
    library = pytest.importorskip("torchvision", reason="torchvision is not installed")
    ours = models["torchvision"].cls(Sites(), IMAGE, 10, name="mobilenet_v3_small")
    theirs = library.models.mobilenet_v3_small(num_classes=10)
    rates = [[m.p for m in network.modules() if isinstance(m, nn.Dropout)] for network in (ours, theirs)]
    assert rates[0] == rates[1] == [0.2]
    shape = NetworkShape(IMAGE, 10)
    assert build_network(spec_of(make_run, "torchvision", "mobilenet_v3_small", "group"), shape, 1).draws == ("torch",)
    assert build_network(spec_of(make_run, "torchvision", "resnet18", "group"), shape, 1).draws == ()


@pytest.mark.vision
@pytest.mark.parametrize("name", ["fcn_resnet50", "deeplabv3_resnet50", "lraspp_mobilenet_v3_large"])
def test_networks_for_segmentation_give_an_output_at_every_position(name: str) -> None:
    pytest.importorskip("torchvision", reason="torchvision is not installed")
    sites = Sites()
    with torch.device("meta"):
        network = models["torchvision"].cls(sites, IMAGE, 4, name=name, image_size=64)
    assert network(torch.zeros(2, *IMAGE, device="meta")).shape == (2, 4, 32, 32)
    assert isinstance(sites.classifier, nn.Conv2d)
    assert sites.classifier.out_channels == 4
    assert not [m for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    assert ("the auxiliary classifiers are off" in sites.changes) == (not name.startswith("lraspp"))


@pytest.mark.parametrize("library", ["torchvision", "timm"])
def test_a_missing_library_names_the_extra(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, library, None)
    extra = {"torchvision": "vision", "timm": "timm"}[library]
    with pytest.raises(ValueError, match=rf"model={library}: .* pip install 'normlib\[{extra}\]'"):
        models[library].cls(Sites(), IMAGE, 10)
