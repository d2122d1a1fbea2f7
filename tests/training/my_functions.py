"""Training functions as users write them. The file is loaded by its path."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


def train(norm_layer: Any, seed: int, lr: float = 0.1, width: int = 8) -> dict[str, Any]:
    torch.manual_seed(seed)
    inputs = torch.randn(64, 4)
    targets = (inputs.sum(1) > 0).long()
    net = nn.Sequential(nn.Linear(4, width), norm_layer(width, eps=1e-3), nn.ReLU(), nn.Linear(width, 2))
    optimizer = torch.optim.SGD(net.parameters(), lr)
    for _ in range(5):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(inputs), targets)
        loss.backward()
        optimizer.step()
    return {"accuracy": (net(inputs).argmax(1) == targets).float().mean(), "train/loss": loss.detach()}


def draws(norm_layer: Any, seed: int) -> dict[str, float]:
    """Uses the random state that it is called with."""
    return {"accuracy": float(torch.rand(()))}


def explodes(norm_layer: Any, seed: int) -> dict[str, float]:
    return {"accuracy": float("nan")}


def returns_nothing(norm_layer: Any, seed: int) -> None:
    norm_layer(4)


def returns_words(norm_layer: Any, seed: int) -> dict[str, str]:
    return {"accuracy": "good"}


def raises(norm_layer: Any, seed: int) -> dict[str, float]:
    raise RuntimeError("a fault of mine")


NOT_A_FUNCTION = 3
