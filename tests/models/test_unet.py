"""Checks the U-Net: its up-convolution against torch's, what passes across, its levels, and the images it takes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from normlib.models import models
from normlib.models.site import Sites
from normlib.norms import create
from tests.models.few_data import CLASSES, FewMasks, error_rate_after_training


def build(*shape: int, **settings: int) -> tuple[nn.Module, Sites]:
    torch.manual_seed(0)
    sites = Sites("gelu")
    return models["unet"].cls(sites, shape or (2, 8, 8), 3, **{"depth": 2, "width": 2, **settings}), sites


def images(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def test_the_way_up_is_a_transposed_convolution_of_2x2() -> None:
    network, _ = build()
    enlarge = network.enlarge[0]
    torchs = nn.ConvTranspose2d(4, 2, 2, stride=2, bias=False)
    with torch.no_grad():
        torchs.weight.copy_(enlarge.weight.view(2, 2, 2, 4).permute(3, 0, 1, 2))  # (in, out, 2, 2)
        enlarge.bias.zero_()
    x = images(3, 4, 5, 7)
    torch.testing.assert_close(F.pixel_shuffle(enlarge(x), 2), torchs(x))


def test_what_a_level_had_on_the_way_down_is_beside_what_comes_up() -> None:
    network, _ = build()
    entered: list[Tensor] = []
    passed: list[Tensor] = []
    network.up[0].register_forward_pre_hook(lambda _, inputs: entered.append(inputs[0]))
    network.down[0].register_forward_hook(lambda _, inputs, output: passed.append(output))
    network(images(1, 2, 8, 8))
    assert torch.equal(entered[0][:, :2], passed[0])
    assert entered[0].shape == (1, 4, 8, 8)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_each_level_halves_the_sides_and_doubles_the_width(depth: int) -> None:
    network, sites = build(1, 8, 16, depth=depth)
    seen: list[tuple[int, ...]] = []
    for site in sites.sites:
        site.register_forward_pre_hook(lambda _, inputs: seen.append(tuple(inputs[0].shape[1:])))
    assert network(images(2, 1, 8, 16)).shape == (2, 3, 8, 16)
    down = [(2 * 2**level, 8 // 2**level, 16 // 2**level) for level in range(depth)]
    assert seen[::2] == seen[1::2] == [*down, *reversed(down[:-1])]


def test_an_output_sees_distant_pixels_through_the_lower_levels_alone() -> None:
    changed = images(1, 2, 16, 16)
    changed[..., 0, 0] += 1
    for depth, sees in ((1, False), (3, True)):
        network, _ = build(2, 16, 16, depth=depth)
        difference = (network(changed) - network(images(1, 2, 16, 16))).abs().sum(1)[0]
        assert bool(difference[0, 0] > 0)
        assert bool(difference[0, 10] > 0) == sees


def test_it_learns_the_class_of_each_pixel(tmp_path: Path) -> None:
    network, sites = build(1, 8, 8, width=8)
    for site in sites.sites:
        site.install(create("batch", site.num_features))
    assert network.classifier.out_channels == CLASSES
    assert error_rate_after_training(network, FewMasks().load(tmp_path)["all"], classes_dim=1, steps=40) < 0.05


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (
            (1, 6, 8),
            r"sides are multiples of 4, but the data's input is \(1, 6, 8\); use a smaller model.depth, or pad",
        ),
        ((1, 40), r"needs images \(C, H, W\), but the data's input is \(1, 40\)"),
    ],
)
def test_images_that_do_not_fit_are_refused(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(*shape, depth=3)
