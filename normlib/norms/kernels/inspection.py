"""Answers what may be done with a tensor: read its values before the next step, or leave half precision to the kernels.

In: tensors. Out: answers. This file computes no norm.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch._C import _is_tracing, _len_torch_dispatch_stack  # by name: takes half the time of reading it from torch._C
from torch._C._functorch import peek_interpreter_stack
from torch.autograd import forward_ad


def may_read_values(x: Tensor) -> bool:
    """Whether `x` holds numbers on a CPU here and now, without a tangent.

    Not so if it is traced, compiled, faked, or hidden by torch.func.
    """
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
    """Whether torch's CPU kernels take `x` and the parameters as they are.

    They do if all have one type. They also take half precision with float32 parameters, if values may be read.
    `parameters` are a norm's own, without those that a parametrization has replaced. There is a weight; the bias may be
    None.
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
    """Whether torch.func transforms the present computation. Do not call this while torch.compile traces."""
    return peek_interpreter_stack() is not None


def statistics_dtype(x: Tensor) -> torch.dtype:
    """The type in which statistics of `x` are taken: its own, or float32 for half precision."""
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
    """Whether a backward pass runs in this thread. A forward pass inside it is the second one of a checkpoint."""
    return not torch.compiler.is_compiling() and torch._C._current_graph_task_id() != -1


def may_be_recomputed() -> bool:
    """Whether the present forward pass may run again.

    torch's checkpoints run it without gradients, or under hooks.
    """
    if torch.compiler.is_compiling():
        return False
    return not torch.is_grad_enabled() or torch._C._autograd._top_saved_tensors_default_hooks(True) is not None


def value_before_update(state: Any) -> Any:
    """The value of a buffer that will be updated in place before the backward pass.

    When compiled, it is a copy that is kept for that. Otherwise torch's partitioner (2.13) may keep the buffer itself,
    and use its new value in the backward pass. In the last batch renorm layer, gradients were then off by 7 %. It never
    computes a flip again.
    """
    if not torch.compiler.is_compiling():
        return state
    return state.unsqueeze(0).flip(0).squeeze(0)  # one row, so that nothing is flipped
