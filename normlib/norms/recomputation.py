"""Activation checkpointing: the second forward pass of a batch has to do what the first did, and change no state.

In: the norm's state that a first pass met. Out: the same state for the second pass. Autograd's own counter of
operations tells which first pass that was. The second pass runs when the backward pass reaches an operation of the
first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

# How many passes are remembered: more micro-batches than any training has before one backward pass.
MOST_PASSES = 64


class _Pass(NamedTuple):
    began: int  # autograd's next operation
    without_gradient: bool  # as the checkpoints with use_reentrant=True run it
    state: Mapping[str, Any]


class Passes:
    """The norm's state that first passes met."""

    def __init__(self) -> None:
        self._seen: deque[_Pass] = deque(maxlen=MOST_PASSES)

    def __len__(self) -> int:
        return len(self._seen)

    def remember(self, state: Mapping[str, Any]) -> None:
        """Keep the `state` that the present pass meets. Its tensors may change afterwards."""
        copied = {name: value.clone() if isinstance(value, Tensor) else value for name, value in state.items()}
        self._seen.append(_Pass(torch._C._autograd._get_sequence_nr(), not torch.is_grad_enabled(), copied))

    def recall(self) -> Mapping[str, Any]:
        """The state that this second pass's first pass met. At least one pass must have been remembered.

        A pass may be recalled again, if a graph is kept and used again. Raises RuntimeError for a pass that is too long
        ago.
        """
        reached = torch._C._current_autograd_node()._sequence_nr()
        # Without gradients nothing counts inside the pass, so it begins right behind the checkpoint's own operation.
        begun = [index for index, each in enumerate(self._seen) if each.began <= reached + each.without_gradient]
        if not begun or (begun[-1] == 0 and len(self._seen) == MOST_PASSES):
            raise RuntimeError(
                f"activation checkpointing runs a batch again that is not among the last {MOST_PASSES} that this norm saw, so the state that "
                "it met is not known; go backward after fewer forward passes"
            )
        return self._seen[begun[-1]].state
