"""Sites: the places of a network where a norm and its activation sit. Knows torch, but no norm and no model.

A model is built with empty sites. The norms move in after the trunk is filled, so that no norm can shift the trunk.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from normlib.conversion.description import Description
    from normlib.models.start import Start

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "gelu": F.gelu,
}
GAINS = {"relu": 2**0.5, "sigmoid": 1.0, "tanh": 5 / 3, "gelu": 2**0.5}  # as torch.nn.init.calculate_gain; gelu as relu


class Site(nn.Module):
    """Norm, then activation (`placement` "before") or activation, then norm ("after"). Dropout follows.

    Input and output are (N, C, *positions), or (N, *positions, C) with ``channel_dim=-1``. A norm with an activation of
    its own takes the whole site. A norm without a shift gets one here, `shift` of shape (C,), because trunks have no
    bias ahead of a site, in any arm.

    A site that is passed several times for one input, once a time step, has `steps` above 1. A norm with running
    statistics then keeps separate ones for each time step. Its scale and shift are the same at every step. Steps beyond
    `steps` use the last statistics (Cooijmans et al. 2017, arXiv:1603.09025, section 4).

    With `positions_apart` above 0, each position is a sample of its own for the norm, which gets (N * positions, C)
    without positions. This is for networks whose outputs must not see later positions. The number is that of the
    positions in one input.
    """

    def __init__(
        self,
        num_features: int,
        activation: str | None,
        placement: str,
        dropout: float,
        channel_dim: int = 1,
        steps: int = 1,
        positions_apart: int = 0,
    ) -> None:
        super().__init__()
        if positions_apart and channel_dim != -1:
            raise ValueError(f"positions_apart is for channels last, channel_dim=-1, got channel_dim={channel_dim}")
        self.num_features, self.channel_dim, self.steps = num_features, channel_dim, steps
        self.positions_apart = positions_apart
        self.activation_name = activation
        self.activation = None if activation is None else ACTIVATIONS[activation]
        self.norm_first = placement == "before"
        self.dropout = dropout if activation is not None else 0.0
        self.dropout_stream: torch.Generator | None = None
        self.norm: nn.Module | None
        self.register_module("norm", None)  # registered now, so that it comes before the later ones in every listing
        self.later_norms = nn.ModuleList()
        self.register_parameter("shift", None)

    @property
    def norms(self) -> list[Any]:
        """The norms of the time steps: one, or as many as `steps`. None before `install`."""
        return [] if self.norm is None else [self.norm, *self.later_norms]

    def install(self, norm: nn.Module) -> None:
        """Move a norm in, with a shift from the site if the norm has none."""
        self.norm = norm
        if getattr(norm, "slot", "norm") == "site":
            self.activation = None  # the norm's own
        if getattr(norm, "bias", None) is None:
            self.shift = nn.Parameter(torch.zeros(self.num_features))
        if getattr(norm, "has_running_statistics", False):
            self.later_norms.extend(_with_parameters_of(norm) for _ in range(self.steps - 1))

    def forward(self, x: Tensor, step: int = 0) -> Tensor:
        if self.norm_first:
            x = self._normalize(x, step)
        if self.activation is not None:
            x = self.activation(x)
        if not self.norm_first:
            x = self._normalize(x, step)
        if self.dropout and self.training:
            x = self._drop(x)
        return x

    def _normalize(self, x: Tensor, step: int) -> Tensor:
        if self.positions_apart and x.dim() > 2:
            return self._normalize(x.flatten(0, -2), step).unflatten(0, x.shape[:-1])
        if step and len(self.later_norms):
            x = self.later_norms[min(step, len(self.later_norms)) - 1](x)
        elif self.norm is not None:
            x = self.norm(x)
        if self.shift is not None:
            positions = () if self.channel_dim == -1 else (1,) * (x.dim() - 2)
            x = x + self.shift.view(-1, *positions)
        return x

    def _drop(self, x: Tensor) -> Tensor:
        if self.dropout_stream is None:  # no stream yet, because the network is only being examined
            return x
        # Drawn in the order of the dimensions, whatever the memory format of the norm's output.
        keep = torch.empty(x.shape, dtype=x.dtype, device=x.device)
        keep.bernoulli_(1 - self.dropout, generator=self.dropout_stream)
        return x * keep / (1 - self.dropout)


def _with_parameters_of(norm: nn.Module) -> nn.Module:
    """A copy of a norm with running statistics of its own and the very same parameters."""
    other = copy.deepcopy(norm)
    for name, parameter in norm.named_parameters():
        owner, _, attribute = name.rpartition(".")
        setattr(other.get_submodule(owner), attribute, parameter)
    return other


class Sites:
    """The factory that a model receives. It is called wherever a norm goes, and remembers its sites in order.

    A model with residual branches makes the sites of each inside ``with sites.branch():``. Any model sets `classifier`
    to its last layer, because some methods reinitialize it.

    A model that puts sites into another library's network sets more. `changes`: in words, what it has switched off or
    changed. `replaced`: which norm was where a site is now. `made_by_network`: the sites that the network has made by
    itself, with the `channel_dim` that it gave. `reference`: a copy with the network's own norms, if `keeps_reference`
    asks for it and the network starts from `weights` (models/start.py). Layers ahead keep biases that are among the
    weights, or among the names of a `stored` state of the same network (`biases_stay`).
    """

    def __init__(
        self, activation: str = "relu", placement: str = "before", dropout: float = 0.0, weights: str | None = None
    ) -> None:
        self.activation = activation
        self.placement = placement
        self.dropout = dropout
        self.sites: list[Site] = []
        self.ahead: dict[Site, nn.Module | None] = {}
        self.branches: list[list[Site]] = []
        self.classifier: nn.Module | None = None
        self.gains: dict[nn.Module, float] = {}
        self.weights = weights
        self.start: Start | None = None
        self.stored: Collection[str] = ()
        self.biases_stay = False
        self.keeps_reference = False
        self.reference: nn.Module | None = None
        self.replaced: dict[Site, tuple[str, Description]] = {}
        self.made_by_network: dict[Site, int | None] = {}
        self.changes: list[str] = []
        self._in_branch = False

    @property
    def activation_function(self) -> Callable[[Tensor], Tensor]:
        """The activation of this network, for places without a norm."""
        return ACTIVATIONS[self.activation]

    @contextlib.contextmanager
    def branch(self) -> Iterator[None]:
        """The sites made inside belong to one residual branch. Its last site's output is added to a shortcut."""
        self.branches.append([])
        self._in_branch = True
        try:
            yield
        finally:
            self._in_branch = False

    def require_no_order(self, model: str) -> None:
        """Refuse settings that have no effect, for a model that fixes what follows a norm. ValueError."""
        if self.placement != "before" or self.dropout:
            raise ValueError(
                f"{model}: what follows a norm is part of the network's plan, so site.placement and site.dropout would change nothing; "
                f"got site.placement={self.placement}, site.dropout={self.dropout:g}: leave them at before and 0"
            )

    def __call__(
        self,
        num_features: int,
        ahead: nn.Module | None,
        activation: bool | str = True,
        channel_dim: int = 1,
        steps: int = 1,
        positions_apart: int = 0,
    ) -> Site:
        """A site for (N, num_features, *positions), or (N, *positions, num_features) with ``channel_dim=-1``.

        `ahead` is the layer whose output the site normalizes, or None. It must have no bias (ValueError), and its
        weights start with the gain of the activation that follows. `activation=False` makes a site that only
        normalizes. A name in place of True is an activation other than the network's. `steps` is how many time steps of
        one input pass it. `positions_apart` is for networks whose outputs must not see later positions, as in language
        models. It is the number of positions of one input. The norm then takes each position as a sample of its own.
        """
        if ahead is not None and getattr(ahead, "bias", None) is not None and not self.biases_stay:
            raise ValueError(
                f"a layer ahead of a site has no bias, because the norm brings the shift, but {ahead} has one: "
                "build it with bias=False"
            )
        own = None if activation is False else self.activation if activation is True else activation
        site = Site(num_features, own, self.placement, self.dropout, channel_dim, steps, positions_apart)
        self.sites.append(site)
        self.ahead[site] = ahead
        if self._in_branch:
            self.branches[-1].append(site)
        if ahead is not None and own is not None:
            self.gains[ahead] = GAINS[own]
        return site
