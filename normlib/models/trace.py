"""What one example shows about a network: which layer's output enters a norm, what follows it, which layer is the last.

In: a network and an example. Out: modules, by the norms that they belong to. The network stays as it is, except for
averages that its norms keep. This file knows no norm: whoever calls it names the places to examine.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

LAYERS = (
    nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
)  # fmt: skip
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
# Half of their input goes to (almost) zero, so that the layer ahead starts with the gain of relu.
LIKE_RELU = ("ReLU", "ReLU6", "LeakyReLU", "GELU", "GELUTanh", "SiLU", "Swish", "Hardswish", "HardSwish", "Mish")


@dataclass
class Trace:
    """What was found, by the places. `ahead`: the layer whose output enters. `activation`: what acts like ReLU behind
    it.

    `shapes`: of the first input; a place that the example never reached has none. `answers_each_token`: inputs are
    token ids, and there is an output for each, as in language models.

    A tensor is recognized by its memory and by how often that was written to. So views of an output are still that
    output. What an activation wrote over it is not.
    """

    ahead: dict[nn.Module, nn.Module] = field(default_factory=dict)
    activation: dict[nn.Module, nn.Module] = field(default_factory=dict)
    shapes: dict[nn.Module, tuple[int, ...]] = field(default_factory=dict)
    last: nn.Module | None = None
    answers_each_token: bool = False

    def positions_apart(self, place: nn.Module) -> int:
        """The number of positions that a norm may not mix, since outputs may not see later ones. 0 if it may."""
        shape = self.shapes.get(place)
        return math.prod(shape[1:-1]) if self.answers_each_token and shape is not None and len(shape) > 2 else 0


def trace(model: nn.Module, example: Tensor, places: Collection[nn.Module], num_outputs: int) -> Trace:
    """Run `example` through `model`; the last layer is the last one that runs with `num_outputs` outputs."""
    found = Trace()
    made_by: dict[tuple[int, int, int], nn.Module] = {}
    kept: list[Tensor] = []  # so that no two outputs share their memory

    def on_enter(module: nn.Module, inputs: Any) -> None:
        if not inputs or not isinstance(inputs[0], Tensor):
            return
        source = made_by.get(_identity(inputs[0]))
        if module in places:
            found.shapes.setdefault(module, tuple(inputs[0].shape))
            if isinstance(source, LAYERS):
                found.ahead.setdefault(module, source)
        elif source is not None and source in places and type(module).__name__ in LIKE_RELU:
            found.activation.setdefault(source, module)

    def on_exit(module: nn.Module, _: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            made_by[_identity(output)] = module
            kept.append(output)
        if isinstance(module, LAYERS) and module.weight.shape[isinstance(module, TRANSPOSED)] == num_outputs:
            found.last = module

    hooks: list[Any] = []
    for module in model.modules():
        if module in places or not list(module.children()):
            hooks.append(module.register_forward_pre_hook(on_enter))
        if module in places or isinstance(module, LAYERS):
            hooks.append(module.register_forward_hook(on_exit))
    try:
        with torch.no_grad():
            output = model(example)
    finally:
        for hook in hooks:
            hook.remove()
    found.answers_each_token = not example.is_floating_point() and output.shape[:2] == example.shape
    return found


def _identity(x: Tensor) -> tuple[int, int, int]:
    return x.untyped_storage()._cdata, x._version, x.numel()
