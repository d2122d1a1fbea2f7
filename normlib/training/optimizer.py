"""The optimizer of a run. In: a network and the names of its norms' parameters. Out: a torch optimizer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn


def make_optimizer(
    network: nn.Module, norm_parameter_names: frozenset[str], settings: Mapping[str, Any], learning_rate: float
) -> torch.optim.Optimizer:
    """SGD or AdamW in torch's fused form. Norm parameters decay only if `decay_norm` is true."""
    parameters = dict(network.named_parameters())
    decayed = [p for name, p in parameters.items() if settings["decay_norm"] or name not in norm_parameter_names]
    exempt = [p for name, p in parameters.items() if not settings["decay_norm"] and name in norm_parameter_names]
    if not settings["weight_decay"]:
        groups: list[dict[str, Any]] = [{"params": list(parameters.values())}]
    else:
        groups = [{"params": decayed}, {"params": exempt, "weight_decay": 0.0}]
        groups = [group for group in groups if group["params"]]
    common = {"lr": learning_rate, "weight_decay": settings["weight_decay"], "fused": True}
    if settings["name"] == "sgd":
        return torch.optim.SGD(groups, momentum=settings["momentum"], nesterov=settings["nesterov"], **common)
    return torch.optim.AdamW(groups, betas=(settings["beta1"], settings["beta2"]), eps=settings["eps"], **common)
