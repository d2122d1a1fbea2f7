"""A multilayer perceptron: linear layers with a site after each, then a linear classifier."""

from __future__ import annotations

import math

from torch import Tensor, nn

from normlib.models import register
from normlib.models.site import Sites


@register("mlp")
class MLP(nn.Module):
    """`depth` linear layers of `width` units on the flattened input, each with a site, then a linear classifier.

    Input (N, *input_shape), output (N, num_outputs). Sites see (N, width): flat features without positions.

    Settings:
        depth: linear layers, each with a site
        width: units of each layer
    """

    def __init__(
        self, sites: Sites, input_shape: tuple[int, ...], num_outputs: int, depth: int = 4, width: int = 128
    ) -> None:
        super().__init__()
        if depth < 1 or width < 1:
            raise ValueError(f"mlp: depth and width are at least 1, got depth={depth}, width={width}")
        self.layers = nn.ModuleList()
        self.sites = nn.ModuleList()
        in_features = math.prod(input_shape)
        for _ in range(depth):
            layer = nn.Linear(in_features, width, bias=False)
            self.layers.append(layer)
            self.sites.append(sites(width, ahead=layer))
            in_features = width
        self.classifier = sites.classifier = nn.Linear(in_features, num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)  # (N, prod(input_shape))
        for layer, site in zip(self.layers, self.sites, strict=True):
            x = site(layer(x))  # (N, width)
        return self.classifier(x)
