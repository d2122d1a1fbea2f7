"""Fills a trunk's parameters from the seed, hashes them, and examines a trunk with an example. Knows no norm."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from normlib.models.site import Sites
from normlib.models.start import state_hash
from normlib.training.seeding import drawn_from, generator, global_stream

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
FILLED_BY_FAN_IN = (nn.Linear, *CONVOLUTIONS)


def fill_trunk(trunk: nn.Module, sites: Sites, settings: Mapping[str, Any], seed: int) -> None:
    """Fill each parameter from its own stream, as `settings` (init.scheme, init.scale) say. Loaded weights stay."""
    loaded: Mapping[int, Tensor] = {} if sites.start is None else sites.start.loaded
    scheme, scale = settings["scheme"], settings["scale"]
    for module_name, module in trunk.named_modules():
        if any(id(parameter) in loaded for parameter in module.parameters(recurse=False)):
            continue
        if isinstance(module, FILLED_BY_FAN_IN):
            fan_in = module.weight[0].numel()
            bound = 1 / math.sqrt(fan_in)  # torch.nn's default: uniform within 1/sqrt(fan_in), weights and biases
            deviation = sites.gains.get(module, 1.0) / math.sqrt(fan_in)
            for name, parameter in module.named_parameters(recurse=False):
                source = generator(seed, "init", f"{module_name}.{name}")
                with torch.no_grad():
                    if scheme == "torch":
                        parameter.uniform_(-bound, bound, generator=source)
                    elif name == "weight":
                        parameter.normal_(0, deviation, generator=source)
                    else:
                        parameter.zero_()
                    parameter.mul_(scale if name == "weight" else 1.0)
        elif hasattr(module, "reset_parameters") and next(module.parameters(recurse=False), None) is not None:
            with global_stream(seed, "init", module_name):
                module.reset_parameters()


def examine_trunk(trunk: nn.Module, example: Tensor, seed: int) -> tuple[int, tuple[str, ...]]:
    """Run an example through the trunk.

    Returns the multiplications of its largest convolution, and the global generators that it draws from.
    """
    found = [0]

    def count(layer: nn.Module, inputs: Any, output: Tensor) -> None:
        found.append(output[0].numel() * layer.weight[0].numel())  # type: ignore[index]

    hooks = [layer.register_forward_hook(count) for layer in trunk.modules() if isinstance(layer, CONVOLUTIONS)]
    with torch.no_grad():
        draws = drawn_from(seed, lambda: trunk(example))
    for hook in hooks:
        hook.remove()
    return max(found), draws


def hash_tensor(value: Tensor) -> str:
    """A hash of a parameter's values. Empty on the meta device, where there are none."""
    if value.device.type == "meta":
        return ""
    return hashlib.sha256(value.detach().contiguous().numpy().tobytes()).hexdigest()


def hash_state(trunk: nn.Module) -> str:
    """16 hexadecimal digits for names, shapes, types and values of a trunk's parameters and buffers."""
    return state_hash(trunk.state_dict())
