"""EvoNorm B0: the larger of the batch's deviation and a linear term of the sample's own divides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from normlib.norms import register
from normlib.norms.base import Norm
from normlib.norms.evonorm_s0 import moments


@register(
    "evonorm_b0",
    statistics_over="samples and positions, per channel, and positions, per sample and channel",
    axes=("samples", "positions"),
    paper="arXiv:2004.02967",
)
class EvoNormB0(Norm):
    """Divides by the batch's deviation, or where that is larger by a line through the sample's: norm and activation in one.

    .. math:: y = \\gamma \\frac{x}{\\max\\big(\\sqrt{\\mathrm{Var}_{N,P}[x] + \\epsilon},\\; v x + \\sqrt{\\mathrm{Var}_P[x] + \\epsilon}\\big)} + \\beta

    Axes: N and positions (P), per channel, for the first variance, of which a running average divides at inference; positions,
    per sample and channel, for the second. `v` is one number a channel, from 1. `momentum` is the weight of the new value.

    Shapes: (N, C, *positions) to the same, at least two positions; with ``channel_dim=-1`` (N, *positions, C).

    Paper: Liu, Brock, Simonyan, Le 2020, "Evolving Normalization-Activation Layers", arXiv:2004.02967, its layer EvoNorm-B0.

    Deviations: the running average is that of the unbiased variance, as in batch norm here; the authors' code (tensorflow/tpu)
    keeps the biased one. With `norm_batch_size` set, the batch's variance is that of groups of samples. Under float16 or
    autocast (with `guard`, always) a batch that is not finite does not enter the running average. ``activate=False`` (a place
    without an activation) scales and shifts alone, without statistics, as the authors' code does (``nonlinearity=False``).

    When: in convolutional networks with large batches, in place of batch norm and its ReLU together.

    When not: at small batches, where S0 holds; without positions; where the activation itself is compared.
    """

    slot: ClassVar[Literal["norm", "site", "weight", "branch"]] = "site"
    depends_on_batch: ClassVar[bool] = True
    needs: ClassVar[str] = "two positions or more"
    parameter_count: ClassVar[str] = "3C"
    buffer_count: ClassVar[str] = "C+1"
    starts_at: ClassVar[Mapping[str, float]] = {"weight": 1.0, "bias": 0.0, "v": 1.0}
    invariances: ClassVar[frozenset[str]] = frozenset(
        {"input_scale", "channel_scale", "batch_permutation", "channel_permutation"}
    )
    running_var: Tensor
    num_batches_tracked: Tensor
    v: nn.Parameter | None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        guard: bool = False,
        activate: bool = True,
        channel_dim: int = 1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_features, eps=eps, affine=affine, channel_dim=channel_dim, device=device, dtype=dtype)
        self.momentum, self.guard, self.activate = momentum, guard, activate
        v = nn.Parameter(torch.ones(num_features, device=device, dtype=dtype)) if activate else None
        self.register_parameter("v", v)
        self.register_buffer("running_var", torch.ones(num_features, device=device, dtype=dtype) if activate else None)
        self.register_buffer("num_batches_tracked", torch.tensor(0, device=device) if activate else None)

    def transform(self, x: Tensor, guarded: bool) -> Tensor:
        if self.v is None:
            return self.scale_and_shift(x)
        num_positions = x.numel() // (x.shape[0] * x.shape[1])
        self.require_several_values(
            num_positions,
            x,
            "the positions of a sample's channel, beside those of the batch",
            "give it an input with positions, or use another norm",
            outcome="its deviation would always be zero",
        )
        mean, var = moments(x, x.shape[1])  # of each sample: (N, C, 1, ...)
        per_channel = (1, -1) + (1,) * (x.dim() - 2)
        own = self.running_var.to(x.dtype).view(per_channel)
        by_batch, moves = self.uses_batch_statistics, self.moves_running_statistics
        if by_batch or moves:
            groups = self.num_groups_of_samples(x.shape[0])
            parts = list(zip(mean.tensor_split(groups), var.tensor_split(groups), strict=True))
            # Samples have equally many positions, so the mean of their variances and the variance of their means add up.
            of_parts = [part.mean(0, keepdim=True) + means.var(0, correction=0, keepdim=True) for means, part in parts]
            if moves:
                counts = [means.shape[0] * num_positions for means, _ in parts]
                unbiased = [part.detach() * (count / (count - 1)) for part, count in zip(of_parts, counts, strict=True)]
                new = torch.cat(unbiased).mean(0).flatten()
                self.move_running_statistics({"running_var": new}, self.momentum, guarded or self.guard)
            if by_batch:
                own = torch.cat([part.expand_as(means) for part, (means, _) in zip(of_parts, parts)])
        # max(a, b) = a + relu(b - a), which costs far less backward than torch.maximum
        deviation = (own + self.eps).sqrt()
        above = torch.addcmul((var + self.eps).sqrt() - deviation, self.v.to(x.dtype).view(per_channel), x)
        return self.scale_and_shift(x / (deviation + F.relu(above)))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, momentum={self.momentum}"
