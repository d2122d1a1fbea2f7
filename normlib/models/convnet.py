"""A plain convolutional network: 3x3 convolutions with a site after each, no shortcuts."""

from __future__ import annotations

from torch import Tensor, nn

from normlib.models import register
from normlib.models.site import Sites

SMALLEST_SIDE = 2  # halving stops here, so that even the last site sees several positions


@register("convnet")
class ConvNet(nn.Module):
    """`depth` 3x3 convolutions, each with a site; every second one halves the image and doubles the width.

    `width` is that of the first layer. Input (N, C, H, W), output (N, num_classes) after averaging over positions.
    Halving stops where a side would fall below 2.
    """

    def __init__(
        self, sites: Sites, input_shape: tuple[int, ...], num_classes: int, depth: int = 6, width: int = 16
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
            halve = index % 2 == 1 and side >= 2 * SMALLEST_SIDE
            if halve:
                channels, side = 2 * channels, (side + 1) // 2
            layer = nn.Conv2d(in_channels, channels, 3, stride=2 if halve else 1, padding=1, bias=False)
            self.layers.append(layer)
            self.sites.append(sites(channels, ahead=layer))
            in_channels = channels
        self.classifier = nn.Linear(in_channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        for layer, site in zip(self.layers, self.sites, strict=True):
            x = site(layer(x))  # (N, channels, h, w)
        return self.classifier(x.mean((2, 3)))
