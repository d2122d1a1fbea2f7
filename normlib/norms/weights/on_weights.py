"""The base of the methods on weights: they make the weight of the layer ahead a function of the layer's own parameter.

In: the layer ahead of a site. A subclass of `WeightFunction` says what its `weight` becomes, by torch's
parametrization. The parameter itself stays as it is and stays part of the trunk. What a method trains beside it belongs
to the norm. This file knows no method.
"""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from normlib.norms.base import Norm
from normlib.norms.kernels.inspection import statistics_dtype
from normlib.norms.place import CannotEnter, Place

TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, *TRANSPOSED)

NO_PICKLE = {
    "pickle": "torch serializes a parametrized layer by its state_dict alone, and refuses to pickle the module"
}


class WeightFunction(nn.Module):
    """The weight that a layer uses, as a function of its parameter.

    It is computed in float32 or better, and returned in the parameter's type. A subclass implements `transform_rows`.
    What it trains or keeps are its own parameters and buffers.
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.output_dim = 1 if isinstance(layer, TRANSPOSED) else 0

    def transform_rows(self, rows: Tensor) -> Tensor:
        """The new weights, both from and to a matrix (output channels, fan-in)."""
        raise NotImplementedError(f"{type(self).__qualname__} has to implement transform_rows(self, rows)")

    def rows_of(self, weight: Tensor) -> Tensor:
        """A layer's weight as a matrix (output channels, fan-in) in float32 or better."""
        return weight.transpose(0, self.output_dim).flatten(1).to(statistics_dtype(weight))

    def forward(self, weight: Tensor) -> Tensor:
        with contextlib.nullcontext() if weight.is_meta else torch.autocast(weight.device.type, enabled=False):
            rows = self.transform_rows(self.rows_of(weight))
        return rows.view(weight.transpose(0, self.output_dim).shape).transpose(0, self.output_dim).to(weight.dtype)


class OnWeights(Norm):
    """A norm that passes its input through and acts on the weights of the layer ahead.

    A subclass implements `weight_function`.
    """

    slot = "weight"
    needs = "a linear or convolutional layer ahead of its site"
    parameter_count = "0"
    starts_at = {}
    exceptions = NO_PICKLE
    #: The WeightFunction of the layer ahead. It is in a tuple because it is a part of that layer, not of this module.
    acting: tuple[Any, ...] = ()

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        channel_dim: int = 1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_features, eps=eps, affine=False, channel_dim=channel_dim, device=device, dtype=dtype)

    def weight_function(self, layer: nn.Module, place: Place) -> WeightFunction:
        """The function that gives the weight of `layer`. May raise CannotEnter."""
        raise NotImplementedError(f"{self._name} has to implement weight_function(self, layer, place)")

    def enter(self, place: Place) -> None:
        layer = place.ahead
        if not isinstance(layer, LAYERS):
            found = "there is none" if layer is None else f"there is {layer}"
            raise CannotEnter(
                f"{self._name} works on the weights of the linear or convolutional layer ahead of each site, but ahead of a "
                f"site of this network {found}; use a norm that works on the input"
            )
        if isinstance(layer, TRANSPOSED) and layer.groups > 1:
            raise CannotEnter(
                f"{self._name} takes the weights of each output channel together, but the transposed convolution {layer} keeps "
                "those of its groups in one row; use groups=1, or a norm that works on the input"
            )
        if any(isinstance(part, WeightFunction) for part in layer.modules()):
            raise CannotEnter(
                f"{self._name} would be the second method on the weights of {layer}: either it is ahead of several sites, or "
                "another method was there first"
            )
        function = self.weight_function(layer, place)
        # unsafe: the checks of shape and type would run the function once, and with it the power method.
        parametrize.register_parametrization(layer, "weight", function, unsafe=True)
        self.acting = (function,)

    def train_affine(self, train: bool = True) -> None:
        for function in self.acting:
            function.requires_grad_(train)

    def normalize(self, x: Tensor) -> Tensor:
        return x

    def _in_precision(self, x: Tensor, mask: Tensor | None) -> Tensor:
        return x

    def extra_repr(self) -> str:
        return f"{self.num_features}, eps={self.eps:g}"


def require_several_weights(norm: Norm, layer: nn.Module, function: WeightFunction) -> None:
    """Raise CannotEnter if an output channel has a single weight, whose variance is zero."""
    weight: Tensor = layer.weight  # type: ignore[assignment]
    if weight.numel() == weight.shape[function.output_dim]:
        raise CannotEnter(
            f"{type(norm).__name__} takes its statistics over the weights of an output channel, but {layer} has one weight for "
            "each: it would always be zero; use a layer with a larger fan-in, or another norm"
        )
