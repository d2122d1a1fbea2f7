"""Root mean square normalization."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from torch import Tensor

from normlib.norms import register
from normlib.norms.base import Norm
from normlib.norms.kernels.masked import count_valid, fill_padding, refuse_single_values
from normlib.norms.kernels.root_mean_square import divide_by_rms, is_large


@register(
    "rms",
    statistics_over="channels and positions, per sample (scope=position: channels alone, per position), without the mean",
    axes=("channels", "positions"),
    paper="arXiv:1910.07467",
)
class RMSNorm(Norm):
    """Divides each sample, or each position of each sample, by the root of its mean square; subtracts no mean.

    .. math:: y = \\gamma \\frac{x}{\\sqrt{\\mathrm{E}[x^2] + \\epsilon}}

    Axes: C and positions, per sample (``scope="sample"``, as layer norm has it by default); C alone, per position
    (``scope="position"``, as in transformers; with ``channel_dim=-1`` it is torch.nn.RMSNorm).

    Shapes: (N, C, *positions) to the same, any number of positions, none too; with ``channel_dim=-1`` (N, *positions, C).

    Paper: Zhang, Sennrich 2019, "Root Mean Square Layer Normalization", arXiv:1910.07467, equation 4.

    Deviations: a scale and no shift, as in the paper's own comparisons; in a network of normlib the site adds the shift, so that
    no arm is without one. The paper has no epsilon. The partial statistics of the paper (pRMSNorm) are left out.

    When: in transformers, in place of layer norm: one statistic fewer, mostly the same accuracy. It is not always the faster one:
    see `normlib bench norm=rms,layer`.

    When not: where inputs are far from zero compared with their spread. The mean stays in, and what is left of the differences
    between values is small.
    """

    takes_mask: ClassVar[bool] = True
    parameter_count: ClassVar[str] = "C"
    starts_at: Mapping[str, float] = {"weight": 1.0}
    invariances: ClassVar[frozenset[str]] = frozenset(
        {"input_scale", "sample_scale", "batch_permutation", "channel_permutation"}
    )

    def __init__(
        self,
        num_features: int,
        scope: Literal["sample", "position"] = "sample",
        eps: float = 1e-5,
        affine: bool = True,
        channel_dim: int = 1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            num_features, eps=eps, affine=affine, bias=False, channel_dim=channel_dim, device=device, dtype=dtype
        )
        if scope not in ("sample", "position"):
            raise ValueError(
                f'scope is "sample" (over channels and positions) or "position" (over channels), got {scope!r}'
            )
        self.scope = scope

    def transform(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        by_position = self.scope == "position"
        self.require_several_values(
            x.shape[1] if by_position else x.numel() // x.shape[0],
            x,
            "the channels of a position" if by_position else "the channels and positions of a sample",
            "give it more channels" if by_position else "give it more channels or positions",
            outcome="all that would come out is its sign",
        )
        if mask is not None:
            if not by_position and x.dim() > 2:
                return self._over_valid(x, mask)
            x = fill_padding(x, mask)  # every statistic sees valid values alone, or padding alone
        weight, _ = self.parameters_as(x)
        if (by_position or x.dim() == 2) and not is_large(x):  # torch's own takes the fewest steps
            rows = x if x.dim() == 2 else x.movedim(1, -1)  # (N, *positions, C)
            y = torch.rms_norm(rows, (self.num_features,), weight, self.eps)
            return y if x.dim() == 2 else y.movedim(-1, 1)
        return divide_by_rms(x, (1,) if by_position else tuple(range(1, x.dim())), weight, None, self.eps)

    def _over_valid(self, x: Tensor, mask: Tensor) -> Tensor:
        axes = tuple(range(1, x.dim()))
        count = count_valid(x, mask, axes)
        refuse_single_values(
            self._name,
            count,
            "the valid channels and positions of a sample",
            "give it more channels or valid positions",
            outcome="all that would come out is its sign",
        )
        mean_square = x.square().sum(axes, keepdim=True) / count.clamp(min=1)
        return self.scale_and_shift(x * torch.where(count > 0, mean_square + self.eps, 1).rsqrt())

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, scope={self.scope!r}"
