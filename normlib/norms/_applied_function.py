"""A function of a tensor as a module without parameters or buffers. Checks nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn


class AppliedFunction(nn.Module):
    """``function(x, **settings)``."""

    def __init__(self, function: Callable[..., Tensor], settings: dict[str, Any]) -> None:
        super().__init__()
        self.function, self.settings = function, settings

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, **self.settings)

    def extra_repr(self) -> str:
        return ", ".join([self.function.__qualname__, *(f"{name}={value}" for name, value in self.settings.items())])
