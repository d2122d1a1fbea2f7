"""The networks of timm, PyTorch Image Models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from normlib.models import register
from normlib.models.architecture import Architecture, require_images
from normlib.models.site import Sites
from normlib.naming import unknown_name


@register("timm")
class Timm(Architecture):
    """The network `name` of timm, a site in the place of each norm (needs ``normlib[timm]``).

    ``model=timm model.name=resnetv2_50``; timm.list_models() lists the names. Input (N, C, H, W), any number of
    channels, output (N, num_outputs). `image_size`: the side that images are resized to first, e.g. 224. null leaves
    them as they are. Networks with a fixed image size are built for the one they get. ``model.weights=DEFAULT`` starts
    from timm's weights, which it downloads.

    What differs from timm's: a layer whose output enters a norm has no bias, unless it starts from weights. Dropout and
    stochastic depth are timm's own, drawn from the network's stream. They are off by default in timm. Linear layers and
    convolutions are filled as everywhere here, with the gain of the activation module behind their norm. Other
    parameters (class tokens, positions, scales of branches) start as timm starts them, from the seed. Norms start as
    everywhere here. A last scale of a branch that the authors start at zero does not. If timm has norm and activation
    in one layer, the site has that activation, or has it behind it if sites have none of the kind. With a norm that has
    its own activation (EvoNorm, filter response norm), the site has `site.activation`. That setting means nothing
    elsewhere. Global response norm, which ConvNeXt V2 has beside its norms, stays.

    Settings:
        name: a network of timm, as timm.list_models() names it
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
            import timm
        except ImportError as error:
            raise ValueError(f"model=timm: timm does not import ({error}): pip install 'normlib[timm]'") from error
        sides = require_images("timm", input_shape, image_size)
        if not timm.is_model(name):
            raise ValueError(f"model=timm: {unknown_name('model of timm', name, timm.list_models())}")
        config = timm.get_pretrained_cfg(name, allow_unregistered=False)
        settings: dict[str, Any] = {"img_size": sides} if config is not None and config.fixed_input_size else {}

        def make() -> nn.Module:
            network: nn.Module = timm.create_model(
                name, pretrained=False, num_classes=num_outputs, in_chans=input_shape[0], **settings
            )
            return network

        def default_weights() -> Mapping[str, Tensor]:
            state: Mapping[str, Tensor] = timm.create_model(
                name, pretrained=True, in_chans=input_shape[0], **settings
            ).state_dict()
            return state

        super().__init__(
            make,
            sites,
            torch.zeros(2, *input_shape),
            num_outputs,
            f"timm's {name}",
            "set model.image_size, e.g. to 224",
            image_size,
            default_weights,
        )

    @staticmethod
    def default_weights_version(name: str = "resnet18", **settings: Any) -> str:
        """Which weights DEFAULT stands for in the installed timm. Downloads nothing.

        Raises ValueError if there are none.
        """
        import timm

        config = timm.get_pretrained_cfg(name)
        if config is None or not config.has_weights:
            raise ValueError(f"timm has no weights for {name}, so model.weights=DEFAULT names none; name a file")
        return f"{config.architecture}.{config.tag} {config.url or config.hf_hub_id}"
