"""Activation checkpointing: the second forward pass of a batch, which must do what the first one did and move nothing.

In comes what a first pass saw of the norm's state, out it goes again in the second. Which first pass that was, autograd's own
counter of operations tells: the second one runs when the backward pass reaches an operation of the first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

# So many passes are remembered: more micro-batches than any training has before one backward pass.
MOST_PASSES = 64


class _Pass(NamedTuple):
    began: int  # autograd's next operation
    without_gradient: bool  # as the checkpoints with use_reentrant=True run it
    state: Mapping[str, Any]


class Passes:
    """What first passes saw of a norm's state."""

    def __init__(self) -> None:
        self._seen: deque[_Pass] = deque(maxlen=MOST_PASSES)

    def __len__(self) -> int:
        return len(self._seen)

    def remember(self, state: Mapping[str, Any]) -> None:
        """Keep the `state` that the present pass meets; tensors in it may change afterwards."""
        copied = {name: value.clone() if isinstance(value, Tensor) else value for name, value in state.items()}
        self._seen.append(_Pass(torch._C._autograd._get_sequence_nr(), not torch.is_grad_enabled(), copied))

    def recall(self) -> Mapping[str, Any]:
        """The state that the first pass met whose second one this is; some pass has to be remembered.

        A pass may be recalled again: a graph that is kept is gone through again. Raises RuntimeError for one too long ago.
        """
        reached = torch._C._current_autograd_node()._sequence_nr()
        # Without gradients nothing counts inside the pass: it begins right behind the checkpoint's own operation.
        begun = [index for index, each in enumerate(self._seen) if each.began <= reached + each.without_gradient]
        if not begun or (begun[-1] == 0 and len(self._seen) == MOST_PASSES):
            raise RuntimeError(
                f"activation checkpointing runs a batch again that is none of the last {MOST_PASSES} that this norm saw, so the state that "
                "it met is not known; go backward after fewer forward passes"
            )
        return self._seen[begun[-1]].state
