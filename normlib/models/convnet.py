"""A plain convolutional network: 3x3 convolutions with a site after each, no shortcuts."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from normlib.models import register
from normlib.models.site import Sites

GRID = 4  # halving stops at this side, so that even the last site sees 16 positions; the classifier reads this grid


@register("convnet")
class ConvNet(nn.Module):
    """`depth` 3x3 convolutions, each with a site; every second one halves the image and doubles the width.

    `width` is that of the first layer. Input (N, C, H, W), output (N, num_outputs) by a linear classifier on what
    is left of the image, averaged to 4 by 4 positions. Halving stops where a side would fall below 4.
    """

    def __init__(
        self, sites: Sites, input_shape: tuple[int, ...], num_outputs: int, depth: int = 3, width: int = 16
    ) -> None:
        super().__init__()
        if depth < 1 or width < 1:
            raise ValueError(f"convnet: depth and width are at least 1, got depth={depth}, width={width}")
        if len(input_shape) != 3:
            raise ValueError(
                f"convnet: needs images (C, H, W), but the data's input is {tuple(input_shape)}; use model=mlp or other data"
            )
        in_channels, *sides = input_shape
        self.layers = nn.ModuleList()
        self.sites = nn.ModuleList()
        channels, side = width, min(sides)
        for index in range(depth):
            halve = index % 2 == 1 and side >= 2 * GRID
            if halve:
                channels, side = 2 * channels, (side + 1) // 2
            layer = nn.Conv2d(in_channels, channels, 3, stride=2 if halve else 1, padding=1, bias=False)
            self.layers.append(layer)
            self.sites.append(sites(channels, ahead=layer))
            in_channels = channels
        self.classifier = sites.classifier = nn.Linear(in_channels * GRID**2, num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        for layer, site in zip(self.layers, self.sites, strict=True):
            x = site(layer(x))  # (N, channels, h, w)
        if x.shape[2:] != (GRID, GRID):
            x = F.adaptive_avg_pool2d(x, GRID)
        return self.classifier(x.flatten(1))
