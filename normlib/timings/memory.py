"""How much memory a layer takes: on CUDA the peak of a step, on a CPU what it keeps for its backward pass.

In come a layer and an input, out go bytes beyond the input and the parameters. This file times nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

MEANING = {
    "cpu": "what the forward pass keeps for the backward pass, beyond input and parameters",
    "cuda": "the peak of a forward and a backward pass beyond what was there before, by torch's count",
}


def memory_bytes(layer: nn.Module, x: Tensor, gradient: Tensor) -> int:
    """Bytes, in the meaning of `MEANING` for the device of `x`."""
    x = x.detach().requires_grad_()
    return _peak_on_cuda(layer, x, gradient) if x.is_cuda else _kept_for_backward(layer, x)


def _kept_for_backward(layer: nn.Module, x: Tensor) -> int:
    kept: dict[int, int] = {}
    known = {tensor.untyped_storage().data_ptr() for tensor in (x, *layer.parameters(), *layer.buffers())}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        y = layer(x)
    del y
    return sum(kept.values())


def _peak_on_cuda(layer: nn.Module, x: Tensor, gradient: Tensor) -> int:
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    layer(x).backward(gradient)
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before
