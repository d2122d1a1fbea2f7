"""The residual network of the CIFAR experiments (He et al. 2016, arXiv:1512.03385, section 4.2)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from normlib.models import register
from normlib.models.site import Sites


class Block(nn.Module):
    """Two 3x3 convolutions around a shortcut without parameters (option A: strided, padded with zero channels).

    The second site only normalizes. The activation follows the addition, in a place of its own.
    """

    def __init__(self, sites: Sites, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.new_channels = channels - in_channels
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride=stride, padding=1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        with sites.branch():
            self.site1 = sites(channels, ahead=self.conv1)
            self.site2 = sites(channels, ahead=self.conv2, activation=False)
        self.activation = sites.activation_function

    def forward(self, x: Tensor) -> Tensor:
        y = self.site2(self.conv2(self.site1(self.conv1(x))))
        shortcut = x[:, :, :: self.stride, :: self.stride]
        if self.new_channels:
            before = self.new_channels // 2
            shortcut = F.pad(shortcut, (0, 0, 0, 0, before, self.new_channels - before))
        return self.activation(y + shortcut)


@register("resnet")
class ResNet(nn.Module):
    """The CIFAR residual network of `depth` 6n+2: three stages of n blocks, of `width`, 2 and 4 times `width` channels.

    Input (N, C, H, W), output (N, num_outputs).

    Settings:
        depth: layers, 6n+2: 8, 14, 20, ...
        width: channels of the first stage, twice and 4 times as many in the others
    """

    def __init__(
        self, sites: Sites, input_shape: tuple[int, ...], num_outputs: int, depth: int = 8, width: int = 16
    ) -> None:
        super().__init__()
        if depth < 8 or (depth - 2) % 6:
            raise ValueError(f"resnet: depth is 6n+2 (8, 14, 20, ...), got {depth}")
        if width < 1:
            raise ValueError(f"resnet: width is at least 1, got {width}")
        if len(input_shape) != 3:
            raise ValueError(
                f"resnet: needs images (C, H, W), but the data's input is {tuple(input_shape)}; use model=mlp or other data"
            )
        self.stem = nn.Conv2d(input_shape[0], width, 3, padding=1, bias=False)
        self.stem_site = sites(width, ahead=self.stem)
        blocks, in_channels = [], width
        for stage in range(3):
            for index in range((depth - 2) // 6):
                stride = 2 if stage > 0 and index == 0 else 1
                blocks.append(Block(sites, in_channels, width * 2**stage, stride))
                in_channels = width * 2**stage
        self.blocks = nn.Sequential(*blocks)
        self.classifier = sites.classifier = nn.Linear(in_channels, num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.stem_site(self.stem(x)))  # (N, 4 width, H/4, W/4)
        return self.classifier(x.mean((2, 3)))
