"""The three switches of a norm.

They say which statistics normalize, whether the running ones move, and whether the affine part trains. They are
attributes of the layer, not part of its state_dict. `train()` and `eval()` leave them alone.
"""

from __future__ import annotations

from torch import nn

CHOICES = ("auto", "batch", "running", "weighed")


class Switches(nn.Module):
    """The switches that every norm has. `Norm` sets the attributes."""

    #: Whether running statistics move. They do so in training mode only.
    update_running: bool
    _statistics: str
    _own_weight: float | None = None

    @property
    def has_running_statistics(self) -> bool:
        """Whether the norm keeps running statistics to normalize with."""
        return False

    @property
    def uses_batch_statistics(self) -> bool:
        """Whether the next input will be normalized with its own statistics."""
        return (
            self._statistics == "batch"
            or (self._statistics == "auto" and self.training)
            or not self.has_running_statistics
        )

    @property
    def statistics(self) -> str:
        """Which statistics normalize: "batch", "running", "auto" or "weighed".

        "auto" is the batch's in training and the running ones in eval mode. "weighed" is for eval mode only. It mixes
        the statistics of the sample's own values over its positions with the running ones (Summers, Dinneen 2020,
        arXiv:1906.03548, section 3.2). `own_weight` is the weight of the sample's own.
        """
        return self._statistics

    @statistics.setter
    def statistics(self, wanted: str) -> None:
        if wanted not in CHOICES:
            raise ValueError(f"statistics is one of {', '.join(map(repr, CHOICES))}, got {wanted!r}")
        if wanted in ("running", "weighed") and not self.has_running_statistics:
            raise ValueError(
                f'{type(self).__name__} keeps no running statistics to normalize with, so statistics="{wanted}" is not possible; use "auto" or "batch"'
            )
        if wanted == "weighed" and self.own_weight is None:
            raise ValueError(
                'statistics="weighed" needs the share of the sample\'s own statistics: set own_weight first, from 0 to 1'
            )
        self._statistics = wanted

    @property
    def own_weight(self) -> float | None:
        """The weight of a sample's own statistics if they are "weighed": 0 takes the running ones, 1 the sample's."""
        return self._own_weight

    @own_weight.setter
    def own_weight(self, share: float | None) -> None:
        if share is not None and not 0 <= share <= 1:
            raise ValueError(f"own_weight is a share, from 0 to 1, got {share}")
        self._own_weight = share

    def train_affine(self, train: bool = True) -> None:
        """Whether `weight` and `bias` are trained."""
        for parameter in self.parameters(recurse=False):
            parameter.requires_grad_(train)

    def freeze(self) -> None:
        """Normalize with the running statistics, if there are any, move nothing and train nothing.

        `train()` does not undo this.
        """
        if self.has_running_statistics:
            self.statistics = "running"
        self.update_running = False
        self.train_affine(False)

    def unfreeze(self) -> None:
        """Set the three switches as a new norm has them."""
        self.statistics = "auto"
        self.update_running = True
        self.train_affine(True)
