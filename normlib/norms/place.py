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

    `index`: the number of the site from 0, in the order in which the model made them, of `num_sites` in the network. `name`: the
    site's name in the network, dotted, as `named_modules` has it; "" where there is no network.
    """

    ahead: nn.Module | None = None
    activation: str | None = None
    branch: BranchPosition | None = None
    classifier: nn.Module | None = None
    index: int = 0
    num_sites: int = 1
    name: str = ""


class NetworkHooks:
    """What a network and a run may tell a norm, and ask it; nothing, unless the norm says otherwise."""

    def enter(self, place: Place) -> None:
        """Called once, when the norm has moved into a network: here it may act on the layer ahead of it.

        Raises `CannotEnter` where the place has not what it needs; the run is then skipped with that reason.
        """

    def set_total_steps(self, total_steps: int) -> None:
        """Tell the norm how many training steps the run has; only schedules in fractions of the run need it."""

    def report(self) -> dict[str, float]:
        """Figures of the norm's own for the record of a run, by name."""
        return {}
