"""Stands in a folded norm's place if the folding is right for inputs of one rank only, and refuses others.

In: a layer's output. Out: the same. It works with torch.fx and torch.compile.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, fx, nn


class OnlyRank(nn.Identity):
    """Replaces a batch norm whose channels are the layer's only in inputs of one rank, as (N, C) behind a linear layer."""

    def __init__(self, rank: int, num_channels: int, layer: str) -> None:
        super().__init__()
        self.rank, self.num_channels, self.layer = rank, num_channels, layer

    def forward(self, input: Tensor) -> Tensor:
        if isinstance(input, fx.Proxy):  # torch.fx sees it as one call
            tracer: Any = input.tracer
            made: Any = tracer.create_proxy("call_module", tracer.path_of_module(self), (input,), {})
            return made
        if input.dim() != self.rank or input.shape[1] != self.num_channels:
            wanted = ", ".join(("N", "C", *("L", "H", "W", "D")[: self.rank - 2]))
            raise ValueError(
                f"here a batch norm was folded into {self.layer}, which is right for ({wanted}) only, but got "
                f"{tuple(input.shape)}; use the model as it was before folding"
            )
        return input

    def extra_repr(self) -> str:
        return f"rank={self.rank}"
