"""Where in a network a norm stands: what it may know of the layers around it, and change, when it enters the network."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from normlib.errors import NormlibError


class CannotEnter(NormlibError, ValueError):
    """A norm cannot be used at this place of a network. The message says what it needs and what is there."""


@dataclass(frozen=True)
class BranchPosition:
    """One layer of a residual branch.

    It has `index` from 0 among the branch's `num_layers`. The network has `num_branches` such branches.
    """

    index: int
    num_layers: int
    num_branches: int

    @property
    def is_last(self) -> bool:
        """Whether the layer's output is what the branch adds to its shortcut."""
        return self.index == self.num_layers - 1


@dataclass(frozen=True)
class Place:
    """The place of a norm in a network.

    `ahead`: the layer whose output the norm receives, or None. `activation`: the name of the activation that follows in
    the site, or None. `branch`: the position in a residual branch, or None. `classifier`: the network's last layer, or
    None if the model does not say which one that is.

    `index`: the number of the site from 0, in the order in which the model made them. `num_sites`: how many there are
    in the network. `name`: the site's dotted name in the network, as `named_modules` has it, or "" without a network.
    """

    ahead: nn.Module | None = None
    activation: str | None = None
    branch: BranchPosition | None = None
    classifier: nn.Module | None = None
    index: int = 0
    num_sites: int = 1
    name: str = ""


class NetworkHooks:
    """What a network and a run tell a norm, and ask of it. The defaults do nothing."""

    def enter(self, place: Place) -> None:
        """Called once, when the norm has entered a network. Here it may act on the layer ahead of it.

        Raises `CannotEnter` if the place does not have what the norm needs. The run is then skipped with that reason.
        """

    def set_total_steps(self, total_steps: int) -> None:
        """Tell the norm how many training steps the run has. Only schedules in fractions of the run need it."""

    def report(self) -> dict[str, float]:
        """Numbers of the norm for the record of a run, by name."""
        return {}
