"""Small networks of torch alone, as people have them: a residual network of ResNet-18's shape, a transformer's encoder."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class Block(nn.Module):
    """The basic block of ResNet-18."""

    def __init__(self, in_channels: int, channels: int, stride: int, norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)
        self.bn1 = norm(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = norm(channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if stride > 1:
            self.downsample = nn.Sequential(nn.Conv2d(in_channels, channels, 1, stride, bias=False), norm(channels))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet18(nn.Module):
    """ResNet-18's layout (four stages of two basic blocks, 20 norms), narrow."""

    def __init__(self, width: int = 8, norm: Callable[[int], nn.Module] = nn.BatchNorm2d) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = norm(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = nn.Sequential(Block(width, width, 1, norm), Block(width, width, 1, norm))
        for stage in (2, 3, 4):
            before, channels = width * 2 ** (stage - 2), width * 2 ** (stage - 1)
            self.add_module(
                f"layer{stage}", nn.Sequential(Block(before, channels, 2, norm), Block(channels, channels, 1, norm))
            )
        self.fc = nn.Linear(8 * width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))  # type: ignore[operator]
        return self.fc(x.mean((2, 3)))


EXACT = 1e-5  # of the largest output: what folding in float32 is allowed, here as everywhere


def relative_difference(a: Tensor, b: Tensor) -> float:
    """The largest difference, as a share of the largest value of `b`."""
    return float(((a - b).abs().max() / b.abs().max()).detach())


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def lived_in(model: nn.Module, *inputs: Tensor) -> nn.Module:
    """The model with parameters that are not those of a new one, and running statistics of the inputs; in eval mode."""
    source = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=source).to(parameter) * 0.1)
        model.train()
        for x in inputs:
            model(x)
    return model.eval()


def resnet18(norm: Callable[[int], nn.Module] = nn.BatchNorm2d) -> nn.Module:
    torch.manual_seed(0)
    return lived_in(ResNet18(norm=norm), draw(4, 3, 32, 32, seed=1), draw(4, 3, 32, 32, seed=2))
