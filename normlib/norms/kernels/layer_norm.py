"""Layer norm over the channels of each position, on any memory format.

In come tensors (N, C, *positions); out go tensors of the same shape, type and memory format. This file knows no norm.
"""

from __future__ import annotations

import torch
from torch import Tensor

from normlib.norms.kernels.inspection import may_read_values, statistics_dtype
from normlib.norms.kernels.standardize import standardize

# From about this many values on, torch's layer norm takes longer to move the channels of a contiguous input to the end and
# back than statistics over channels that stay where they are.
LARGE = 2**16


def normalize_positions(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """torch's layer norm of `x` (N, C, *positions) over its channels, in the memory format of `x`."""
    if torch.is_grad_enabled() and x.dtype is not statistics_dtype(x):
        # torch's backward (2.13) adds up the gradients of weight and bias in half precision: off by a sixth at 1,152 positions.
        return normalize_positions(x.to(statistics_dtype(x)), weight, bias, eps).to(x.dtype)
    if x.dim() == 2:
        return torch.layer_norm(x, x.shape[1:], weight, bias, eps)
    if may_read_values(x) and x.is_contiguous() and x.numel() >= LARGE:
        return standardize(x, (1,), weight, bias, eps)
    y = torch.layer_norm(x.movedim(1, -1), x.shape[1:2], weight, bias, eps)  # (N, *positions, C)
    return y.movedim(-1, 1)
