"""Activation checkpointing: the second forward pass of a batch, which must do what the first one did and move nothing.

In come the statistics of a batch and what the first pass saw of the norm's state; out goes that state in the second pass.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from torch import Tensor

# So many passes are remembered: more micro-batches than any training has before one backward pass.
MOST_PASSES = 64
# How far the statistics of the second pass may be from those of the first, of their size: rounding, where kernels add up in any order.
ALLOWED = 1e-3


class Passes:
    """What first passes saw of a norm's state, each found again by a statistic of its batch."""

    def __init__(self) -> None:
        self._seen: deque[tuple[Tensor, Mapping[str, Any]]] = deque(maxlen=MOST_PASSES)

    def __len__(self) -> int:
        return len(self._seen)

    def remember(self, statistic: Tensor, state: Mapping[str, Any]) -> None:
        """Keep the `state` that a batch with this statistic met; tensors in it may change afterwards."""
        copied = {name: value.clone() if isinstance(value, Tensor) else value for name, value in state.items()}
        self._seen.append((statistic.detach().clone(), copied))

    def recall(self, statistic: Tensor) -> Mapping[str, Any]:
        """The state that the first pass of the batch with this statistic met. There has to be some pass.

        Raises RuntimeError where that batch is not remembered. A pass may be recalled again: a graph that is kept is gone through again.
        """
        statistic = statistic.detach()
        distances = [float((seen - statistic).abs().amax()) for seen, _ in self._seen]
        nearest = min(range(len(distances)), key=distances.__getitem__)
        if distances[nearest] > ALLOWED * max(1.0, float(statistic.abs().amax())):
            raise RuntimeError(
                f"activation checkpointing runs a batch again that is none of the last {MOST_PASSES} that this norm saw, so the running "
                "statistics that it met are not known; go backward after fewer forward passes"
            )
        return self._seen[nearest][1]
