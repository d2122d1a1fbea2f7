"""Counts how many channels batch renorm's bounds clip. The counters are for its report and not in its state_dict."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from normlib.norms.kernels.inspection import may_read_values


class ClipCounts(nn.Module):
    """Which channels had r or d clipped in the last batch, how often so far, and in how many batches."""

    last_r: Tensor
    last_d: Tensor
    times_r: Tensor
    times_d: Tensor
    batches: Tensor

    def __init__(self, num_features: int, device: torch.device | str | None) -> None:
        super().__init__()
        for name, shape, dtype in (
            ("last_r", num_features, torch.bool),
            ("last_d", num_features, torch.bool),
            ("times_r", num_features, torch.long),
            ("times_d", num_features, torch.long),
            ("batches", (), torch.long),
        ):
            self.register_buffer(name, torch.zeros(shape, dtype=dtype, device=device), persistent=False)

    def add(self, wanted_r: Tensor, wanted_d: Tensor, r_max: Any, d_max: Any) -> None:
        """Count a batch. `wanted_r` and `wanted_d` (C,) are r and d of its channels before clipping."""
        kept: Any = self._buffers
        clipped_r, clipped_d = wanted_r.ne(wanted_r.clamp(1 / r_max, r_max)), wanted_d.ne(wanted_d.clamp(-d_max, d_max))
        if may_read_values(clipped_r):  # saves one copy each
            kept["last_r"], kept["last_d"] = clipped_r, clipped_d
        else:
            kept["last_r"].copy_(clipped_r)
            kept["last_d"].copy_(clipped_d)
        kept["times_r"].add_(clipped_r)
        kept["times_d"].add_(clipped_d)
        kept["batches"].add_(1)

    def reset(self) -> None:
        """Set the counts to zero."""
        for buffer in self.buffers():
            buffer.zero_()

    def shares(self) -> dict[str, float]:
        """The share of clipped channels in the last batch, and the mean over all batches."""
        batches = max(1, int(self.batches))
        return {
            "clipped_r": self.last_r.float().mean().item(),
            "clipped_d": self.last_d.float().mean().item(),
            "mean_clipped_r": self.times_r.double().mean().item() / batches,
            "mean_clipped_d": self.times_d.double().mean().item() / batches,
        }

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        before = dict(self.named_buffers())
        super()._apply(fn, recurse)
        for name, buffer in self.named_buffers():  # to_empty() leaves them undefined, and no state_dict fills them
            if before[name].is_meta and not buffer.is_meta:
                buffer.zero_()
            elif not buffer.is_meta:
                buffer.copy_(before[name])
        return self
