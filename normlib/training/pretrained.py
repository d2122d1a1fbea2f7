"""The norms at a pretrained start: which keep the state in the weights, which are frozen, and which are fitted.

In: a network with its norms in place, the weights that it starts from, and inputs without targets. Only the norms
change. Says in words what was kept, what was not, and why. This file reads no file and fills no trunk.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from normlib.conversion.carry import Notes, carry_buffers, carry_parameters
from normlib.conversion.description import Description
from normlib.conversion.freeze import freeze_norms
from normlib.models.site import Site, Sites
from normlib.norms import norms
from normlib.norms.place import CannotEnter

DECIDES_NOTHING = ("momentum", "track_running_stats")
"""Settings that may differ between a norm and the one in the weights, since they do not change what it computes now."""
RUN_SETTINGS = ("gamma_noise", "frozen", "fit_on_batches", "weights")
SMALLEST_SPREAD = 1e-6
"""A channel whose standard deviation is below this share of its mean is dead, and its scale cannot be fitted."""
AGREES = 1e-3
"""How far the means and spreads of fitted outputs may be from the wanted ones, in spreads."""


def keep_norms(sites: Sites, named_sites: Mapping[str, Site], norm: Mapping[str, Any]) -> None:
    """Give parameters and statistics from the weights to the norms that mean the same there."""
    start = sites.start
    if start is None:
        return
    for name, site in named_sites.items():
        if start.norm is not None:
            _keep_weights_of_norm(start.state, start.norm, site, name, norm, start.kept_norms)
        elif site in sites.replaced:
            description = sites.replaced[site][1]
            differs = differing(description, norm)
            if not differs:
                start.kept_norms.append(name)
                if not next(iter(description.state.values())).is_meta:
                    carry_parameters(description, site.norms[0], True, Notes())
                    carry_buffers(description, site.norms[0], norm["name"], Notes())
            elif description.method == norm["name"]:
                words = f"the norms of the weights are not kept, because they differ: {', '.join(differs)}"
                if words not in sites.changes:
                    sites.changes.append(words)


def differing(description: Description, norm: Mapping[str, Any]) -> list[str]:
    """In words: how a norm of the weights differs from the arm's. Empty if they are the same."""
    if description.method != norm["name"]:
        return [f"{description.method or 'another method'}, not {norm['name']}"]
    if norm.get("weights") is not None:
        return [f"here with {norm['weights']}"]
    known: dict[str, Any] = {**description.settings, "eps": description.eps, "affine": description.affine}
    return [
        f"{name} is {known.get(name, setting.default)} there and {norm[name]} here"
        for name, setting in norms[norm["name"]].settings.items()
        if name not in DECIDES_NOTHING and name in norm and known.get(name, setting.default) != norm[name]
    ]


def _keep_weights_of_norm(
    state: Mapping[str, Tensor],
    wrote: Mapping[str, Any],
    site: Site,
    name: str,
    norm: Mapping[str, Any],
    kept: list[str],
) -> None:
    """Take them from weights that normlib saved, whose norm and settings are known."""
    one, other = ({k: v for k, v in section.items() if k not in RUN_SETTINGS} for section in (wrote, norm))
    values = {key: state.get(f"{name}.{key}") for key in site.state_dict()}
    if one == other and wrote.get("weights") == norm.get("weights") and None not in values.values():
        kept.append(name)
        if not any(parameter.is_meta for parameter in site.parameters()):
            site.load_state_dict(values)


def freeze(named_sites: Mapping[str, Site], norm: Mapping[str, Any], sites: Sites) -> None:
    """Freeze the running statistics, the scales and shifts, or both, as `norm.frozen` says.

    Raises CannotEnter if there is nothing to freeze.
    """
    frozen = norm.get("frozen")
    if frozen is None:
        return
    kept = set() if sites.start is None else set(sites.start.kept_norms)
    for name, site in named_sites.items():
        if frozen != "affine":
            if not all(each.has_running_statistics for each in site.norms):
                raise CannotEnter(
                    f"norm.frozen={frozen} freezes running statistics, but {norm['name']} keeps none; use norm.frozen=affine"
                )
            known = sites.start is None and sites.weights is not None  # a plan does not fetch weights
            if name not in kept and not known:
                raise CannotEnter(
                    f"norm.frozen={frozen} freezes running statistics that no data have moved yet; start from weights whose "
                    f"norms are {norm['name']} with the same settings (model.weights)"
                )
            freeze_norms(site.norms, affine=frozen == "all")
        else:
            for parameter in (*(p for each in site.norms for p in each.parameters()), site.shift):
                if parameter is not None:
                    parameter.requires_grad_(False)


@torch.no_grad()
def fit_norms(
    network: nn.Module,
    places: Mapping[Site, tuple[str, Description]],
    reference: nn.Module,
    inputs: Tensor,
) -> None:
    """Set scales and shifts so that each norm gives every channel the mean and spread of the norm in the weights.

    `inputs` (n, ...) have no targets. `reference` is the network with the norms of the weights. `places` says where
    each site's norm was in it, and what it was. Sites are fitted in one pass, each on what the fitted sites ahead of it
    give. Each uses the statistics that its norm takes in training; no running statistic moves. A scale keeps its old
    sign. Raises ValueError for a norm whose output does not follow its scale and shift.
    """
    wanted: dict[str, tuple[Tensor, Tensor]] = {}

    def recording_target(path: str, channel_dim: int) -> Any:
        return lambda module, inputs, y: wanted.setdefault(path, _mean_and_spread(y, channel_dim)) and None

    def fit(site: Site) -> Any:
        path, description = places[site]

        def match_target(norm: Any, inputs: tuple[Tensor, ...], y: Tensor) -> Tensor:
            if path not in wanted:  # it runs a second time, or the reference never ran this norm
                return y
            target = wanted.pop(path)
            sign = description.state["weight"].sign() if "weight" in description.state else torch.ones(())
            return _match_target(site, norm, inputs[0], y, target, sign.to(y.device))

        return match_target

    modules = list(reference.modules()) + list(network.modules())
    modes = [module.training for module in modules]
    pretrained: nn.Module = reference.network  # type: ignore[assignment]
    hooks = [
        pretrained.get_submodule(path).register_forward_hook(recording_target(path, site.channel_dim))
        for site, (path, _) in places.items()
    ]
    hooks += [site.norms[0].register_forward_hook(fit(site)) for site in places]
    moving = {norm: norm.update_running for site in places for norm in site.norms}
    reference.eval()
    network.eval()
    try:
        for norm in moving:
            norm.train()
            norm.update_running = False
        reference(inputs)
        network(inputs)
    finally:
        for hook in hooks:
            hook.remove()
        for norm, moves in moving.items():
            norm.update_running = moves
        for module, training in zip(modules, modes, strict=True):
            module.training = training


def _match_target(site: Site, norm: Any, x: Tensor, y: Tensor, target: tuple[Tensor, Tensor], sign: Tensor) -> Tensor:
    """Fit one norm that gave `y` for `x`. Returns what it gives now, before the site's own shift."""
    mean, spread = target
    measured_mean, measured_spread = _mean_and_spread(y, site.channel_dim)
    scale = norm.weight if norm.weight is not None and norm.weight.shape == measured_mean.shape else None
    alive = measured_spread > SMALLEST_SPREAD * measured_mean.abs()
    ratio = (
        torch.where(alive, sign * spread / measured_spread, 1.0)
        if scale is not None
        else torch.ones_like(measured_mean)
    )
    shift, by_site = (norm.bias, 0.0) if norm.bias is not None else (site.shift, site.shift)
    before = shift.clone()
    if scale is not None:
        scale.mul_(ratio.to(scale.dtype))
    shift.copy_(mean - ratio * (measured_mean - (before if norm.bias is not None else 0.0)))
    y = norm.forward(x)
    measured_mean, measured_spread = _mean_and_spread(y, site.channel_dim)
    off = (measured_mean + by_site - mean).abs() / spread.clamp(min=SMALLEST_SPREAD)
    if scale is not None:
        off = torch.maximum(off, (measured_spread - spread).abs().where(alive, 0.0) / spread.clamp(min=SMALLEST_SPREAD))
    if float(off.max()) > AGREES:
        raise ValueError(
            f"norm.fit_on_batches: the output of {type(norm).__name__} does not follow its scale and shift (off by "
            f"{float(off.max()):.2g} spreads), so they cannot be fitted; leave fit_on_batches at 0 for this arm"
        )
    return y


def _mean_and_spread(y: Tensor, channel_dim: int) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (C,) of each channel, in float64."""
    values = y.movedim(channel_dim, 0).flatten(1).double()
    return values.mean(1), values.std(1, correction=0)
