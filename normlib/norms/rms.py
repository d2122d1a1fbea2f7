"""Root mean square normalization."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor

from normlib.norms import register
from normlib.norms._layout import laid_out_like, one_width, require_scope
from normlib.norms.base import Norm
from normlib.norms.kernels.inspection import is_direct
from normlib.norms.kernels.masked import count_valid, fill_padding, refuse_single_values
from normlib.norms.kernels.root_mean_square import divide_by_rms, divide_rows_by_rms, is_large


@register(
    "rms",
    statistics_over="channels and positions, per sample (scope=position: channels alone, per position), without the mean",
    axes=("channels", "positions"),
    paper="arXiv:1910.07467",
)
class RMSNorm(Norm):
    r"""Divides each sample, or each position of each sample, by its root mean square. It subtracts no mean.

    .. math:: y = \gamma \frac{x}{\sqrt{\mathrm{E}[x^2] + \epsilon}}

    Axes: With ``scope="sample"``: C and positions, per sample, as layer norm by default. With ``scope="position"``: C
    alone, per position, as in transformers. With ``channel_dim=-1`` too, that is torch.nn.RMSNorm.

    Shapes: (N, C, *positions) to the same, with any number of positions or none. With ``channel_dim=-1``
    (N, *positions, C).

    Paper: Zhang, Sennrich 2019, "Root Mean Square Layer Normalization", arXiv:1910.07467, equation 4.

    Deviations: A scale and no shift, as in the paper's own comparisons. In a network of normlib the site adds the
    shift, so that no arm is without one. The paper has no epsilon. Its partial statistics (pRMSNorm) are left out.

    When: In transformers, in place of layer norm: one statistic fewer, and mostly the same accuracy. It is not always
    faster: see `normlib bench norm=rms,layer`.

    When not: Where inputs are far from zero compared with their spread. The mean stays in, and little is left of the
    differences between values.

    Settings:
        scope: what shares a statistic: a whole sample, or each position of it
    """

    takes_mask: ClassVar[bool] = True
    parameter_count: ClassVar[str] = "C"
    starts_at: Mapping[str, float] = {"weight": 1.0}
    invariances: ClassVar[frozenset[str]] = frozenset(
        {"input_scale", "sample_scale", "batch_permutation", "channel_permutation"}
    )

    def __init__(
        self,
        num_features: int | Sequence[int],
        scope: Literal["sample", "position"] = "sample",
        eps: float = 1e-5,
        affine: bool = True,
        channel_dim: int = 1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            one_width(self._name, num_features),
            eps=eps,
            affine=affine,
            bias=False,
            channel_dim=channel_dim,
            device=device,
            dtype=dtype,
        )
        require_scope(scope)
        self.scope = scope

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        if mask is None and is_direct(x, self._parameters):
            shape = x.shape
            in_rows = len(shape) == 2 or (self.channel_dim == -1 and self.scope == "position")
            if in_rows and shape[-1] == self.num_features > 1:  # nothing to transpose or to refuse
                y = divide_rows_by_rms(x, self._parameters["weight"], self.eps)
                return y if y.stride() == x.stride() else laid_out_like(x, y)
        return super().forward(x, mask)

    def transform(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        by_position = self.scope == "position"
        self.require_several_values(
            x.shape[1] if by_position else x.numel() // x.shape[0],
            x,
            "the channels of a position" if by_position else "the channels and positions of a sample",
            "give it more channels" if by_position else "give it more channels or positions",
            outcome="only its sign would come out",
        )
        if mask is not None:
            if not by_position and x.dim() > 2:
                return self._over_valid(x, mask)
            x = fill_padding(x, mask)  # every statistic sees valid values alone, or padding alone
        weight, _ = self.parameters_as(x)
        if x.dim() == 2:
            return divide_rows_by_rms(x, weight, self.eps)
        if by_position and not is_large(x):
            return divide_rows_by_rms(x.movedim(1, -1), weight, self.eps).movedim(-1, 1)
        return divide_by_rms(x, (1,) if by_position else tuple(range(1, x.dim())), weight, None, self.eps)

    def _over_valid(self, x: Tensor, mask: Tensor) -> Tensor:
        axes = tuple(range(1, x.dim()))
        count = count_valid(x, mask, axes)
        refuse_single_values(
            self._name,
            count,
            "the valid channels and positions of a sample",
            "give it more channels or valid positions",
            outcome="only its sign would come out",
        )
        mean_square = x.square().sum(axes, keepdim=True) / count.clamp(min=1)
        return self.scale_and_shift(x * torch.where(count > 0, mean_square + self.eps, 1).rsqrt())

    @property
    def normalized_shape(self) -> tuple[int]:
        """torch.nn's name for the channels."""
        return (self.num_features,)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, scope={self.scope!r}"
