"""A network of your own: any torch module, or a function that makes one. It need not know normlib.

In: a class or a function. Out: a trunk with sites, or the class of such trunks, which can be registered. The network's
norms are found and replaced. Or it makes its sites itself, by calling the `norm_layer` that its constructor takes. This
file loads no file.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from normlib.models.architecture import Architecture
from normlib.models.site import Site, Sites
from normlib.naming import unknown_argument
from normlib.registry import is_settable

SUPPLIED = ("norm_layer", "input_shape", "in_channels", "num_outputs", "num_classes", "vocabulary")
"""What a constructor gets from normlib if it has an argument of that name. `num_outputs` and `num_classes` mean the same."""


class NormLayer:
    """What a network gets as `norm_layer`. Called with a number of channels, it makes a site.

    The channels are the first dimension behind the samples, or the last. An example that runs through the network shows
    which. If that is ambiguous, `channel_dim` says so. Without an example it is 1. Other arguments, such as eps, belong
    to the arm: they are left out, and `changes` says so.
    """

    def __init__(self, sites: Sites) -> None:
        self.sites = sites

    def __call__(self, num_features: int, *others: Any, channel_dim: int | None = None, **settings: Any) -> Site:
        site = self.sites(num_features, ahead=None, activation=False, channel_dim=channel_dim or 1)
        self.sites.made_by_network[site] = channel_dim
        passed_by = [*map(str, others), *(f"{name}={value}" for name, value in settings.items())]
        words = f"norm_layer was called with {', '.join(passed_by)}: that is the arm's to say"
        if passed_by and words not in self.sites.changes:
            self.sites.changes.append(words)
        return site


class OwnNetwork(Architecture):
    """The network that `make` gives for `settings` and what normlib passes, with sites for its norms. Raises
    ValueError."""

    def __init__(
        self,
        make: Callable[..., Any],
        settings: Mapping[str, Any],
        sites: Sites,
        input_shape: tuple[int, ...],
        num_outputs: int,
        vocabulary: int | None,
    ) -> None:
        name = make.__qualname__
        supplied = {
            "norm_layer": NormLayer(sites),
            "input_shape": tuple(input_shape),
            "num_outputs": num_outputs,
            "num_classes": num_outputs,
            "vocabulary": vocabulary,
        } | ({"in_channels": input_shape[0]} if input_shape and vocabulary is None else {})
        parameters = inspect.signature(make).parameters
        arguments = {key: value for key, value in supplied.items() if key in parameters} | dict(settings)
        _check_arguments(make, arguments)

        def build() -> nn.Module:
            network = make(**arguments)
            if not isinstance(network, nn.Module):
                raise TypeError(f"it made a {type(network).__name__}, which is no torch.nn.Module")
            return network

        example = torch.zeros(2, *input_shape, dtype=torch.float32 if vocabulary is None else torch.int64)
        fix = "give it other settings (model.args), or other data"
        super().__init__(build, sites, example, num_outputs, name, fix, measures=True)


def as_model(registered: Any) -> Any:
    """A model of normlib's kind, which takes `sites`, as it is. For any other module or function, the model around it."""

    make: Any = registered  # mypy takes a module class for a type without a hash
    if isinstance(registered, type) and issubclass(registered, nn.Module):
        parameters = inspect.signature(inspect.getattr_static(make, "__init__")).parameters
        return make if "sites" in parameters else own_model(make)
    return own_model(registered) if inspect.isfunction(registered) else registered


@functools.cache
def own_model(make: Any) -> type[OwnNetwork]:
    """The model around a class of modules or a function.

    Its plain arguments are the settings. The others keep their defaults.
    """
    constructor: Any = inspect.getattr_static(make, "__init__") if isinstance(make, type) else make
    hints: dict[str, Any] = {}
    with contextlib.suppress(NameError, TypeError):  # annotations may name what exists only for a type checker
        hints = typing.get_type_hints(constructor)
    parameters = list(inspect.signature(constructor).parameters.values())[isinstance(make, type) :]
    settings = []
    for each in parameters:
        hint = hints.get(each.name, Any if each.default in (None, each.empty) else type(each.default))
        settable = each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY) and is_settable(hint)
        if each.name not in SUPPLIED and (settable or each.default is each.empty) and each.kind != each.VAR_KEYWORD:
            settings.append(each.replace(kind=each.KEYWORD_ONLY, annotation=hint))

    def __init__(
        self: OwnNetwork,
        sites: Sites,
        input_shape: tuple[int, ...],
        num_outputs: int,
        vocabulary: int | None,
        **given: Any,
    ) -> None:
        OwnNetwork.__init__(self, make, given, sites, input_shape, num_outputs, vocabulary)

    shared = list(inspect.signature(__init__).parameters.values())[:-1]
    initializer: Any = __init__
    initializer.__signature__ = inspect.Signature([*shared, *settings])
    initializer.__annotations__ = {each.name: each.annotation for each in settings}
    members = {
        "__init__": initializer,
        "__doc__": make.__doc__ or "",
        "__module__": make.__module__,
        "__qualname__": make.__qualname__,
        "behind": make if isinstance(make, type) else staticmethod(make),
    }
    return type(make.__name__, (OwnNetwork,), members)


def _check_arguments(make: Callable[..., Any], given: Mapping[str, Any]) -> None:
    """Refuse arguments that a constructor does not have, and one that it needs and did not get. ValueError."""
    if unknown := unknown_argument(make, given, "model.args"):
        raise ValueError(unknown)
    name, parameters = make.__qualname__, inspect.signature(make).parameters
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    missing = [
        key
        for key, each in parameters.items()
        if each.default is each.empty and each.kind in named and key not in given
    ]
    if missing:
        raise ValueError(
            f"{name} needs {', '.join(missing)}; give model.args.{missing[0]}=..., or a default in its constructor. By itself "
            f"normlib passes {', '.join(SUPPLIED)}, where a constructor has such arguments"
        )
