"""The networks of timm, PyTorch Image Models."""

from __future__ import annotations

from typing import Any

from torch import nn

from normlib.models import register
from normlib.models.architecture import Architecture, require_images, unknown_architecture
from normlib.models.site import Sites


@register("timm")
class Timm(Architecture):
    """The network `name` of timm, without its weights, a site in the place of each norm (needs ``normlib[timm]``).

    ``model=timm model.name=resnetv2_50``; timm.list_models() names them. Input (N, C, H, W), any number of channels, output
    (N, num_outputs). `image_size`: the side that images are resized to first, e.g. 224; null leaves them as they are.
    Networks of a fixed image size are built for the one they get.

    What differs from timm's: a layer whose output enters a norm has no bias. There is no dropout and no stochastic depth.
    Linear layers and convolutions are filled as everywhere here, with the gain of the activation module behind their norm;
    other parameters (class tokens, positions, scales of branches) start as timm starts them, from the seed. Norms start as
    everywhere here: a last scale of a branch that the authors start at zero does not. Where timm has norm and activation in
    one layer, the site has that activation, or has it behind it where sites have none of the kind; where a norm brings its own
    (EvoNorm, filter response norm), the site has `site.activation`, which means nothing elsewhere. Global response norm, which
    ConvNeXt V2 has beside its norms, stays.
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
            import timm
        except ImportError as error:
            raise ValueError(f"model=timm: timm does not import ({error}): pip install 'normlib[timm]'") from error
        sides = require_images("timm", input_shape, image_size)
        if not timm.is_model(name):
            raise ValueError(unknown_architecture("timm", name, timm.list_models()))
        config = timm.get_pretrained_cfg(name, allow_unregistered=False)
        settings: dict[str, Any] = {"img_size": sides} if config is not None and config.fixed_input_size else {}

        def make() -> nn.Module:
            network: nn.Module = timm.create_model(
                name, pretrained=False, num_classes=num_outputs, in_chans=input_shape[0], **settings
            )
            return network

        super().__init__(make, sites, input_shape, num_outputs, f"timm's {name}", image_size)
