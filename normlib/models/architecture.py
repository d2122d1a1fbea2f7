"""An architecture of another library as a trunk: sites in the place of its norms, found by running an example through it.

In comes a network with random weights, out goes the same network, changed in place: a site for each norm, no bias ahead of
one, no dropout. This file imports neither torchvision nor timm, and fills no weights.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from normlib.conversion.describe import describe
from normlib.conversion.description import Description, UnknownNorm
from normlib.models.site import GAINS, Sites

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
# Called a norm, but a part of the network beside its norms: ConvNeXt V2 has it between two layers of its perceptrons.
PART_OF_THE_TRUNK = ("GlobalResponseNorm",)
STANDARDIZE_WEIGHTS = {"StdConv2d", "StdConv2dSame", "ScaledStdConv2d", "ScaledStdConv2dSame"}
SAME_ACTIVATION = {"ReLU": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh", "GELU": "gelu"}
# Half of their input goes to (almost) zero, so that the layer ahead starts with the gain of relu.
LIKE_RELU = ("ReLU", "ReLU6", "LeakyReLU", "GELU", "GELUTanh", "SiLU", "Swish", "Hardswish", "HardSwish", "Mish")


class Architecture(nn.Module):
    """What `make` builds, on images that are first resized to squares of side `image_size` (bilinear); None leaves them as they are.

    `name` is the network's in messages. Raises ValueError for a network without norms, and for one that cannot take the images.
    """

    def __init__(
        self,
        make: Callable[[], nn.Module],
        sites: Sites,
        input_shape: tuple[int, ...],
        num_outputs: int,
        name: str,
        image_size: int | None,
    ) -> None:
        super().__init__()
        sites.require_no_order(name)
        self.image_size = image_size
        try:
            self.network = make()
            _switch_off_dropout(self.network)
            trace = _Trace(self.network, num_outputs)
            trace.run(self, torch.zeros(2, *input_shape))
        except (RuntimeError, AssertionError, ValueError, TypeError, IndexError) as error:
            raise ValueError(
                f"{name} does not take images of shape {tuple(input_shape)} with image_size={image_size} "
                f"({type(error).__name__}: {' '.join(str(error).split())[:200]}): set model.image_size, e.g. to 224"
            ) from error
        sites.classifier = trace.classifier
        _replace_norms(self.network, sites, trace, name)

    def forward(self, x: Tensor) -> Tensor:
        if self.image_size is not None:
            x = F.interpolate(x, (self.image_size, self.image_size), mode="bilinear", align_corners=False)
        logits: Tensor = self.network(x)
        return logits


def require_images(model: str, input_shape: tuple[int, ...], image_size: int | None) -> tuple[int, int]:
    """The height and width of what the network will see. Raises ValueError for inputs that are no images."""
    if len(input_shape) != 3:
        raise ValueError(
            f"{model}: needs images (C, H, W), but the data's input is {tuple(input_shape)}; use model=mlp or other data"
        )
    if image_size is not None and image_size < 1:
        raise ValueError(
            f"{model}: image_size is at least 1 pixel, or null to leave images as they are, got {image_size}"
        )
    return (input_shape[1], input_shape[2]) if image_size is None else (image_size, image_size)


def unknown_architecture(library: str, name: str, known: Collection[str]) -> str:
    """The message for a name that the library does not have, with the closest ones that it has."""
    close = difflib.get_close_matches(name, known, n=5, cutoff=0.4)
    return f"{library} has no model named {name!r}; " + (
        f"did you mean {', '.join(close)}?" if close else f"it has {len(known)} others, e.g. resnet18"
    )


@dataclass
class _Trace:
    """What one example tells of a network: the layer whose very output enters a norm, what follows a norm, the classifier.

    A tensor is known again by its memory and by how often that was written to: views of an output are still that output,
    and what an activation wrote over it is not.
    """

    network: nn.Module
    num_outputs: int
    ahead: dict[nn.Module, nn.Module] = field(default_factory=dict)
    activation: dict[nn.Module, nn.Module] = field(default_factory=dict)
    classifier: nn.Module | None = None

    def run(self, model: nn.Module, example: Tensor) -> None:
        made_by: dict[tuple[int, int, int], nn.Module] = {}
        kept: list[Tensor] = []  # so that no two outputs share their memory

        def enters(module: nn.Module, inputs: Any) -> None:
            source = made_by.get(_identity(inputs[0])) if inputs and isinstance(inputs[0], Tensor) else None
            if isinstance(source, LAYERS):
                self.ahead.setdefault(module, source)
            elif source is not None and type(module).__name__ in LIKE_RELU:
                self.activation.setdefault(source, module)

        def leaves(module: nn.Module, _: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                made_by[_identity(output)] = module
                kept.append(output)
            if isinstance(module, LAYERS) and module.weight.shape[0] == self.num_outputs:
                self.classifier = module

        norms = {module for _, _, _, module, _ in norms_of(self.network)}
        hooks: list[Any] = []
        for module in self.network.modules():
            if module in norms or not list(module.children()):
                hooks.append(module.register_forward_pre_hook(enters))
            if module in norms or isinstance(module, LAYERS):
                hooks.append(module.register_forward_hook(leaves))
        with torch.no_grad():
            model(example)
        for hook in hooks:
            hook.remove()


def norms_of(network: nn.Module) -> Iterator[tuple[str, nn.Module, str, nn.Module, Description]]:
    """Each norm at each of its places: path, the module around it, its name there, the norm itself and what it is."""
    for path, parent in network.named_modules(remove_duplicate=False):
        for name, module in parent.named_children():
            if type(module).__name__ not in PART_OF_THE_TRUNK:
                try:
                    description = describe(module)
                except UnknownNorm as error:
                    raise ValueError(f"{path}.{name} {error}, so that it cannot be replaced by another norm") from error
                if description is not None:
                    yield f"{path}.{name}", parent, name, module, description


def _replace_norms(network: nn.Module, sites: Sites, trace: _Trace, name: str) -> None:
    found = list(norms_of(network))
    if not found:
        raise ValueError(
            f"{name} has no normalization layer, so there is nothing to compare in it; take another architecture"
        )
    on_weights = {type(module).__name__ for module in network.modules()} & STANDARDIZE_WEIGHTS
    if on_weights:
        raise ValueError(
            f"{name} standardizes its weights ({', '.join(sorted(on_weights))}), which would be a part of every arm; take another "
            "architecture, and norm.weights=weight_standardization for the method"
        )
    made: dict[nn.Module, nn.Module] = {}
    for _, parent, place, norm, description in found:
        if norm not in made:
            made[norm] = _site(sites, norm, description, trace)
        setattr(parent, place, made[norm])


def _site(sites: Sites, norm: nn.Module, description: Description, trace: _Trace) -> nn.Module:
    """What goes where a norm was: a site, with the norm's own activation in it, or behind it where a site has no such one."""
    layer: Any = trace.ahead.get(norm)
    if layer is not None:
        layer.bias = None
    own = description.activation
    activation: bool | str = description.own_activation or SAME_ACTIVATION.get(type(own).__name__, False)
    if getattr(own, "approximate", "none") != "none":
        activation = False
    site = sites(description.num_features, layer, activation, description.channel_dim)
    following = trace.activation.get(norm, own)
    if layer is not None and type(following).__name__ in LIKE_RELU:
        sites.gains[layer] = GAINS["relu"]
    then = [module for module in (description.drop, None if activation else own) if module is not None]
    return nn.Sequential(site, *then) if then else site


def _identity(x: Tensor) -> tuple[int, int, int]:
    return x.untyped_storage()._cdata, x._version, x.numel()


def _switch_off_dropout(network: nn.Module) -> None:
    """Dropout and stochastic depth draw from torch's global random state, which a norm could shift."""
    module: Any
    for module in network.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd) or type(module).__name__ == "StochasticDepth":
            module.p = 0.0
        elif isinstance(getattr(module, "drop_rate", None), float):
            module.drop_rate = 0.0  # timm's own call of F.dropout
        elif type(module).__name__ == "DropPath":
            module.drop_prob = 0.0
        elif isinstance(module, nn.MultiheadAttention):
            module.dropout = 0.0
