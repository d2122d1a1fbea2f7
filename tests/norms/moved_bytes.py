"""Counts what the aten operations of a piece of code move through memory, and how many kernels a GPU would launch for them.

In comes code run under `MovedBytes`, forward and backward; out go bytes and launches. Nothing is timed, and no GPU is needed: the
operations are counted by their arguments and results, whatever device computes them.

    with MovedBytes() as moved:
        norm(x).backward(gradient)
    moved.bytes, moved.launches
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

aten = torch.ops.aten
# Arguments, by position, that a normalization reads a second time: once for the statistics or sums, once to normalize.
READ_TWICE = {
    aten.native_batch_norm: (0,), aten.native_group_norm: (0,), aten.native_layer_norm: (0,), aten._fused_rms_norm: (0,),
    aten.native_batch_norm_backward: (0, 1), aten.native_group_norm_backward: (0, 1), aten.native_layer_norm_backward: (0, 1),
    aten._fused_rms_norm_backward: (0, 1),
}  # fmt: skip
# Kernels of more than one launch, as ATen/native/cuda/Normalization.cu has them: statistics, their inverse root and the running
# ones, the elementwise step; in evaluation the inverse root and the elementwise step.
LAUNCHES_IN_TRAINING = {aten.native_batch_norm: 3, aten.native_batch_norm_backward: 2, aten.native_group_norm: 3}
LAUNCHES_IN_EVALUATION = {aten.native_batch_norm: 2, aten.native_batch_norm_backward: 2}
WITHOUT_A_KERNEL = {aten.empty, aten.empty_like, aten.empty_strided, aten.detach, aten.new_empty}
TRAINING_AT = {aten.native_batch_norm: 5, aten.native_batch_norm_backward: 7}


class MovedBytes(TorchDispatchMode):
    """`bytes` read and written, and `launches` of kernels, by what runs inside; `operations` names them in order."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes, self.launches = 0, 0
        self.operations: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        results = func(*args, **(kwargs or {}))
        packet = func.overloadpacket
        written = [leaf for leaf in tree_leaves(results) if isinstance(leaf, Tensor)]
        if packet in WITHOUT_A_KERNEL or not written or _is_view(args, results):
            return results
        trains = packet not in TRAINING_AT or bool(args[TRAINING_AT[packet]])
        read = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if trains:
            read += [args[index] for index in READ_TWICE.get(packet, ())]
        self.bytes += sum(tensor.numel() * tensor.element_size() for tensor in (*read, *written))
        self.launches += (LAUNCHES_IN_TRAINING if trains else LAUNCHES_IN_EVALUATION).get(packet, 1)
        self.operations.append(str(packet))
        return results


def _is_view(args: Any, results: Any) -> bool:
    """Whether the result is the first argument's memory, not written to."""
    if not isinstance(results, Tensor) or not args or not isinstance(args[0], Tensor):
        return False
    first = args[0]
    same = results is not first and results.untyped_storage()._cdata == first.untyped_storage()._cdata
    return same or (results is first and results._version == 0)
