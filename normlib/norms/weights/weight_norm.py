"""Weight normalization."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from normlib.norms import register
from normlib.norms.place import Place
from normlib.norms.weights.on_weights import OnWeights, WeightFunction


class DirectionAndLength(WeightFunction):
    """The rows of the parameter give the directions of the weights. `g` (output channels,) gives their lengths."""

    def __init__(self, layer: nn.Module, eps: float) -> None:
        super().__init__(layer)
        self.eps = eps
        weight: Tensor = layer.weight  # type: ignore[assignment]
        self.g = nn.Parameter(self.rows_of(weight.detach()).norm(dim=1).to(weight.dtype))

    def transform_rows(self, rows: Tensor) -> Tensor:
        lengths = torch.linalg.vector_norm(rows, dim=1).clamp(min=self.eps)
        return rows * (self.g / lengths).unsqueeze(1)


@register(
    "weight_norm", statistics_over="the weights of an output channel", axes=("weights",), paper="arXiv:1602.07868"
)
class WeightNorm(OnWeights):
    r"""Gives the weights of each output channel a trained length apart from their direction. The input passes as it is.

    .. math:: w = g \frac{v}{\lVert v \rVert}

    Axes: The weights of an output channel, in the layer ahead of the site. `v` is the layer's own parameter.

    Shapes: (N, C, *positions) to the same. The layer ahead is linear, a convolution or a transposed convolution.

    Paper: Salimans, Kingma 2016, "Weight Normalization: A Simple Reparameterization to Accelerate Training of Deep
    Neural Networks", arXiv:1602.07868, equation 2.

    Deviations: `g` starts as the length of `v`, so the network starts as it is.
    torch.nn.utils.parametrizations.weight_norm does the same. The paper starts from the statistics of a first batch
    (its section 3). That is left out, because it would make the start depend on the batch. `eps` is the least length by
    which `v` is divided. It only keeps a row of zeros finite.

    When: Where inputs should pass as they are and samples should not mix: recurrent networks, reinforcement learning,
    generative models, online learning.

    When not: For depth alone. Nothing keeps the scale of activations, so a deep network needs as careful a start as
    without it.

    Settings:
        eps: the least length that is divided by
    """

    parameter_count = "C"

    def weight_function(self, layer: nn.Module, place: Place) -> WeightFunction:
        return DirectionAndLength(layer, self.eps)
