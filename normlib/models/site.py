"""Sites: the places of a network where a norm and its activation sit. Knows torch, but no norm and no model.

A model is built with empty sites; the norms move in after the trunk is filled, so that no norm can shift the trunk.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "gelu": F.gelu,
}
GAINS = {"relu": 2**0.5, "sigmoid": 1.0, "tanh": 5 / 3, "gelu": 2**0.5}  # as torch.nn.init.calculate_gain; gelu as relu


class Site(nn.Module):
    """Norm, then activation (`placement` "before") or activation, then norm ("after"); then dropout.

    Input and output are (N, C, *positions). A norm without a shift of its own gets one here, `shift` of shape (C,):
    trunks have no bias ahead of a site, in any arm.
    """

    def __init__(self, num_features: int, activation: str | None, placement: str, dropout: float) -> None:
        super().__init__()
        self.num_features = num_features
        self.activation = None if activation is None else ACTIVATIONS[activation]
        self.norm_first = placement == "before"
        self.dropout = dropout if activation is not None else 0.0
        self.dropout_stream: torch.Generator | None = None
        self.norm: nn.Module | None = None
        self.register_parameter("shift", None)

    def install(self, norm: nn.Module) -> None:
        """Move a norm in, with a shift from the site if the norm has none."""
        self.norm = norm
        if getattr(norm, "bias", None) is None:
            self.shift = nn.Parameter(torch.zeros(self.num_features))

    def forward(self, x: Tensor) -> Tensor:
        if self.norm_first:
            x = self._normalize(x)
        if self.activation is not None:
            x = self.activation(x)
        if not self.norm_first:
            x = self._normalize(x)
        if self.dropout and self.training:
            x = self._drop(x)
        return x

    def _normalize(self, x: Tensor) -> Tensor:
        if self.norm is not None:
            x = self.norm(x)
        if self.shift is not None:
            x = x + self.shift.view(1, -1, *(1,) * (x.dim() - 2))
        return x

    def _drop(self, x: Tensor) -> Tensor:
        if self.dropout_stream is None:  # no stream yet: the network is only being examined
            return x
        # Drawn in the order of the dimensions, whatever the memory format in which a norm hands on its output.
        keep = torch.empty(x.shape, dtype=x.dtype, device=x.device)
        keep.bernoulli_(1 - self.dropout, generator=self.dropout_stream)
        return x * keep / (1 - self.dropout)


class Sites:
    """The factory that a model receives: it is called wherever a norm goes, and remembers its sites in order."""

    def __init__(self, activation: str = "relu", placement: str = "before", dropout: float = 0.0) -> None:
        self.activation = activation
        self.placement = placement
        self.dropout = dropout
        self.sites: list[Site] = []
        self.gains: dict[nn.Module, float] = {}

    @property
    def activation_function(self) -> Callable[[Tensor], Tensor]:
        """The activation of this network, for places without a norm."""
        return ACTIVATIONS[self.activation]

    def __call__(self, num_features: int, ahead: nn.Module | None, activation: bool = True) -> Site:
        """A site for (N, num_features, *positions).

        `ahead` is the layer whose output the site normalizes, None where there is no such layer: it must have no bias
        (ValueError), and its weights start with the gain of the activation that follows. `activation=False` makes a
        site that only normalizes.
        """
        if ahead is not None and getattr(ahead, "bias", None) is not None:
            raise ValueError(
                f"a layer ahead of a site has no bias, because the norm brings the shift, but {ahead} has one: "
                "build it with bias=False"
            )
        site = Site(num_features, self.activation if activation else None, self.placement, self.dropout)
        self.sites.append(site)
        if ahead is not None and activation:
            self.gains[ahead] = GAINS[self.activation]
        return site
