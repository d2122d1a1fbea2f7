"""Scaled weight standardization."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from normlib.norms import register
from normlib.norms.place import CannotEnter, Place
from normlib.norms.weights.on_weights import OnWeights, WeightFunction, require_several_weights

# From the authors' code (deepmind-research, nfnets/base.py): the factor that gives the activation of standard normal values
# variance one, found by simulation. relu's is sqrt(2 / (1 - 1/pi)) = 1.7129 exactly.
GAMMAS = {
    "relu": 1.7139588594436646, "gelu": 1.7015043497085571, "silu": 1.7881293296813965, "tanh": 1.5939117670059204,
    "sigmoid": 4.803835391998291, "elu": 1.2716004848480225, "relu6": 1.7131484746932983, "leaky_relu": 1.70590341091156,
}  # fmt: skip


class StandardizedForVariance(WeightFunction):
    """Rows with mean zero and sum of squares gamma^2, times a gain for each row."""

    gain: nn.Parameter | None

    def __init__(self, layer: nn.Module, gamma: float, eps: float, affine: bool) -> None:
        super().__init__(layer)
        self.gamma, self.eps = gamma, eps
        weight: Tensor = layer.weight  # type: ignore[assignment]
        gain = torch.ones(weight.shape[self.output_dim], device=weight.device, dtype=weight.dtype)
        self.register_parameter("gain", nn.Parameter(gain) if affine else None)

    def transform_rows(self, rows: Tensor) -> Tensor:
        var, mean = torch.var_mean(rows, dim=1, correction=0, keepdim=True)
        scale = self.gamma * torch.rsqrt((var * rows.shape[1]).clamp(min=self.eps))  # (output channels, 1)
        return (rows - mean) * (scale if self.gain is None else scale * self.gain.unsqueeze(1))


@register(
    "scaled_weight_standardization",
    statistics_over="the weights of an output channel",
    axes=("weights",),
    paper="arXiv:2101.08692",
)
class ScaledWeightStandardization(OnWeights):
    r"""Standardizes the weights of each output channel so that layer and activation keep the variance of the input.

    .. math:: \hat w = g \, \gamma \frac{w - \mathrm{E}[w]}{\sqrt{\max(N \mathrm{Var}[w], \epsilon)}}

    Axes: The weights of an output channel, in the layer ahead of the site. `w` is the layer's own parameter and `N` its
    fan-in. `g` is a trained gain per output channel, from 1; `affine=False` leaves it out. `gamma` is the constant of
    the activation behind the layer, 1 if none follows.

    Shapes: (N, C, *positions) to the same. The layer ahead is linear, a convolution or a transposed convolution. It has
    at least two weights for each output channel.

    Paper: Brock, De, Smith 2021, "Characterizing signal propagation to close the performance gap in unnormalized
    ResNets", arXiv:2101.08692, "Scaled Weight Standardization". With the gain: Brock, De, Smith, Simonyan 2021,
    arXiv:2102.06171, equation 1 and its authors' code.

    Deviations: The paper multiplies the activation's output by gamma. Here the weights ahead of the activation carry
    it, which is the same for relu. Other activations see their input gamma times as wide in the first layer alone. The
    floor of `N Var[w]` is 1e-4 in the authors' code. Only weights that are almost equal ever reach either floor.

    When: In residual networks without any norm, with skipinit's multiplier or a similar one at the end of each branch.

    When not: With a norm behind it, which divides the scale out again. Weight standardization is enough there.

    Settings:
        gamma: factor that keeps the variance through the activation; null takes the activation's own
        eps: the least variance, times the fan-in, that is divided by
        affine: whether each output channel has a gain that is trained
    """

    parameter_count = "C"

    def __init__(
        self,
        num_features: int,
        gamma: float | None = None,
        eps: float = 1e-5,
        affine: bool = True,
        channel_dim: int = 1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_features, eps, channel_dim, device, dtype)
        self.gamma, self.affine = gamma, affine

    def weight_function(self, layer: nn.Module, place: Place) -> WeightFunction:
        function = StandardizedForVariance(layer, self._gamma(place.activation), self.eps, self.affine)
        require_several_weights(self, layer, function)
        return function

    def _gamma(self, activation: str | None) -> float:
        if self.gamma is not None:
            return self.gamma
        if activation is not None and activation not in GAMMAS:
            raise CannotEnter(
                f"{self._name} has no gamma for the activation {activation!r}, only for {', '.join(sorted(GAMMAS))}; set gamma "
                "to 1 / the standard deviation of the activation of standard normal values"
            )
        return 1.0 if activation is None else GAMMAS[activation]
