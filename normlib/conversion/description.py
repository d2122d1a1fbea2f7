"""A normalization layer in normlib's words, whoever built it. This file reads no layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from normlib.errors import NormlibError
from normlib.norms.base import Norm


class UnknownNorm(NormlibError, ValueError):
    """A module is a norm, but not one that can be replaced. The message says why."""


@dataclass(frozen=True)
class Description:
    """One layer in normlib's words.

    `method` is the registered name of what it computes, "" if normlib has no such norm. `settings` are those of the
    method, in normlib's names. `state` holds the parameters and running statistics. `affine` and `eps` are None if the
    layer has no such thing. `starts_at` is where the parameters of the method start. `drop` and `activation` are what a
    fused layer applies behind the norm. `own_activation`: a nonlinearity is part of the method. `measured` says in
    words what was found by numbers, "" if the class is known. `one_plus_weight`: the gain was 1 + weight.
    """

    method: str
    num_features: int
    channel_dim: int
    eps: float | None
    affine: bool | None
    settings: Mapping[str, Any] = field(default_factory=dict)
    state: Mapping[str, Tensor] = field(default_factory=dict)
    frozen: bool = False
    fused: bool = False
    own_activation: bool = False
    drop: nn.Module | None = None
    activation: nn.Module | None = None
    starts_at: Mapping[str, float] = field(default_factory=lambda: Norm.starts_at)
    measured: str = ""
    one_plus_weight: bool = False
