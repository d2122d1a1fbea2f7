"""The plain deep network of Simonyan and Zisserman (2015, arXiv:1409.1556), in the form that fits small images."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from normlib.models import register
from normlib.models.site import Sites

LAYERS_IN_STAGE = {
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}  # table 1: A, B, D, E
WIDTH_OF_STAGE = (1, 2, 4, 8, 8)  # times `width`, which is 64 in the paper
SMALLEST_SIDE = 2  # pooling leaves at least 4 positions, so that a norm over positions has several values


@register("vgg")
class VGG(nn.Module):
    """The VGG network of `depth` 11, 13, 16 or 19: five stages of 3x3 convolutions, each with a site.

    A maximum over 2x2 follows each stage.

    `width` is that of the first stage (64 in the paper), up to 8 times as much in the last. Input (N, C, H, W), output
    (N, num_outputs). As usual on small images, one linear classifier replaces the paper's three layers. Ahead of it is
    the maximum over all positions that are left, which on 32x32 images is the paper's. Pooling stops before a side
    would fall below 2, so 8x8 images are halved twice. The paper's two dropouts are left out.

    Settings:
        depth: layers: 11, 13, 16 or 19
        width: channels of the first stage; the paper has 64
    """

    def __init__(
        self, sites: Sites, input_shape: tuple[int, ...], num_outputs: int, depth: int = 11, width: int = 16
    ) -> None:
        super().__init__()
        if depth not in LAYERS_IN_STAGE:
            raise ValueError(f"vgg: depth is 11, 13, 16 or 19, got {depth}")
        if width < 1:
            raise ValueError(f"vgg: width is at least 1, got {width}")
        if len(input_shape) != 3:
            raise ValueError(
                f"vgg: needs images (C, H, W), but the data's input is {tuple(input_shape)}; use model=mlp or other data"
            )
        in_channels = input_shape[0]
        self.stages = nn.ModuleList()
        for num_layers, times in zip(LAYERS_IN_STAGE[depth], WIDTH_OF_STAGE, strict=True):
            stage = nn.Sequential()
            for _ in range(num_layers):
                layer = nn.Conv2d(in_channels, times * width, 3, padding=1, bias=False)
                stage.extend([layer, sites(times * width, ahead=layer)])
                in_channels = times * width
            self.stages.append(stage)
        self.classifier = sites.classifier = nn.Linear(in_channels, num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        for index, stage in enumerate(self.stages):
            if index and min(x.shape[2:]) >= 2 * SMALLEST_SIDE:
                x = F.max_pool2d(x, 2)
            x = stage(x)  # (N, channels, h, w)
        return self.classifier(x.amax((2, 3)))
