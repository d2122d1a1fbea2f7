"""Where in a network a norm stands: what it may know of its surroundings, and act on, when it moves in."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from normlib.errors import NormlibError


class CannotEnter(NormlibError, ValueError):
    """A norm that has no place in this network; the message says what it needs and what is there."""


@dataclass(frozen=True)
class BranchPosition:
    """One layer of a residual branch: its `index` from 0 among the branch's `num_layers`, in a network of `num_branches`."""

    index: int
    num_layers: int
    num_branches: int

    @property
    def is_last(self) -> bool:
        """Whether the layer's output is what the branch adds to its shortcut."""
        return self.index == self.num_layers - 1


@dataclass(frozen=True)
class Place:
    """`ahead`: the layer whose output the norm receives, None where there is none. `activation`: the name of the one that
    follows in the site, None where none does. `branch`: the position in a residual branch, None outside of any.
    `classifier`: the network's last layer, None where the model does not tell.
    """

    ahead: nn.Module | None = None
    activation: str | None = None
    branch: BranchPosition | None = None
    classifier: nn.Module | None = None
