"""Checks conversion and folding on torchvision's and timm's models and layers, where they are installed."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

import normlib
from normlib.norms.base import Norm
from tests.conversion.networks import draw, lived_in, relative_difference

pytestmark = pytest.mark.vision


def torchvision_models() -> Any:
    return pytest.importorskip("torchvision", reason="torchvision is not installed").models


def timm() -> Any:
    return pytest.importorskip("timm", reason="timm is not installed")


@pytest.mark.parametrize(("name", "norms"), [("resnet18", 20), ("mobilenet_v3_small", 34), ("shufflenet_v2_x0_5", 56)])
def test_torchvision_keeps_its_bits_and_folds(name: str, norms: int) -> None:
    torch.manual_seed(0)
    model = lived_in(torchvision_models().get_model(name, weights=None), draw(2, 3, 64, 64, seed=1))
    x = draw(2, 3, 64, 64)
    with torch.no_grad():
        before, keys = model(x), list(model.state_dict())
        folded = normlib.fold(model)
        assert relative_difference(folded(x), before) < 1e-5
        assert len(normlib.conversion_report(folded).rows) == norms and not normlib.conversion_report(folded).left
        normlib.convert(model, "batch")
        assert torch.equal(model(x), before) and list(model.state_dict()) == keys


def test_convolutions_that_are_only_built_differently_fold() -> None:
    torch.manual_seed(0)
    x = draw(2, 3, 4, 32, 32)
    model = lived_in(torchvision_models().video.r3d_18(weights=None), draw(2, 3, 4, 32, 32, seed=1))
    folded = normlib.fold(model)
    assert relative_difference(folded(x), model(x)) < 1e-5
    assert len(normlib.conversion_report(folded).rows) == 20 and not normlib.conversion_report(folded).left


def test_a_norm_behind_a_flattened_linear_layer_folds() -> None:
    torch.manual_seed(0)
    model = lived_in(timm().create_model("levit_128s", num_classes=5), draw(2, 3, 224, 224, seed=1))
    x = draw(1, 3, 224, 224)
    folded = normlib.fold(model, example_inputs=x)
    assert relative_difference(folded(x), model(x)) < 1e-5
    left = normlib.conversion_report(folded).left
    assert [row.changed for row in left] == [("it follows mean, not a layer",)] * 2


def test_checks_of_the_shape_do_not_hinder() -> None:
    smp = pytest.importorskip("segmentation_models_pytorch", reason="segmentation_models_pytorch is not installed")
    torch.manual_seed(0)
    for name, norms in (("UnetPlusPlus", 42), ("MAnet", 38), ("Linknet", 35), ("FPN", 20), ("DeepLabV3Plus", 29)):
        model = lived_in(getattr(smp, name)("resnet18", encoder_weights=None), draw(2, 3, 64, 64, seed=1))
        folded = normlib.fold(model)
        assert (
            relative_difference(folded(draw(2, 3, 64, 64)), model(draw(2, 3, 64, 64))) < 1e-4
        )  # random decoders lose digits
        assert len(normlib.conversion_report(folded).rows) == norms and not normlib.conversion_report(folded).left


def test_a_convnext_has_both_layouts() -> None:
    torch.manual_seed(0)
    convnext = pytest.importorskip("torchvision.models.convnext", reason="torchvision is not installed")
    setting = [convnext.CNBlockConfig(8, 16, 1), convnext.CNBlockConfig(16, None, 1)]
    model = convnext.ConvNeXt(setting).eval()
    x = draw(2, 3, 32, 32)
    with torch.no_grad():
        before = model(x)
        normlib.convert(model, "layer")
        torch.testing.assert_close(model(x), before, rtol=1e-5, atol=1e-5)  # other kernels: a few roundings
        layouts = {module.channel_dim for module in model.modules() if isinstance(module, Norm)}
        normlib.convert(model, "batch")
        assert layouts == {1, -1} and model.train()(x).shape == before.shape


def test_frozen_stays_frozen() -> None:
    ops = pytest.importorskip("torchvision.ops", reason="torchvision is not installed")
    torch.manual_seed(0)
    model = torchvision_models().resnet18(weights=None, norm_layer=ops.FrozenBatchNorm2d).eval()
    model.bn1.running_mean.add_(0.5)
    x = draw(2, 3, 64, 64)
    with torch.no_grad():
        before = model(x)
        folded = normlib.fold(model)
        assert relative_difference(folded(x), before) < 1e-5 and isinstance(folded.bn1, nn.Identity)
        normlib.convert(model, "batch")
        assert relative_difference(model.train()(x), before) < 1e-5  # torchvision's own formula: other roundings
    assert model.bn1.running_mean.mean() == 0.5 and not any(p.requires_grad for p in model.bn1.parameters())
    assert "frozen" in normlib.conversion_report(model).rows[0].carried
    group = normlib.convert(model, "group")
    assert not any(p.requires_grad for p in group.bn1.parameters())


TIMM_MODELS = {  # whether it has batch norms, or layer norms
    "test_resnet": True,
    "test_efficientnet": True,
    "test_byobnet": True,
    "resnet18": True,
    "test_convnext": False,
    "test_vit": False,
}


@pytest.mark.parametrize("name", TIMM_MODELS)
def test_timm_models_convert(name: str) -> None:
    torch.manual_seed(0)
    model = timm().create_model(name, num_classes=5)
    size = model.default_cfg["input_size"][1] if "vit" in name else 64
    lived_in(model, draw(2, 3, size, size, seed=1))
    x = draw(2, 3, size, size)
    batch_norms = TIMM_MODELS[name]
    with torch.no_grad():
        before = model(x)
        converted = normlib.convert(copy.deepcopy(model), "batch" if batch_norms else "layer")
        if batch_norms:
            assert torch.equal(converted(x), before)
        else:
            torch.testing.assert_close(converted(x), before, rtol=1e-4, atol=1e-4)  # as many roundings as layers
        assert not any(type(module).__module__.startswith("timm.layers.norm") for module in converted.modules())
        assert normlib.convert(model, "group")(x).shape == before.shape
        assert not normlib.conversion_report(model).left


@pytest.mark.parametrize("name", ["test_efficientnet", "resnet18", "test_byobnet"])
def test_timm_models_fold(name: str) -> None:
    torch.manual_seed(0)
    model = lived_in(timm().create_model(name, num_classes=5), draw(2, 3, 64, 64, seed=1))
    with torch.no_grad():
        folded = normlib.fold(model)
        assert relative_difference(folded(draw(2, 3, 64, 64)), model(draw(2, 3, 64, 64))) < 1e-5
    assert not normlib.conversion_report(folded).left


NORMALIZED_IN_2D: list[tuple[str, dict[str, Any], str]] = [
    ("GroupNorm", {"num_groups": 2}, "group"),
    ("GroupNorm1", {}, "group"),
    ("LayerNorm2d", {}, "layer"),
    ("LayerNorm2dFp32", {}, "layer"),
    ("LayerNormExp2d", {}, "layer"),
    ("RmsNorm2d", {}, "rms"),
    ("RmsNorm2dFp32", {}, "rms"),
    ("BatchNormAct2d", {}, "batch"),
    ("GroupNormAct", {"num_groups": 2}, "group"),
    ("GroupNorm1Act", {}, "group"),
    ("LayerNormAct2d", {}, "layer"),
    ("LayerNormAct2dFp32", {}, "layer"),
    ("RmsNormAct2d", {}, "rms"),
    ("RmsNormAct2dFp32", {}, "rms"),
    ("FrozenBatchNormAct2d", {}, "batch"),
    ("FilterResponseNormTlu2d", {}, "frn"),
    ("FilterResponseNormTlu2d", {"apply_act": False}, "frn"),
    ("FilterResponseNormAct2d", {}, "frn"),
    ("EvoNorm2dB0", {}, "evonorm_b0"),
    ("EvoNorm2dS0", {"groups": 2}, "evonorm_s0"),
    ("EvoNorm2dS0", {"apply_act": False, "groups": 2}, "evonorm_s0"),
]


def timm_layer(name: str, **settings: Any) -> nn.Module:
    timm()
    for module in (
        "timm.layers.norm",
        "timm.layers.norm_act",
        "timm.layers.filter_response_norm",
        "timm.layers.evo_norm",
    ):
        found = getattr(pytest.importorskip(module), name, None)
        if found is not None:
            return found(6, **settings)
    pytest.skip(f"this timm has no {name}")


@pytest.mark.parametrize(("name", "settings", "method"), NORMALIZED_IN_2D)
def test_each_layer_of_timm_is_known_for_what_it_does(name: str, settings: dict[str, Any], method: str) -> None:
    layer = timm_layer(name, **settings)
    x = draw(4, 6, 5, 5) + 0.3
    lived_in(layer, x)
    new = normlib.convert(copy.deepcopy(layer), method)
    # The same formula, in other steps: roundings; timm's EvoNorm B0 keeps the unbiased variance, which is carried as it is.
    torch.testing.assert_close(new(x), layer(x), rtol=1e-4, atol=1e-4)
    report = normlib.conversion_report(new)
    assert not report.left and "reinitialized" not in str(report)


@pytest.mark.parametrize(("name", "method"), [("LayerNorm", "layer"), ("LayerNormFp32", "layer"), ("LayerNormAct", "layer"), ("RmsNorm", "rms"), ("RmsNormFp32", "rms"), ("RmsNormAct", "rms")])  # fmt: skip
def test_each_layer_of_timm_with_channels_last_is_known(name: str, method: str) -> None:
    layer = lived_in(timm_layer(name), draw(2, 5, 6))
    new = normlib.convert(copy.deepcopy(layer), method)
    torch.testing.assert_close(new(draw(2, 5, 6)), layer(draw(2, 5, 6)), rtol=1e-5, atol=1e-5)


def test_drop_and_activation_of_a_fused_layer_stay() -> None:
    layer = timm_layer("BatchNormAct2d", act_layer=nn.SiLU, drop_layer=nn.Dropout)
    new = normlib.convert(layer, "group")
    assert [type(module) for module in new] == [normlib.GroupNorm, nn.Dropout, nn.SiLU]
    plain = normlib.convert(timm_layer("BatchNormAct2d", apply_act=False), "group")
    assert isinstance(plain, normlib.GroupNorm)


def test_a_norm_with_an_activation_takes_the_place_of_norm_and_activation() -> None:
    model = nn.Sequential(timm_layer("BatchNormAct2d"), timm_layer("BatchNormAct2d", apply_act=False))
    normlib.convert(model, "frn")
    assert [norm.tau is not None for norm in model] == [True, False]
    assert "activation its own, not ReLU" in str(normlib.conversion_report(model))
    with pytest.raises(ValueError, match="0 had an activation of its own"):
        normlib.convert(model, "group")
    normlib.convert(model, "group", activation=nn.ReLU)
    assert [type(module) for module in model[0]] == [normlib.GroupNorm, nn.ReLU]
    assert isinstance(model[1], normlib.GroupNorm)
    with pytest.raises(ValueError, match="'frn' brings its own activation.*in 0.0, 1 the activation is elsewhere"):
        normlib.convert(model, "frn")


@pytest.mark.parametrize("name", ["SimpleNorm", "SimpleNormFp32", "SimpleNorm2d", "SimpleNorm2dFp32"])
def test_a_norm_of_timm_that_is_no_method_of_normlib_is_refused_or_named(name: str) -> None:
    with pytest.raises(ValueError, match=f"0 is a {name}, which normlib does not know; .* off by"):
        normlib.convert(nn.Sequential(timm_layer(name)), "rms")
    plain = nn.Sequential(nn.LayerNorm(6), timm_layer(name, affine=False))
    assert [row.path for row in normlib.conversion_report(normlib.convert(plain, "rms")).left] == ["1"]


def test_timm_freezes_what_to_torch_gives_back() -> None:
    freeze = pytest.importorskip("timm.layers", reason="timm is not installed").freeze_batch_norm_2d
    model = torchvision_models().resnet18(weights=None, norm_layer=normlib.BatchNorm)
    names = {type(module).__name__ for module in freeze(normlib.to_torch(model)).modules()}
    assert "FrozenBatchNorm2d" in names and not {"BatchNorm2d", "BatchNorm"} & names


def test_what_timm_has_and_normlib_does_not_know_is_named() -> None:
    grn = pytest.importorskip("timm.layers.grn", reason="timm is not installed").GlobalResponseNorm
    with pytest.raises(ValueError, match="1 is a GlobalResponseNorm, which normlib does not know"):
        normlib.convert(nn.Sequential(nn.LayerNorm(3), grn(3)), "group")
