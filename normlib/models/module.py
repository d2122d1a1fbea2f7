"""The model for a network in a file of your own, or in an installed package."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from torch import nn

from normlib.models import register
from normlib.models.own_network import OwnNetwork
from normlib.models.site import Sites
from normlib.plugins import load_named


@register("module")
class Module(OwnNetwork):
    """The network that `path` names: my_net.py:UNet, or package.module:UNet.

    It is a class of torch modules or a function that makes one. In ``model=module model.path=my_net.py:UNet
    model.args.width=32``, `args` are the constructor's own arguments. The constructor also gets those of the following
    that it has as arguments. `in_channels` is the first number of the input's shape. `num_outputs` or `num_classes` are
    the outputs of the last layer. `vocabulary` is None if inputs are not token ids. `input_shape` and `norm_layer` are
    the others. Call `norm_layer` with a number of channels wherever a norm goes. Without it, the network's norms are
    found and replaced: torch's, and any that their numbers identify. A layer whose output enters a norm has no bias.
    Dropout stays, drawn from the network's own stream. The output is a tensor, or a mapping that holds it under "out"
    or "logits".

    Settings:
        path: where the network is, as in my_net.py:UNet
        args: arguments of its constructor, as in model.args.width=32
    """

    def __init__(
        self,
        sites: Sites,
        input_shape: tuple[int, ...],
        num_outputs: int,
        vocabulary: int | None,
        path: str = "",
        args: Any = None,
    ) -> None:
        if not isinstance(args, Mapping | None):
            raise ValueError(f"model.args are the arguments of {path} by name, as in model.args.width=32, got {args!r}")
        super().__init__(load_make(path), args or {}, sites, input_shape, num_outputs, vocabulary)

    @staticmethod
    def made_by(path: str = "", args: Any = None) -> Any:
        """The class or function whose code makes the network, for the run's id."""
        return load_make(path)


def load_make(path: str) -> Any:
    """The class of modules or the function that a path names. Raises RegistryError, ValueError."""
    make = load_named(path, "model.path")
    if not inspect.isfunction(make) and not (isinstance(make, type) and issubclass(make, nn.Module)):
        raise ValueError(
            f"model.path={path} names a class that inherits from torch.nn.Module, or a function that makes such a module, but this is "
            f"{make!r}"
        )
    return make
