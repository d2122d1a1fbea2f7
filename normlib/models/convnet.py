"""A plain convolutional network on series, images or volumes: convolutions with a site after each, no shortcuts."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from normlib.models import register
from normlib.models.site import Sites

GRID = (
    4  # halving stops at this side, so even the last site of an image sees 16 positions; the classifier reads this grid
)
CONVOLUTION = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
AVERAGE_TO_GRID: dict[int, Any] = {1: F.adaptive_avg_pool1d, 2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d}


@register("convnet")
class ConvNet(nn.Module):
    """`depth` convolutions of side 3, each with a site; every second one halves each side and doubles the width.

    `width` is that of the first layer. Inputs are series (N, C, L), images (N, C, H, W) or volumes (N, C, D, H, W). The
    output is (N, num_outputs), by a linear classifier on the features, averaged to 4 positions a side. Halving stops
    before a side would fall below 4.

    Settings:
        depth: convolutions, each with a site
        width: channels of the first layer; every second layer doubles them
    """

    def __init__(
        self, sites: Sites, input_shape: tuple[int, ...], num_outputs: int, depth: int = 3, width: int = 16
    ) -> None:
        super().__init__()
        if depth < 1 or width < 1:
            raise ValueError(f"convnet: depth and width are at least 1, got depth={depth}, width={width}")
        in_channels, *sides = input_shape
        if len(sides) not in CONVOLUTION:
            raise ValueError(
                "convnet: needs series (C, L), images (C, H, W) or volumes (C, D, H, W), but the data's input is "
                f"{tuple(input_shape)}; use model=mlp or other data"
            )
        self.layers = nn.ModuleList()
        self.sites = nn.ModuleList()
        channels = width
        for index in range(depth):
            halve = index % 2 == 1 and min(sides) >= 2 * GRID
            if halve:
                channels, sides = 2 * channels, [(side + 1) // 2 for side in sides]
            layer = CONVOLUTION[len(sides)](in_channels, channels, 3, stride=2 if halve else 1, padding=1, bias=False)
            self.layers.append(layer)
            self.sites.append(sites(channels, ahead=layer))
            in_channels = channels
        self.average = any(side != GRID for side in sides)
        self.classifier = sites.classifier = nn.Linear(in_channels * GRID ** len(sides), num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        for layer, site in zip(self.layers, self.sites, strict=True):
            x = site(layer(x))  # (N, channels, *sides)
        if self.average:
            x = AVERAGE_TO_GRID[x.dim() - 2](x, GRID)
        return self.classifier(x.flatten(1))
