"""What only plain tensors on a CPU allow: to look at values before the next step, and to leave half precision to the kernels.

In come tensors, out go answers. This file computes no norm.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch._C import _is_tracing, _len_torch_dispatch_stack  # by name: half the time of a look into torch._C
from torch._C._functorch import peek_interpreter_stack
from torch.autograd import forward_ad


def may_read_values(x: Tensor) -> bool:
    """Whether `x` holds numbers on a CPU here and now, without a tangent: it is not traced, compiled, faked, or hidden by torch.func."""
    return (
        x.is_cpu
        and type(x) is Tensor
        and not torch.compiler.is_compiling()
        and peek_interpreter_stack() is None
        and not _is_tracing()
        and forward_ad._current_level < 0
        and not _len_torch_dispatch_stack()
    )


def is_direct(x: Tensor, parameters: Mapping[str, Tensor | None]) -> bool:
    """Whether torch's CPU kernels take `x` beside "weight" and "bias" as all is: of one type, or half beside float32 where values may be read.

    `parameters` are a norm's own: a parametrization takes its out. There is a weight; the bias may be None.
    """
    if type(x) is not Tensor or not x.is_cpu or "bias" not in parameters or torch.is_autocast_enabled("cpu"):
        return False
    weight, bias, dtype = parameters.get("weight"), parameters["bias"], x.dtype
    if weight is None or (bias is not None and bias.dtype is not weight.dtype):
        return False
    if weight.dtype is dtype:
        return dtype is torch.float32 or dtype is torch.float64
    return weight.dtype is torch.float32 and (dtype is torch.bfloat16 or dtype is torch.float16) and may_read_values(x)


def is_under_func() -> bool:
    """Whether torch.func has its hands on what is computed now. Not to be asked while torch.compile traces."""
    return peek_interpreter_stack() is not None


def statistics_dtype(x: Tensor) -> torch.dtype:
    """The type that statistics of `x` are taken in: its own, and float32 for half precision."""
    dtype = x.dtype
    if dtype is torch.float32 or dtype is torch.float64:
        return dtype
    return torch.promote_types(dtype, torch.float32)


def is_channels_last(x: Tensor) -> bool:
    """Whether `x` is dense with the channels of a position side by side, in a layout that torch has a name for."""
    return (x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last)) or (
        x.dim() == 5 and x.is_contiguous(memory_format=torch.channels_last_3d)
    )


def is_recomputing() -> bool:
    """Whether a backward pass runs in this thread: a forward pass inside one is the second one of a checkpoint."""
    return not torch.compiler.is_compiling() and torch._C._current_graph_task_id() != -1


def may_be_recomputed() -> bool:
    """Whether the present forward pass may come again: torch's checkpoints run it without gradients, or under hooks."""
    if torch.compiler.is_compiling():
        return False
    return not torch.is_grad_enabled() or torch._C._autograd._top_saved_tensors_default_hooks(True) is not None


def value_before_update(state: Any) -> Any:
    """A buffer's value that will be moved in place before the backward pass: when compiled, a copy that is kept for that.

    torch's partitioner (2.13) otherwise may keep the buffer itself, and compute from it what the backward pass needs, when it
    has moved: gradients off by 7 % in the last batch renorm layer. It never computes a flip again.
    """
    if not torch.compiler.is_compiling():
        return state
    return state.unsqueeze(0).flip(0).squeeze(0)  # of one row, so that nothing is flipped
