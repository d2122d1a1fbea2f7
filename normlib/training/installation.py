"""Puts a norm into every site of a filled trunk, as the run's settings say.

In: a trunk with empty sites and a spec. This file fills and reads no trunk parameter. A norm that acts on the layer
ahead of it does so itself, when it enters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from normlib.models.site import Site, Sites
from normlib.norms import factory, norms
from normlib.norms.place import BranchPosition, CannotEnter, Place
from normlib.norms.plain import PlainNorm
from normlib.training.pretrained import freeze, keep_norms
from normlib.training.seeding import generator, global_stream
from normlib.training.settings import NormSettings

COMMON_NORM_SETTINGS = ("name", *NormSettings.__dataclass_fields__)


def install_norms(trunk: nn.Module, sites: Sites, spec: Mapping[str, Any], total_steps: int) -> dict[str, Site]:
    """Put a norm into every site, and set its batch sizes and its noise. Returns the sites by name.

    Raises CannotEnter if the norm has no place in the network.
    """
    named_sites = {name: module for name, module in trunk.named_modules() if isinstance(module, Site)}
    with global_stream(spec["seed"], "norm"):
        _move_in(sites, {site: name for name, site in named_sites.items()}, spec["norm"], spec["site"]["placement"])
    keep_norms(sites, named_sites, spec["norm"])
    _require_reference(sites, spec["norm"])
    for name, site in named_sites.items():
        for norm in site.norms:
            _require_statistics(norm, spec["evaluation"]["statistics"])
            if site.positions_apart:
                _require_no_later_positions(norm, spec["evaluation"]["statistics"])
            _apply_batch_sizes(norm, spec, max(1, site.positions_apart), total_steps)
        if spec["norm"]["gamma_noise"]:
            parameter = scale_or_shift(site.norm, site.shift)
            assert parameter is not None, "a site gives a shift to a norm that has none"
            add_noise(parameter, spec["norm"]["gamma_noise"], generator(spec["seed"], "gamma_noise", name))
    freeze(named_sites, spec["norm"], sites)
    return named_sites


def norm_factory(settings: Mapping[str, Any]) -> Callable[..., Any]:
    """A factory for the norms of a spec's norm section, with its settings."""
    return factory(settings["name"], **{k: v for k, v in settings.items() if k not in COMMON_NORM_SETTINGS})


def _move_in(sites: Sites, names: Mapping[Site, str], settings: Mapping[str, Any], placement: str) -> None:
    """Build a norm for every site and let it act on its surroundings. Raises CannotEnter if it has no place."""
    make_norm = norm_factory(settings)
    make_weights = None if settings["weights"] is None else factory(settings["weights"])
    slot = norms[settings["name"]].cls.slot  # type: ignore[attr-defined]
    if slot == "branch" and not sites.branches:
        raise CannotEnter(
            f"{settings['name']} works on residual branches, but this network declares none; use model=resnet, or let the model "
            "make the sites of each branch inside sites.branch()"
        )
    whole_site = slot == "site"
    if whole_site and placement != "before":
        raise CannotEnter(
            f"{settings['name']} brings its own activation and takes the whole site, so it cannot stand behind the network's "
            f"activation (site.placement={placement}); use site.placement=before"
        )
    if whole_site and not any(site.activation_name for site in sites.sites):
        raise CannotEnter(
            f"{settings['name']} is a norm and its activation in one, but no site of this network has an activation; "
            "use a norm without one"
        )
    branch = {
        site: BranchPosition(index, len(members), len(sites.branches))
        for members in sites.branches
        for index, site in enumerate(members)
    }
    for index, site in enumerate(sites.sites):
        supplied: dict[str, Any] = {} if site.channel_dim == 1 else {"channel_dim": site.channel_dim}
        if whole_site:
            supplied["activate"] = site.activation_name is not None
        norm = make_norm(site.num_features, **supplied)
        place = Place(
            sites.ahead[site], site.activation_name, branch.get(site), sites.classifier,
            index, len(sites.sites), names[site],
        )  # fmt: skip
        if make_weights is not None:
            make_weights(site.num_features).enter(place)
        norm.enter(place)
        site.install(norm)


def _require_reference(sites: Sites, settings: Mapping[str, Any]) -> None:
    """Raises CannotEnter if scales are to be fitted to the norms of pretrained weights, and there are none."""
    unknown = sites.weights is None or (sites.start is not None and sites.start.norm is not None) or not sites.replaced
    if settings.get("fit_on_batches") and unknown:
        raise CannotEnter(
            "norm.fit_on_batches fits scales and shifts to what the norms of pretrained weights gave. It needs a network of another library "
            "with such weights (model.weights=DEFAULT, or a file of its weights)"
        )


def _require_statistics(norm: Any, statistics: str) -> None:
    """Raises CannotEnter if normlib can neither recompute nor replace the statistics that the norm keeps."""
    if statistics != "running" and isinstance(norm, PlainNorm) and norm.has_running_statistics:
        raise CannotEnter(
            f"{type(norm).__name__} is a plain module. normlib does not know what its {', '.join(norm.traits.moving)} "
            f"averages, so evaluation.statistics={statistics} is not possible: use evaluation.statistics=running, or derive the norm from "
            "normlib.RunningNorm, which says what it measures"
        )


def _require_no_later_positions(norm: Any, statistics: str) -> None:
    """Raises CannotEnter if batch statistics in evaluation would show later positions to a causal network."""
    if norm.depends_on_batch and (statistics == "batch" or not norm.has_running_statistics):
        raise CannotEnter(
            f"{type(norm).__name__} would normalize with the statistics of the evaluation batch, which include later positions "
            f"(evaluation.statistics={statistics}). An output of this network must not see them; use running statistics, or a norm "
            "that does not depend on the batch"
        )


def _apply_batch_sizes(norm: Any, spec: Mapping[str, Any], norm_samples: int, total_steps: int) -> None:
    """Set the batch of the statistics and the horizon of the running averages, which are settings of the site.

    `norm_samples`: how many samples the norm sees for each sample of the data.
    """
    size = spec["site"]["norm_batch_size"]
    norm.norm_batch_size = None if size is None else size * norm_samples
    horizon = spec["site"]["horizon"]
    plain_and_running = isinstance(norm, PlainNorm) and norm.has_running_statistics
    if horizon is not None and (plain_and_running or getattr(norm, "momentum", None) is not None):
        try:
            norm.momentum = min(1.0, spec["data"]["batch_size"] / horizon)
        except ValueError as error:
            raise CannotEnter(f"site.horizon={horizon}: {error}") from error
    norm.set_total_steps(total_steps)


def scale_or_shift(norm: Any, shift: nn.Parameter | None = None) -> nn.Parameter | None:
    """The parameter that noise is added to: a norm's scales, else its shifts, else the site's `shift`."""
    return next((p for p in (norm.weight, norm.bias, shift) if p is not None), None)


def add_noise(parameter: nn.Parameter, size: float, source: torch.Generator) -> None:
    """Add `size` times standard normal noise to a parameter."""
    noise = torch.randn(parameter.shape, generator=source, device="cpu")
    with torch.no_grad():
        parameter.add_(noise.to(parameter), alpha=size)
