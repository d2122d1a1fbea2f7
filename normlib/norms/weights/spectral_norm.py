"""Spectral normalization."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from normlib.norms import register
from normlib.norms.kernels.inspection import is_recomputing, may_be_recomputed, value_before_update
from normlib.norms.place import Place
from normlib.norms.recomputation import Passes
from normlib.norms.weights.on_weights import NO_PICKLE, OnWeights, WeightFunction

ITERATIONS_AT_START = 15  # as torch.nn.utils.parametrizations.spectral_norm: the first weights are already well scaled


class DividedBySpectralNorm(WeightFunction):
    """The matrix over its largest singular value, by the power method.

    `u` (output channels,) is the left singular vector.
    """

    u: Tensor
    moves = True  # only if training moves u

    def __init__(self, layer: nn.Module, num_power_iterations: int, eps: float) -> None:
        super().__init__(layer)
        self.num_power_iterations, self.eps, self._passes = num_power_iterations, eps, Passes()
        weight: Tensor = layer.weight  # type: ignore[assignment]
        rows = self.rows_of(weight.detach())
        u = torch.randn(len(rows), device=rows.device, dtype=rows.dtype)
        self.register_buffer("u", self._iterate(rows, u, ITERATIONS_AT_START).to(weight.dtype))

    def transform_rows(self, rows: Tensor) -> Tensor:
        with torch.no_grad():
            u = self._moved(rows)
            u, v = self.stop_gradient(u), self.stop_gradient(F.normalize(rows.t() @ u, dim=0))
        sigma = torch.dot(u, rows @ v)
        return rows / sigma.clamp(min=self.eps)

    def _moved(self, rows: Tensor) -> Tensor:
        """`u` after the iterations of this pass. In a checkpoint's second pass, that of the first."""
        if self.training and is_recomputing() and len(self._passes):
            return self._passes.recall()["u"].to(rows.dtype)
        u = value_before_update(self.u).to(rows.dtype, copy=True)
        if self.training and self.moves and not is_recomputing():
            u = self._iterate(rows, u, self.num_power_iterations)
            self.u.copy_(u)
            if may_be_recomputed():
                self._passes.remember({"u": u})
        return u

    def stop_gradient(self, value: Tensor) -> Tensor:
        """As `Norm.stop_gradient`, for finite differences."""
        return value.detach()

    @staticmethod
    def _iterate(rows: Tensor, u: Tensor, times: int) -> Tensor:
        for _ in range(times):
            u = F.normalize(rows @ F.normalize(rows.t() @ u, dim=0), dim=0)
        return u


@register(
    "spectral_norm", statistics_over="the whole weight matrix", axes=("weights", "channels"), paper="arXiv:1802.05957"
)
class SpectralNorm(OnWeights):
    r"""Divides a layer's weights by their largest singular value, so that the layer stretches nothing. The input passes
    as it is.

    .. math:: \hat W = \frac{W}{\sigma(W)}, \quad \sigma(W) \approx u^\top W v, \quad
        v = \frac{W^\top u}{\lVert W^\top u \rVert}, \quad u \leftarrow \frac{W v}{\lVert W v \rVert}

    Axes: The whole weight of the layer ahead of the site, as a matrix of output channels by fan-in. `W` is the layer's
    own parameter.

    Shapes: (N, C, *positions) to the same. The layer ahead is linear, a convolution or a transposed convolution.

    Paper: Miyato, Kataoka, Koyama, Yoshida 2018, "Spectral Normalization for Generative Adversarial Networks",
    arXiv:1802.05957, equation 8 and algorithm 1. There are `num_power_iterations` each time that the weight is used in
    training.

    Deviations: `u` starts from standard normal values, as in the paper. Then it takes 15 iterations at once, as in
    torch.nn.utils. `v` is computed from the moved `u`, which is half an iteration closer. The paper takes the one
    before. In eval mode `u` stays. For a convolution this is the norm of the reshaped weight, as in the paper, not that
    of the operator. `eps` is the least divisor.

    When: In networks whose Lipschitz constant has to stay bounded: discriminators, robustness, ensembles with
    distances.

    When not: For accuracy alone. Nothing that is trained could give the scale back, so a deep network's output shrinks.

    Settings:
        num_power_iterations: power iterations each time that the weight is used in training
        eps: the least length that is divided by
    """

    constant_in_gradient = "the singular vectors"
    buffer_count = "C"
    exceptions = {
        **NO_PICKLE,
        "jit_trace": "torch.jit.trace reads the weight several times while it looks at the module, and each time in training moves u",
    }

    def __init__(
        self,
        num_features: int,
        num_power_iterations: int = 1,
        eps: float = 1e-5,
        channel_dim: int = 1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if num_power_iterations < 1:
            raise ValueError(f"num_power_iterations is at least 1, got {num_power_iterations}")
        super().__init__(num_features, eps, channel_dim, device, dtype)
        self.num_power_iterations = num_power_iterations

    @property
    def update_running(self) -> bool:
        """Whether `u` moves. It does so in training mode only."""
        return self._moves

    @update_running.setter
    def update_running(self, moves: bool) -> None:
        self._moves = moves
        for function in self.acting:
            function.moves = moves

    def weight_function(self, layer: nn.Module, place: Place) -> WeightFunction:
        return DividedBySpectralNorm(layer, self.num_power_iterations, self.eps)
