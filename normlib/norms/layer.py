"""Layer normalization, in its two meanings on inputs with positions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor

from normlib.norms import register
from normlib.norms._layout import laid_out_like, one_width, require_scope
from normlib.norms.base import Norm
from normlib.norms.kernels.group_norm import normalize_groups
from normlib.norms.kernels.inspection import is_direct
from normlib.norms.kernels.layer_norm import normalize_positions, normalize_rows
from normlib.norms.kernels.masked import fill_padding, standardize_groups


@register(
    "layer",
    statistics_over="channels and positions, per sample (scope=position: channels alone, per position)",
    axes=("channels", "positions"),
    paper="arXiv:1607.06450",
)
class LayerNorm(Norm):
    r"""Standardizes each sample over all its channels and positions, or each position of each sample over its channels.

    .. math:: y = \gamma \frac{x - \mathrm{E}[x]}{\sqrt{\mathrm{Var}[x] + \epsilon}} + \beta

    Axes: With ``scope="sample"``: C and positions, per sample. This is the group-norm paper's layer norm, and group
    norm with one group. With ``scope="position"``: C alone, per position, as in transformers and ConvNeXt.

    Shapes: (N, C, *positions) to the same, with any number of positions or none. With ``channel_dim=-1``
    (N, *positions, C).

    Paper: Ba, Kiros, Hinton 2016, "Layer Normalization", arXiv:1607.06450, equation 3.

    Deviations: Scale and shift are per channel in either scope, as for every norm here. The paper has no epsilon.

    When: In transformers and recurrent networks (with positions: ``scope="position"``), and at any batch size.

    When not: In convolutional networks where batches are large enough for batch norm, which mostly does better there.

    Settings:
        scope: what shares a statistic: a whole sample, or each position of it
    """

    takes_half: ClassVar[bool] = True
    takes_mask: ClassVar[bool] = True
    invariances: ClassVar[frozenset[str]] = frozenset(
        {"input_scale", "input_shift", "sample_scale", "sample_shift", "batch_permutation", "channel_permutation"}
    )

    def __init__(
        self,
        num_features: int | Sequence[int],
        scope: Literal["sample", "position"] = "sample",
        eps: float = 1e-5,
        affine: bool = True,
        bias: bool = True,
        channel_dim: int = 1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            one_width(self._name, num_features),
            eps=eps,
            affine=affine,
            bias=bias,
            channel_dim=channel_dim,
            device=device,
            dtype=dtype,
        )
        require_scope(scope)
        self.scope = scope

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        if mask is None and is_direct(x, self._parameters):
            shape, parameters, y = x.shape, self._parameters, None
            last = self.channel_dim == -1
            if len(shape) == 2 or (last and self.scope == "position"):
                if shape[-1] == self.num_features > 1:  # nothing to cast, to transpose or to refuse
                    y = normalize_rows(x, parameters["weight"], parameters["bias"], self.eps)
            elif not last and self.scope == "sample" and shape[1:2] == (self.num_features,) and x.numel() > shape[0]:
                y = normalize_groups(x, 1, parameters["weight"], parameters["bias"], self.eps)
            if y is not None:
                return y if y.stride() == x.stride() else laid_out_like(x, y)
        return super().forward(x, mask)

    def transform(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        if self.scope == "position" or x.dim() == 2:
            self.require_several_values(x.shape[1], x, "the channels of a position", "give it more channels")
            # with a mask, every statistic sees valid values alone, or padding alone
            filled = x if mask is None else fill_padding(x, mask)
            return normalize_positions(filled, *self.parameters_as(x), self.eps)
        self._require_samples_of_several(x)
        if mask is None:
            return normalize_groups(x, 1, *self.parameters_as(x), self.eps)
        return self.scale_and_shift(standardize_groups(self._name, x, mask, 1, self.eps))

    def _require_samples_of_several(self, x: Tensor) -> None:
        self.require_several_values(
            x.numel() // x.shape[0], x, "the channels and positions of a sample", "give it more channels or positions"
        )

    @property
    def normalized_shape(self) -> tuple[int]:
        """torch.nn's name for the channels."""
        return (self.num_features,)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, scope={self.scope!r}"
