"""The three switches of a norm: which statistics normalize, whether the running ones move, whether the affine part trains.

They are attributes of the layer, no part of its state_dict, and `train()` and `eval()` leave them alone.
"""

from __future__ import annotations

from torch import nn


class Switches(nn.Module):
    """What every norm can be switched to; `Norm` sets the attributes."""

    #: Whether running statistics move; they do so in training mode only.
    update_running: bool
    _statistics: str

    @property
    def has_running_statistics(self) -> bool:
        """Whether the norm keeps running statistics to normalize with."""
        return getattr(self, "running_mean", None) is not None

    @property
    def uses_batch_statistics(self) -> bool:
        """Whether the next input will be normalized with its own statistics."""
        return (
            self._statistics == "batch"
            or (self._statistics == "auto" and self.training)
            or not self.has_running_statistics
        )

    @property
    def moves_running_statistics(self) -> bool:
        """Whether the next input will move the running statistics."""
        return self.training and self.update_running and self.has_running_statistics

    @property
    def statistics(self) -> str:
        """Which statistics normalize: "batch", "running", or "auto" (the batch's in training, the running ones in eval mode)."""
        return self._statistics

    @statistics.setter
    def statistics(self, which: str) -> None:
        if which not in ("auto", "batch", "running"):
            raise ValueError(f'statistics is "auto", "batch" or "running", got {which!r}')
        if which == "running" and not self.has_running_statistics:
            raise ValueError(
                f'{type(self).__name__} keeps no running statistics to normalize with, so statistics="running" is not possible; use "auto" or "batch"'
            )
        self._statistics = which

    def train_affine(self, train: bool = True) -> None:
        """Whether `weight` and `bias` are trained."""
        for parameter in self.parameters(recurse=False):
            parameter.requires_grad_(train)

    def freeze(self) -> None:
        """Normalize with the running statistics, where there are any, move nothing and train nothing; `train()` does not undo it."""
        if self.has_running_statistics:
            self.statistics = "running"
        self.update_running = False
        self.train_affine(False)

    def unfreeze(self) -> None:
        """Set the three switches back to where a new norm has them."""
        self.statistics = "auto"
        self.update_running = True
        self.train_affine(True)
