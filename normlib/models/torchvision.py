"""The classification and segmentation networks of torchvision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from normlib.models import register
from normlib.models.architecture import Architecture, require_images
from normlib.models.site import Sites
from normlib.naming import unknown_name

TAKES_IMAGE_SIZE = {"vision_transformer": "image_size", "maxvit": "input_size"}  # by the module of torchvision.models
AUXILIARY = {
    "googlenet": {"aux_logits": False, "init_weights": False},
    "inception_v3": {"aux_logits": False, "init_weights": False},
    "fcn_resnet50": {"aux_loss": False},
    "fcn_resnet101": {"aux_loss": False},
    "deeplabv3_resnet50": {"aux_loss": False},
    "deeplabv3_resnet101": {"aux_loss": False},
    "deeplabv3_mobilenet_v3_large": {"aux_loss": False},
}
"""Networks with further outputs for training only, and the settings that switch these off."""


@register("torchvision")
class Torchvision(Architecture):
    """The network `name` of torchvision, a site in the place of each norm (needs ``normlib[vision]``).

    ``model=torchvision model.name=resnet18``, or for segmentation fcn_resnet50, deeplabv3_resnet50 and similar ones.
    torchvision.models.list_models() lists the names. Input (N, C, H, W), output (N, num_outputs), with positions (H, W)
    behind for segmentation. `image_size`: the side that images are resized to first, e.g. 224. null leaves them as they
    are. ``model.weights=DEFAULT`` starts from torchvision's weights of that name, which it downloads.

    What differs from torchvision's: if images do not have 3 channels, the first convolution has as many inputs as they
    have. A layer whose output enters a norm has no bias, unless it starts from weights. There is no auxiliary
    classifier. Dropout and stochastic depth are torchvision's, drawn from the network's own stream. Linear layers and
    convolutions are filled as everywhere here, with the gain of the activation module behind their norm. All other
    parameters (class tokens, positions, scales of branches) start as torchvision starts them, from the seed. Norms
    start as everywhere here. A last scale of a branch that the authors start at zero does not. Sites hold the norm
    alone. Activations stay where the architecture has them, so `site.activation` means nothing here.

    Settings:
        name: a network of torchvision, as torchvision.models.list_models() names it
        image_size: side that images are resized to first; null leaves them
    """

    def __init__(
        self,
        sites: Sites,
        input_shape: tuple[int, ...],
        num_outputs: int,
        name: str = "resnet18",
        image_size: int | None = None,
    ) -> None:
        try:
            from torchvision import models
        except ImportError as error:
            raise ValueError(
                f"model=torchvision: torchvision does not import ({error}): pip install 'normlib[vision]'"
            ) from error
        sides = require_images("torchvision", input_shape, image_size)
        known = models.list_models(module=models) + models.list_models(module=models.segmentation)
        if name not in known:
            raise ValueError(f"model=torchvision: {unknown_name('model of torchvision', name, known)}")
        settings: dict[str, Any] = dict(AUXILIARY.get(name, {}))
        if settings:
            sites.changes.append("the auxiliary classifiers are off")
        if name in models.list_models(module=models.segmentation):
            settings["weights_backbone"] = None
        takes_size = TAKES_IMAGE_SIZE.get(models.get_model_builder(name).__module__.rpartition(".")[2])
        if takes_size == "image_size":
            settings[takes_size] = sides[0]
        elif takes_size is not None:
            settings[takes_size] = sides

        def make() -> nn.Module:
            network: nn.Module = models.get_model(name, weights=None, num_classes=num_outputs, **settings)
            _take_channels(network, input_shape[0], sites)
            return network

        def default_weights() -> Mapping[str, Tensor]:
            state: Mapping[str, Tensor] = models.get_model_weights(name).DEFAULT.get_state_dict(progress=False)
            return state

        super().__init__(
            make,
            sites,
            torch.zeros(2, *input_shape),
            num_outputs,
            f"torchvision's {name}",
            "set model.image_size, e.g. to 224",
            image_size,
            default_weights,
        )

    @staticmethod
    def default_weights_version(name: str = "resnet18", **settings: Any) -> str:
        """Which weights DEFAULT stands for in the installed torchvision. Downloads nothing."""
        from torchvision import models

        return str(models.get_model_weights(name).DEFAULT.url)


def _take_channels(network: nn.Module, channels: int, sites: Sites) -> None:
    """Let the first convolution take images of this number of channels; torchvision's take 3."""
    place, first = next((place, m) for place, m in network.named_modules() if isinstance(m, nn.Conv2d))
    if first.in_channels == channels:
        return
    parent, _, name = place.rpartition(".")
    like: Any = (first.kernel_size, first.stride, first.padding, first.dilation, 1, first.bias is not None)
    layer = nn.Conv2d(channels, first.out_channels, *like)
    setattr(network.get_submodule(parent), name, layer)
    sites.changes.append(f"{place} takes {channels} channels, not {first.in_channels}")
