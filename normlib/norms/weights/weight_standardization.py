"""Weight standardization."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from normlib.norms import register
from normlib.norms.kernels.inspection import statistics_dtype
from normlib.norms.place import Place
from normlib.norms.weights.on_weights import OnWeights, WeightFunction, require_several_weights


class Standardized(WeightFunction):
    """Rows with mean zero and variance one."""

    def __init__(self, layer: nn.Module, eps: float) -> None:
        super().__init__(layer)
        self.eps = eps

    def transform_rows(self, rows: Tensor) -> Tensor:
        exact = rows.to(statistics_dtype(rows))  # eps squared is too small for float16
        var, mean = torch.var_mean(exact, dim=1, correction=0, keepdim=True)
        return ((exact - mean) * torch.rsqrt(var + self.eps**2)).to(rows.dtype)


@register(
    "weight_standardization",
    statistics_over="the weights of an output channel",
    axes=("weights",),
    paper="arXiv:1903.10520",
)
class WeightStandardization(OnWeights):
    r"""Standardizes the weights of each output channel. The input passes as it is.

    .. math:: \hat w = \frac{w - \mathrm{E}[w]}{\sqrt{\mathrm{Var}[w] + \epsilon^2}}

    Axes: The weights of an output channel, in the layer ahead of the site. `w` is the layer's own parameter.

    Shapes: (N, C, *positions) to the same. The layer ahead is linear, a convolution or a transposed convolution. It has
    at least two weights for each output channel.

    Paper: Qiao, Wang, Liu, Shen, Yuille 2019, "Micro-Batch Training with Batch-Channel Normalization and Weight
    Standardization", arXiv:1903.10520. The equations are those of "Weight Standardization" (Qiao et al.'s mean and
    deviation over I).

    Deviations: The authors' code adds 1e-5 to the unbiased standard deviation. Here the square of `eps`, also 1e-5, is
    added to the biased variance. That is as little, and has a gradient if all weights of a row are alike. With 1e-5
    itself inside the root, as in the other norms, a row of 4,608 small weights would come out with a deviation of a
    quarter.

    When: With a norm behind it, most of all group norm at small batches: `norm=group_ws`. For any other norm, set
    `norm.weights=weight_standardization`.

    When not: Alone in a deep network. The weights have variance one whatever the fan-in, so every layer multiplies the
    scale of its input by the root of the fan-in. Scaled weight standardization corrects that.

    Settings:
        eps: its square is added to the variance
    """

    def weight_function(self, layer: nn.Module, place: Place) -> WeightFunction:
        function = Standardized(layer, self.eps)
        require_several_weights(self, layer, function)
        return function
