"""The three switches of a norm: which statistics normalize, whether the running ones move, whether the affine part trains.

They are attributes of the layer, no part of its state_dict, and `train()` and `eval()` leave them alone.
"""

from __future__ import annotations

from torch import Tensor, nn

from normlib.norms.pool import Pool

CHOICES = ("auto", "batch", "running", "weighed")


class Switches(nn.Module):
    """What every norm can be switched to; `Norm` sets the attributes."""

    #: Whether running statistics move; they do so in training mode only.
    update_running: bool
    _statistics: str
    _own_weight: float | None = None

    @property
    def has_running_statistics(self) -> bool:
        """Whether the norm keeps running statistics to normalize with."""
        kept = self._buffers
        return kept.get("running_mean") is not None or kept.get("running_var") is not None

    def population(self) -> tuple[Tensor | None, Tensor]:
        """The mean (None where none is kept) and the variance of each channel that the running statistics stand for."""
        mean: Tensor | None = self._buffers.get("running_mean")
        var: Tensor | None = self._buffers.get("running_var")
        if var is None:
            raise NotImplementedError(
                f"{type(self).__name__} keeps running statistics but no running_var, so it has to say which variance they stand "
                "for: implement population() and buffers_for(mean, var)"
            )
        return mean, var

    def buffers_for(self, mean: Tensor | None, var: Tensor) -> dict[str, Tensor]:
        """The running buffers, by name, of a population with this mean and variance; the inverse of `population`."""
        return {"running_var": var} if mean is None else {"running_mean": mean, "running_var": var}

    def pool(self) -> Pool:
        """An empty pool of what the running statistics estimate: moments over the batch, or averages over samples."""
        return Pool(per_sample=not getattr(self, "depends_on_batch", False))

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
        """Which statistics normalize: "batch", "running", "auto" (the batch's in training, the running ones in eval mode).

        Or, in eval mode only, "weighed": the moments of the sample's own values over its positions, by `own_weight`, and the
        running ones by the rest (Summers, Dinneen 2020, arXiv:1906.03548, section 3.2).
        """
        return self._statistics

    @statistics.setter
    def statistics(self, which: str) -> None:
        if which not in CHOICES:
            raise ValueError(f"statistics is one of {', '.join(map(repr, CHOICES))}, got {which!r}")
        if which in ("running", "weighed") and not self.has_running_statistics:
            raise ValueError(
                f'{type(self).__name__} keeps no running statistics to normalize with, so statistics="{which}" is not possible; use "auto" or "batch"'
            )
        if which == "weighed" and self.own_weight is None:
            raise ValueError(
                'statistics="weighed" needs the share of the sample\'s own moments: set own_weight first, from 0 to 1'
            )
        self._statistics = which

    @property
    def own_weight(self) -> float | None:
        """The share of a sample's own moments where statistics are "weighed": 0 is the running ones, 1 the sample's alone."""
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
