"""Checks that norms of unknown classes are known by their numbers, and that what is nearly one is refused with the figures."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import normlib
from normlib.conversion.description import UnknownNorm
from normlib.conversion.measure import measure
from tests.conversion.networks import draw, lived_in


class LlamaRMSNorm(nn.Module):
    """As in Hugging Face's Llama: float32 inside, eps under another name."""

    def __init__(self, width: int = 6, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight, self.variance_epsilon = nn.Parameter(torch.ones(width)), eps

    def forward(self, x: Tensor) -> Tensor:
        y = x.to(torch.float32)
        y = y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)
        return self.weight * y.to(x.dtype)


class GemmaRMSNorm(LlamaRMSNorm):
    """Its gain is one more than its weight, which starts at zero."""

    def forward(self, x: Tensor) -> Tensor:
        y = x.float() * torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + self.variance_epsilon)
        return (y * (1 + self.weight.float())).type_as(x)


class ClipLayerNorm(nn.LayerNorm):
    """As in OpenAI's CLIP: computes in float32 alone."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.to(torch.float32)).to(x.dtype)


class ImageNorm(nn.Module):
    """A scale and a shift for channels in dimension 1; subclasses say what is standardized, and how."""

    def __init__(self, width: int = 6, ones: tuple[int, ...] = (1, 1)) -> None:
        super().__init__()
        self.gamma, self.beta = nn.Parameter(torch.ones(width, *ones)), nn.Parameter(torch.zeros(width, *ones))

    axes: tuple[int, ...] = (1,)

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean(self.axes, keepdim=True)
        var = (x - mean).square().mean(self.axes, keepdim=True)
        return self.gamma * (x - mean) / torch.sqrt(var + 1e-6) + self.beta


class ImageNormBySample(ImageNorm):
    axes = (1, 2, 3)


class ImageNormByChannel(ImageNorm):
    axes = (2, 3)


class Grouped(nn.Module):
    """Says no norm in its name, but calls the function."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.ones(6)), nn.Parameter(torch.zeros(6))

    def forward(self, x: Tensor) -> Tensor:
        return F.group_norm(x, 3, self.scale, self.shift, eps=1e-4)


class MyBatchNorm(nn.Module):
    def __init__(self, momentum: float = 0.02, frozen: bool = False, unbiased: bool = True) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(6)), nn.Parameter(torch.zeros(6))
        self.register_buffer("running_mean", torch.zeros(6))
        self.register_buffer("running_var", torch.ones(6))
        self.momentum, self.frozen, self.unbiased = momentum, frozen, unbiased

    def forward(self, x: Tensor) -> Tensor:
        mean, var = self.running_mean, self.running_var
        if self.training and not self.frozen:
            mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3), correction=0)
            count = x.numel() / x.shape[1]
            with torch.no_grad():
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(var * (count / (count - 1) if self.unbiased else 1), self.momentum)
        row = (1, -1, 1, 1)
        x_hat = (x - mean.view(row)) / (var.view(row) + 1e-3).sqrt()
        return x_hat * self.weight.view(row) + self.bias.view(row)


KNOWN: dict[str, tuple[Callable[[], nn.Module], str, tuple[int, ...], str]] = {
    "Llama": (LlamaRMSNorm, "rms", (3, 5, 6), "rms norm, scope=position, eps=1e-06"),
    "Llama, large eps": (lambda: LlamaRMSNorm(eps=1e-2), "rms", (3, 5, 6), "rms norm, scope=position, eps=0.01"),
    "Llama, no eps": (lambda: LlamaRMSNorm(eps=0.0), "rms", (3, 5, 6), "rms norm, scope=position, eps=0"),
    "Gemma": (GemmaRMSNorm, "rms", (3, 5, 6), "rms norm, scope=position, eps=1e-06, gain 1 + weight"),
    "CLIP": (lambda: ClipLayerNorm(6), "layer", (3, 5, 6), "layer norm, scope=position, eps=1e-05"),
    "channels first": (ImageNorm, "layer", (3, 6, 4, 4), "layer norm, scope=position, eps=1e-06"),
    "whole samples": (ImageNormBySample, "layer", (3, 6, 4, 4), "layer norm, scope=sample, eps=1e-06"),
    "each channel": (ImageNormByChannel, "instance", (3, 6, 4, 4), "instance norm, eps=1e-06"),
    "groups": (Grouped, "group", (3, 6, 4, 4), "group norm, num_groups=3, eps=0.0001"),
    "batch": (MyBatchNorm, "batch", (3, 6, 4, 4), "batch norm, eps=0.001, momentum=0.02"),
    "frozen batch": (lambda: MyBatchNorm(frozen=True), "batch", (3, 6, 4, 4), "batch norm, eps=0.001"),
}


@pytest.mark.parametrize("case", KNOWN)
def test_a_norm_is_known_by_its_numbers(case: str) -> None:
    build, method, shape, words = KNOWN[case]
    old = lived_in(build(), draw(*shape, seed=1) + 1)
    state = copy.deepcopy(old.state_dict())
    new = normlib.convert(nn.Sequential(copy.deepcopy(old)), method)
    assert all(torch.equal(value, old.state_dict()[name]) for name, value in state.items())
    report = str(normlib.conversion_report(new))
    assert f"what it computes, measured: {words}" in report and isinstance(new[0], normlib.Norm)
    for scale in (1e-3, 1.0, 1e3):
        torch.testing.assert_close(new(draw(*shape) * scale), old(draw(*shape) * scale), rtol=1e-5, atol=1e-5)
    x = draw(*shape) + 1
    torch.testing.assert_close(new.train()(x), old.train()(x), rtol=1e-5, atol=1e-5)
    for name, buffer in old.named_buffers():
        torch.testing.assert_close(new[0].get_buffer(name), buffer, rtol=1e-5, atol=1e-6)


def test_the_scale_stays_the_same_parameter_or_becomes_one_more() -> None:
    llama, gemma = LlamaRMSNorm(), GemmaRMSNorm()
    weight = llama.weight
    gemma.weight.data.fill_(0.25).requires_grad_(True)
    model = normlib.convert(nn.Sequential(llama, gemma), "rms")
    assert model[0].weight is weight and model[0].eps == 1e-6
    assert torch.equal(model[1].weight, torch.full((6,), 1.25)) and model[1].weight.requires_grad
    assert "weight is 1 + the old weight, a new parameter" in normlib.conversion_report(model).rows[1].changed[0]


def test_a_known_norm_becomes_any_other() -> None:
    model = normlib.convert(nn.Sequential(LlamaRMSNorm(), ImageNorm()), "group", num_groups=2)
    assert [(norm.channel_dim, norm.eps) for norm in model] == [(-1, 1e-6), (1, 1e-6)]


class Scaler(LlamaRMSNorm):
    """Neither its name nor its code says norm."""


def test_a_class_of_which_the_user_says_what_it_is() -> None:
    with pytest.raises(ValueError, match="no normalization layer"):
        normlib.convert(nn.Sequential(Scaler()), "layer")
    assert isinstance(normlib.convert(nn.Sequential(Scaler()), "rms", known={Scaler: "rms"})[0], normlib.Norm)
    with pytest.raises(ValueError, match="0 is a Scaler; of the methods tried, rms norm.*is said to be layer norm"):
        normlib.convert(nn.Sequential(Scaler()), "rms", known={Scaler: "layer"})


class UnbiasedNorm(ImageNorm):
    def forward(self, x: Tensor) -> Tensor:
        return self.gamma * (x - x.mean(1, keepdim=True)) / (x.var(1, keepdim=True) + 1e-6).sqrt() + self.beta


class EpsOutsideNorm(ImageNorm):
    def forward(self, x: Tensor) -> Tensor:
        deviation = x.std(1, keepdim=True, correction=0)
        return self.gamma * (x - x.mean(1, keepdim=True)) / (deviation + 1e-3) + self.beta


class SimpleNorm(LlamaRMSNorm):
    """As timm's: divides by the deviation and leaves the mean in."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.var(-1, keepdim=True) + 1e-6) * self.weight


class NoisyNorm(LlamaRMSNorm):
    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(super().forward(x), 0.5, self.training)


class SquaredGainNorm(LlamaRMSNorm):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * self.weight


class UnusedNumbersNorm(LlamaRMSNorm):
    def __init__(self) -> None:
        super().__init__()
        self.more = nn.Parameter(torch.ones(6))


class TwoInputsNorm(LlamaRMSNorm):
    def forward(self, x: Tensor, style: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x) * style


REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "unbiased variance": (UnbiasedNorm, r"gain of each channel is none of its gamma, beta, nor 1 more: off by 0\.\d+"),
    "eps outside the root": (EpsOutsideNorm, r"for values of about .*, off by \d\.\d+"),
    "the deviation alone": (SimpleNorm, r"of the methods tried, rms norm, scope=\w+ is nearest, off by 0\.\d+ of the largest"),
    "noise in training": (NoisyNorm, r"in training mode, for values of about 1, off by"),
    "another gain": (SquaredGainNorm, "gain of each channel is none of its weight"),
    "numbers without a part": (UnusedNumbersNorm, "what its more does is not found"),
    "two inputs": (TwoInputsNorm, "it takes no input of shape"),
    "biased running variance": (lambda: MyBatchNorm(unbiased=False), r"its running_var does not move to the batch's by a momentum of 0\.02"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_nearly_a_norm_is_refused_with_the_figures(case: str) -> None:
    build, message = REFUSED[case]
    model = nn.Sequential(build())
    with pytest.raises(ValueError, match=rf"0 is a \w+, which normlib does not know; .*{message}"):
        normlib.convert(model, "group")


class StandardizedConvolution(nn.Module):
    """Calls a norm function on a weight of many numbers, which are no channels."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(64, 64, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, F.layer_norm(self.weight, self.weight.shape[1:]))


def test_a_large_weight_is_not_taken_for_channels() -> None:
    with pytest.raises(UnknownNorm, match="does not have one number or a few for each channel"):
        measure(StandardizedConvolution())
    (row,) = normlib.conversion_report(
        normlib.convert(nn.Sequential(StandardizedConvolution(), nn.BatchNorm2d(4)), "group")
    ).left
    assert row.path == "0" and "it calls F.layer_norm" in row.changed[0]


@pytest.mark.parametrize("width", [2, 3, 4, 5, 7, 12])
def test_no_width_is_mistaken_for_a_size_of_the_probe(width: int) -> None:
    for eps in (1e-12, 3e-5):
        found = measure(LlamaRMSNorm(width, eps))
        assert (found.method, found.channel_dim, found.num_features) == ("rms", -1, width)
        assert found.eps == pytest.approx(eps, rel=1e-4) and found.settings == {"scope": "position"}
