"""Fixup initialization."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from normlib.norms import register
from normlib.norms.base import Norm
from normlib.norms.place import BranchPosition, CannotEnter, Place

RULES = (
    "the classifier and the last layer of each residual branch start at zero, the other layers of a branch at L^(-1/(2m-2)) times "
    "their start, with L branches of m layers"
)


@register("fixup", statistics_over="nothing", paper="arXiv:1901.09321", reinitializes=RULES)
class Fixup(Norm):
    r"""Initializes a residual network so that no step changes its function by more than one layer would, at any depth.

    .. math:: W_1, \dots, W_{m-1} \leftarrow L^{-\frac{1}{2m-2}}\, W, \quad W_m \leftarrow 0, \quad
        y = a \, W (x + b)

    Axes: None.

    Shapes: (N, C, *positions) to the same. With ``channel_dim=-1`` (N, *positions, C).

    Paper: Zhang, Dauphin, Ma 2019, "Fixup Initialization: Residual Learning Without Normalization", arXiv:1901.09321,
    rules 1 to 3 of section 3, and its authors' code.

    Deviations: Rule 1 zeroes the classifier, its bias too, and the last layer of each branch. Rule 2 scales the other
    layers. Both act on the trunk's parameters as `init.scheme` has filled them, and records and tables name these. `m`
    counts the layers of a branch that have a site behind them. The others keep their start. For rule 3, the multiplier
    `a`, from 1, stands at the end of each branch. A scalar bias `b`, from 0, stands ahead of each of its layers. The
    biases ahead of activations and of the addition are the sites' shifts: one a channel instead of one a layer. The
    classifier's own bias serves for the one ahead of it. Shortcuts carry no bias; the authors' code adds that of the
    branch's first layer. Scalars learn at the rate of all parameters; the authors' code takes a tenth.

    When: To train a deep residual network without any norm. It is the most direct "none" that there is.

    When not: In a trained network, whose weights must stay, and without residual branches.
    """

    slot = "branch"
    needs = "a network with residual branches that says which layer is its classifier"
    parameter_count = "2"
    starts_at = {"multiplier": 1.0, "bias_ahead": 0.0}

    def __init__(
        self,
        num_features: int,
        channel_dim: int = 1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_features, affine=False, channel_dim=channel_dim, device=device, dtype=dtype)
        self.multiplier: nn.Parameter | None = nn.Parameter(torch.ones(1, device=device, dtype=dtype))
        self.register_parameter("bias_ahead", None)

    def enter(self, place: Place) -> None:
        if place.classifier is None:
            raise CannotEnter(
                "Fixup starts the network's classifier at zero, but this model does not say which layer that is; let it set "
                "sites.classifier"
            )
        with torch.no_grad():
            for parameter in place.classifier.parameters():
                parameter.zero_()
            if place.branch is not None:
                self._start(place.ahead, place.branch)
        if place.branch is None or not place.branch.is_last:
            self.multiplier = None

    def _start(self, layer: nn.Module | None, branch: BranchPosition) -> None:
        """Scale a branch's layer, or zero it if it is the last one, and put a scalar bias ahead of it."""
        if not isinstance(getattr(layer, "weight", None), nn.Parameter):
            found = "there is none" if layer is None else f"the weight of {layer} is not its own parameter"
            found += ", but a method on weights" if layer is not None and parametrize.is_parametrized(layer) else ""
            raise CannotEnter(
                f"Fixup reinitializes the layers of residual branches, but ahead of a site in a branch {found}; use skipinit, which "
                "changes no weight"
            )
        assert layer is not None
        weight: Tensor = layer.weight  # type: ignore[assignment]
        if branch.is_last:
            weight.zero_()
        else:
            weight.mul_(branch.num_branches ** (-1 / (2 * branch.num_layers - 2)))
        self.bias_ahead = nn.Parameter(torch.zeros(1, device=weight.device, dtype=weight.dtype))
        layer.register_forward_pre_hook(self._shift)

    def _shift(self, layer: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (inputs[0] + self.bias_ahead, *inputs[1:])

    def normalize(self, x: Tensor) -> Tensor:
        return x if self.multiplier is None else x * self.multiplier

    def extra_repr(self) -> str:
        return f"{self.num_features}" + ("" if self.multiplier is not None else ", hands its input on")
