"""Puts sites in place of a network's norms, and tells them about the layer ahead, its bias and the activation behind.

In: a network, its norms and the trace of one example. The network is changed in place. `sites.changes` says what was
changed. This file runs nothing and fills nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn

from normlib.conversion.carry import Notes
from normlib.conversion.description import Description
from normlib.conversion.find import FoundNorms, find
from normlib.conversion.references import beside_submodules
from normlib.conversion.swap import require_replaceable, swap
from normlib.models.site import GAINS, Site, Sites
from normlib.models.trace import LIKE_RELU, TRANSPOSED, Trace
from normlib.naming import listed

# It is called a norm, but is a part of the network: ConvNeXt V2 has it between two layers of its perceptrons.
PART_OF_THE_TRUNK = ("GlobalResponseNorm",)
STANDARDIZE_WEIGHTS = {"StdConv2d", "StdConv2dSame", "ScaledStdConv2d", "ScaledStdConv2dSame"}
SAME_ACTIVATION = {"ReLU": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh", "GELU": "gelu"}
MOST_LISTED = 3


def norms_of(network: nn.Module, measures: bool = False) -> FoundNorms:
    """The norms of a network. `measures`: norms of unknown classes are found by their numbers. Raises UnknownNorm."""
    stay = [m for m in network.modules() if isinstance(m, Site) or type(m).__name__ in PART_OF_THE_TRUNK]
    return find(network, None, {} if measures else None, stay)


def require_comparable(network: nn.Module, norms: FoundNorms, sites: Sites, name: str) -> None:
    """Refuse a network that cannot be compared. ValueError.

    Such a network has no norms, norms that no site can replace, or a method on weights in every arm.
    """
    if not norms.layers and not sites.sites:
        raise ValueError(
            f"{name} has no normalization layer, so there is nothing to compare in it; take another architecture, or give it norms: "
            "torch's, or what a constructor argument norm_layer makes of a number of channels"
        )
    on_weights = {type(module).__name__ for module in network.modules()} & STANDARDIZE_WEIGHTS
    if on_weights:
        raise ValueError(
            f"{name} standardizes its weights ({', '.join(sorted(on_weights))}), which would be a part of every arm; take another "
            "architecture, and norm.weights=weight_standardization for the method"
        )
    modules = {layer.module for layer in norms.layers} | set(sites.sites)
    hidden = [place for place, module in beside_submodules(network) if module in modules]
    if hidden:
        raise ValueError(
            f"{name} holds norms otherwise than as submodules ({listed(hidden, MOST_LISTED)}), where they cannot be replaced; use "
            "nn.ModuleList or nn.ModuleDict"
        )


def replace_norms(network: nn.Module, norms: FoundNorms, sites: Sites, found: Trace, name: str) -> None:
    """Put a site where each norm is. ValueError.

    Sites that the network has made by itself are told what surrounds them. The notes name what stays as it is in every
    arm, for example a norm function that a module calls. Without an example the trace is empty. Then no layer ahead and
    no activation behind is known, and biases stay.
    """
    paths = {module: path for path, module in network.named_modules()}
    dropped = [paths[layer] for layer in _drop_biases(found.ahead.values(), paths, sites)]
    if dropped:
        sites.changes.append(f"no bias in the layers ahead of norms: {listed(dropped, MOST_LISTED)}")
    for site in sites.made_by_network:
        _surround(site, sites, found, name)
    new = [_site(sites, layer.module, layer.description, found, layer.places[0][0]) for layer in norms.layers]
    require_replaceable(network, norms.layers, new, [])
    notes = [Notes() for _ in new]
    swap(network, norms.layers, new, notes)
    sites.changes += dict.fromkeys(words for note in notes for words in note.changed)
    sites.changes += [f"{path or 'the network'} stays, in every arm: {why}" for path, (_, why) in norms.others.items()]


def _site(sites: Sites, norm: nn.Module, description: Description, found: Trace, path: str) -> nn.Module:
    """What goes where a norm was: a site with the norm's own activation in it.

    If a site has no such activation, it goes behind the site.
    """
    layer = found.ahead.get(norm)
    own = description.activation
    activation: bool | str = description.own_activation or SAME_ACTIVATION.get(type(own).__name__, False)
    if getattr(own, "approximate", "none") != "none":
        activation = False
    # Methods on weights expect the outputs in the first dimension.
    ahead = None if isinstance(layer, TRANSPOSED) else layer
    apart = found.positions_apart(norm)
    if apart:
        _require_channels_last(description.channel_dim, path)
    site = sites(description.num_features, ahead, activation, description.channel_dim, positions_apart=apart)
    following = found.activation.get(norm, own)
    if layer is not None and type(following).__name__ in LIKE_RELU:
        sites.gains[layer] = GAINS["relu"]
    sites.replaced[site] = path, description
    then = [module for module in (description.drop, None if activation else own) if module is not None]
    return nn.Sequential(site, *then) if then else site


def _drop_biases(layers: Iterable[nn.Module], paths: Mapping[nn.Module, str], sites: Sites) -> list[nn.Module]:
    """Remove the bias of each layer ahead of a norm.

    It stays if it is among the weights to start from. Then it is the same in every arm.
    """
    dropped: list[nn.Module] = []
    layer: Any
    for layer in dict.fromkeys(layers):
        name = f"{paths[layer]}.bias"
        known = {*sites.stored, *(() if sites.start is None else sites.start.state)}
        held = not known.isdisjoint((name, f"network.{name}"))
        sites.biases_stay |= held
        if layer.bias is not None and not held:
            layer.bias = None
            dropped.append(layer)
    return dropped


def _surround(site: Site, sites: Sites, found: Trace, name: str) -> None:
    """Tell a site of the network's own where the channels are and which layer is ahead. ValueError."""
    shape = found.shapes.get(site)
    if shape is None:  # the example never reached it
        return
    shown = f"(N, {', '.join(map(str, shape[1:]))})"
    where = {dim for dim in (1, -1) if shape[dim] == site.num_features}
    if not where:
        raise ValueError(
            f"{name}: norm_layer was called with {site.num_features}, but what comes there has the shape {shown}; call it with the "
            "number of channels"
        )
    if sites.made_by_network[site] is None:
        if len(where) == 2 and len(shape) > 2:
            where = {
                dim
                for other, s in found.shapes.items()
                if isinstance(other, Site) and s[1] != s[-1]
                for dim in (1, -1)
                if s[dim] == other.num_features
            }
        if (len(where) == 2 and len(shape) > 2) or not where:
            raise ValueError(
                f"{name}: a norm of {site.num_features} channels sees the shape {shown}, of which two dimensions could be the channels; "
                "say which: norm_layer(channels, channel_dim=1), or -1 for the last"
            )
        site.channel_dim = max(where)
    site.positions_apart = found.positions_apart(site)
    if site.positions_apart:
        _require_channels_last(site.channel_dim, name)
    layer = found.ahead.get(site)
    sites.ahead[site] = None if isinstance(layer, TRANSPOSED) else layer
    if layer is not None and type(found.activation.get(site)).__name__ in LIKE_RELU:
        sites.gains[layer] = GAINS["relu"]


def _require_channels_last(channel_dim: int, where: str) -> None:
    """Refuse a norm over channels first if outputs may not see later tokens, which it would mix. ValueError."""
    if channel_dim != -1:
        raise ValueError(
            f"{where}: the network has an output for each token, which may not see later ones, so its norms take each token alone and "
            "see channels last, (N, T, C); transpose ahead of the norm"
        )
