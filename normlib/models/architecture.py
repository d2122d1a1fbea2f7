"""Makes a trunk of another library's network: sites take the place of its norms.

An example that runs through the network shows where they are. In: a function that makes a network. Out: the same
network, changed in place, with a site for each norm and no bias ahead of one. This file imports neither torchvision nor
timm, and draws no weights.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from normlib.conversion.description import UnknownNorm
from normlib.errors import NormlibError
from normlib.models.replacing import norms_of, replace_norms, require_comparable
from normlib.models.site import Sites
from normlib.models.start import DEFAULT, Start, read_start
from normlib.models.trace import trace

OUTPUTS_NAMED = ("out", "logits")
"""Keys of the loss's input in a mapping that a network returns: torchvision's for segmentation, and language models."""
REFUSALS = (RuntimeError, AssertionError, ValueError, TypeError, IndexError, KeyError, AttributeError)
"""Errors that a network raises for an input that it does not take."""


class Architecture(nn.Module):
    """The network that `make` builds, with a site in place of each norm.

    Sites that `make` was given and has placed stay. `example` is an input of two samples. `name` is the network's in
    messages. `fix` says what to do if it does not take the input. `image_size`: images are first resized to squares of
    this side (bilinear), and outputs with positions are resized back. None leaves them as they are. `default_weights`
    gives the weights for ``model.weights=DEFAULT``. `measures`: norms of unknown classes are found by their numbers, as
    `normlib.convert` does. Raises ValueError for a network without norms, for one that cannot take the input, and for
    weights that do not fit.
    """

    def __init__(
        self,
        make: Callable[[], nn.Module],
        sites: Sites,
        example: Tensor,
        num_outputs: int,
        name: str,
        fix: str,
        image_size: int | None = None,
        default_weights: Callable[[], Mapping[str, Tensor]] | None = None,
        measures: bool = False,
    ) -> None:
        super().__init__()
        sites.require_no_order(name)
        self.image_size = image_size
        try:
            with torch.device("cpu") if measures else torch.device(torch.get_default_device()):
                self.network = make()  # norms are found by their numbers, and the meta device has none
                norms = norms_of(self.network, measures)
            self.network.to(torch.get_default_device())
            places = {layer.module for layer in norms.layers} | set(sites.sites)
            found = trace(self, example.to(torch.get_default_device()), places, num_outputs)
        except (UnknownNorm, WrongOutputError):
            raise
        except REFUSALS as error:
            raise ValueError(
                f"{name} does not take inputs of shape {tuple(example.shape[1:])} with image_size={image_size} "
                f"({type(error).__name__}: {' '.join(str(error).split())[:200]}): {fix}"
            ) from error
        sites.classifier = found.last
        require_comparable(self.network, norms, sites, name)
        sites.start = _start(sites.weights, default_weights, name)
        if sites.start is not None and sites.start.norm is None:
            sites.start.fill(self.network, found.last)
            norms = norms_of(self.network, measures)  # with the numbers that they have now
            if sites.keeps_reference:
                sites.reference = copy.deepcopy(self)
        replace_norms(self.network, norms, sites, found, name)

    def forward(self, x: Tensor) -> Tensor:
        sides = x.shape[2:]
        if self.image_size is not None:
            x = F.interpolate(x, (self.image_size, self.image_size), mode="bilinear", align_corners=False)
        outputs = _tensor_in(self.network(x))
        if self.image_size is not None and outputs.dim() == 4:
            outputs = F.interpolate(outputs, sides, mode="bilinear", align_corners=False)
        return outputs


class WrongOutputError(NormlibError, ValueError):
    """A network does not return what a loss can read. The message says what it returned."""


def _tensor_in(outputs: Any) -> Tensor:
    """What a network returned, or the tensor in it if that is a mapping."""
    if isinstance(outputs, Mapping):
        outputs = next((outputs[name] for name in OUTPUTS_NAMED if name in outputs), outputs)
    if isinstance(outputs, Tensor):
        return outputs
    came = f"a {type(outputs).__name__}" + (
        f" of {', '.join(map(str, outputs))}" if isinstance(outputs, Mapping) else ""
    )
    raise WrongOutputError(
        f"a network returns a tensor, or a mapping that holds it under {' or '.join(OUTPUTS_NAMED)}, but this one returns {came}; "
        "return what the loss reads"
    )


def _start(weights: str | None, default_weights: Callable[[], Mapping[str, Tensor]] | None, name: str) -> Start | None:
    """The weights that a setting names. None if a plan, which only examines the network, would have to download them."""

    if weights is None:
        return None
    if weights != DEFAULT or default_weights is None:
        return read_start(weights, name)
    return None if torch.get_default_device().type == "meta" else Start(weights, default_weights())


def require_images(model: str, input_shape: tuple[int, ...], image_size: int | None) -> tuple[int, int]:
    """The height and width of what the network will see. Raises ValueError for inputs that are not images."""
    if len(input_shape) != 3:
        raise ValueError(
            f"{model}: needs images (C, H, W), but the data's input is {tuple(input_shape)}; use model=mlp or other data"
        )
    if image_size is not None and image_size < 1:
        raise ValueError(
            f"{model}: image_size is at least 1 pixel, or null to leave images as they are, got {image_size}"
        )
    return (input_shape[1], input_shape[2]) if image_size is None else (image_size, image_size)
