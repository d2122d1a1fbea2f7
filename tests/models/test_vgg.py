"""Checks the VGG network: the layers of the paper's table 1, and the sides of the images on their way."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from normlib.models import models
from normlib.models.site import Sites


def sides_and_widths(side: int, depth: int) -> tuple[list[int], list[int]]:
    """The side of the image and the number of channels at each site."""
    sites = Sites()
    network = models["vgg"].cls(sites, (3, side, side), 10, depth=depth, width=1)
    seen: list[int] = []
    for site in sites.sites:
        site.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[2]))
    assert network(torch.zeros(2, 3, side, side)).shape == (2, 10)
    return seen, [site.num_features for site in sites.sites]


@pytest.mark.parametrize(
    ("depth", "widths"),
    [
        (11, [1, 2, 4, 4, 8, 8, 8, 8]),
        (13, [1, 1, 2, 2, 4, 4, 8, 8, 8, 8]),
        (16, [1, 1, 2, 2, 4, 4, 4, 8, 8, 8, 8, 8, 8]),
        (19, [1, 1, 2, 2, 4, 4, 4, 4, 8, 8, 8, 8, 8, 8, 8, 8]),
    ],
)
def test_layers_are_those_of_table_1(depth: int, widths: list[int]) -> None:
    assert sides_and_widths(8, depth)[1] == widths


def test_each_stage_halves_the_image_down_to_a_smallest_side() -> None:
    assert sides_and_widths(32, 13)[0] == [32, 32, 16, 16, 8, 8, 4, 4, 2, 2]
    assert sides_and_widths(8, 13)[0] == [8, 8, 4, 4, 2, 2, 2, 2, 2, 2]
    assert sides_and_widths(5, 13)[0] == [5, 5, 2, 2, 2, 2, 2, 2, 2, 2]


def test_on_32x32_images_it_is_the_usual_sequence_of_layers() -> None:
    network = models["vgg"].cls(Sites(), (3, 32, 32), 10, depth=11, width=2).eval()
    layers: list[nn.Module] = []
    for stage in network.stages:
        for layer in list(stage)[::2]:  # a site behind each
            layers += [layer, nn.ReLU()]
        layers.append(nn.MaxPool2d(2))
    usual = nn.Sequential(*layers, nn.Flatten(), network.classifier)
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(network(x), usual(x))
