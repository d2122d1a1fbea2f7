"""A small U-Net (Ronneberger, Fischer, Brox 2015, arXiv:1505.04597): an output at every position of an image."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from normlib.models import register
from normlib.models.site import Sites


class Convolutions(nn.Sequential):
    """Two 3x3 convolutions, each with a site: (N, in_channels, H, W) to (N, channels, H, W)."""

    def __init__(self, sites: Sites, in_channels: int, channels: int) -> None:
        first = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
        second = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        super().__init__(first, sites(channels, ahead=first), second, sites(channels, ahead=second))


@register("unet")
class UNet(nn.Module):
    """The U-Net with `depth` levels of resolution: `width` channels at the first, twice as many at each further one.

    Input (N, C, H, W) with sides that are multiples of 2^(depth-1), output (N, num_outputs, H, W). Each level has two
    3x3 convolutions on the way down and two on the way up, with a site after each. As in the paper, a maximum over 2x2
    leads down, and a 2x2 up-convolution without a site leads up. Its output is joined to what the level had on the way
    down. The last layer is a 1x1 convolution.

    What differs from the paper: convolutions are padded, so the output is as large as the input. The paper has depth 5
    and width 64, and a dropout at the end of the way down. The up-convolution is a 1x1 convolution to four times the
    channels, whose outputs are spread over 2x2 positions. That is the same map, with a bias for each of the four.

    Settings:
        depth: levels of resolution
        width: channels of the first level, twice as many at each further one
    """

    def __init__(
        self, sites: Sites, input_shape: tuple[int, ...], num_outputs: int, depth: int = 3, width: int = 16
    ) -> None:
        super().__init__()
        if depth < 1 or width < 1:
            raise ValueError(f"unet: depth and width are at least 1, got depth={depth}, width={width}")
        if len(input_shape) != 3:
            raise ValueError(
                f"unet: needs images (C, H, W), but the data's input is {tuple(input_shape)}; use other data, or another model"
            )
        multiple = 2 ** (depth - 1)
        if any(side % multiple for side in input_shape[1:]):
            raise ValueError(
                f"unet: with depth={depth} images are halved {depth - 1} times, so their sides are multiples of {multiple}, but the "
                f"data's input is {tuple(input_shape)}; use a smaller model.depth, or pad the images to multiples of {multiple}"
            )
        widths = [width * 2**level for level in range(depth)]
        self.down = nn.ModuleList(
            Convolutions(sites, before, after)
            for before, after in zip([input_shape[0], *widths[:-1]], widths, strict=True)
        )
        self.enlarge = nn.ModuleList()
        self.up = nn.ModuleList()
        for channels in reversed(widths[:-1]):
            self.enlarge.append(nn.Conv2d(2 * channels, 4 * channels, 1))
            self.up.append(Convolutions(sites, 2 * channels, channels))
        self.classifier = sites.classifier = nn.Conv2d(width, num_outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        passed = []
        for level, convolutions in enumerate(self.down):
            x = convolutions(F.max_pool2d(x, 2) if level else x)  # (N, width 2^level, H / 2^level, W / 2^level)
            passed.append(x)
        passed.pop()  # the lowest level's own output goes up, not across
        for enlarge, convolutions in zip(self.enlarge, self.up, strict=True):
            x = F.pixel_shuffle(enlarge(x), 2)  # half the channels, twice the sides
            x = convolutions(torch.cat([passed.pop(), x], 1))
        return self.classifier(x)
