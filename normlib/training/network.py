"""A trunk filled from the seed, with norms in its sites: identical networks by construction."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from normlib.conversion.description import Description
from normlib.errors import NormlibError
from normlib.models import constructor_settings, models, registered_name
from normlib.models.site import Site, Sites
from normlib.models.start import Start, read_start
from normlib.norms import norms
from normlib.training.inputs import NetworkShape
from normlib.training.installation import install_norms
from normlib.training.seeding import NetworkStream, generator, global_stream
from normlib.training.trunk import examine_trunk, fill_trunk, hash_state, hash_tensor

SMALL_CONVOLUTION = 1_000_000  # multiplications


class IdenticalTrunkError(NormlibError, ValueError):
    """A model cannot be the same for every norm. The message says which rule it breaks."""


@dataclass(frozen=True)
class Network:
    """A network with its norms in place, and the names of the norms' parameters. All other parameters are trunk.

    `trunk`: the trunk's parameters by their names in the plain trunk, even if something wraps them now. `trunk_hash`:
    of the plain trunk, before any norm. `reinitialized`: names of trunk parameters that the norm has reinitialized, as
    it declares. `largest_convolution`: multiplications for one sample. `draws`: the global generators that the trunk
    draws from in its forward pass, for example for dropout. `changes`: in words, what the model has changed in a
    network of another library. `start`: the pretrained weights that the trunk comes from. `reference`: the network with
    the norms of those weights. `replaced`: which of these norms stood at each site.
    """

    module: nn.Module
    sites: Mapping[str, Site]
    trunk: Mapping[str, nn.Parameter]
    norm_parameter_names: frozenset[str]
    trunk_hash: str
    reinitialized: tuple[str, ...]
    state_size: int
    largest_convolution: int
    draws: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    start: Start | None = None
    reference: nn.Module | None = None
    replaced: Mapping[Site, tuple[str, Description]] = field(default_factory=dict)

    def prefers_onednn(self, batch_size: int) -> bool:
        """Whether the convolutions are faster through oneDNN than through torch's own kernels, judged by their size.

        A oneDNN call has a setup cost. If the largest convolution takes less than a million multiplications a batch,
        torch's own kernels need a third to all of oneDNN's time. Above that they are slower. Measured forward and
        backward on one core, at batches of 2 to 16 with 1 to 128 channels. The norm plays no part.
        """
        return not 0 < self.largest_convolution * batch_size < SMALL_CONVOLUTION

    def open_streams(self, seed: int, device: torch.device) -> None:
        """Give each site's dropout its own generator on the run's device, and the trunk's dropout the network's stream."""
        for name, site in self.sites.items():
            if site.dropout:
                site.dropout_stream = generator(seed, "dropout", name, device=device)
        if self.draws:
            NetworkStream(seed, device, self.draws).attach(self.module, self.sites.values())

    def count_parameters(self) -> dict[str, int]:
        """Numbers of parameters in the trunk and in the norms. The sites' shifts count as norm."""
        counts = {"trunk": 0, "norm": 0}
        for name, parameter in self.module.named_parameters():
            counts["norm" if name in self.norm_parameter_names else "trunk"] += parameter.numel()
        return counts


def build_trunk(spec: Mapping[str, Any], shape: NetworkShape, stored: Collection[str] = ()) -> tuple[nn.Module, Sites]:
    """The network with empty sites. Each parameter is filled by a generator seeded from (seed, its name).

    `stored`: the names in a stored state of the same network. They say which biases ahead of sites it has. Raises
    ValueError if the model refuses its settings or the input shape.
    """
    site = spec["site"]
    sites = Sites(site["activation"], site["placement"], site["dropout"], spec["model"].get("weights"))
    sites.stored = stored
    sites.keeps_reference = bool(spec["norm"].get("fit_on_batches"))
    name = registered_name(spec["model"])
    with global_stream(spec["seed"], "construction"):
        trunk = models[name].cls(
            sites=sites, **_supplied(models[name].cls, shape), **constructor_settings(spec["model"])
        )
    registered = {id(module) for module in trunk.modules()}
    if any(id(site) not in registered for site in sites.sites):
        raise IdenticalTrunkError(
            f"model {name!r} made a site that is not part of the network: keep every site as an attribute"
        )
    if sites.weights is not None and not hasattr(models[name].cls, "default_weights_version"):
        sites.start = sites.start or read_start(sites.weights, name)
    # A network of another library is already filled, with its own norms in place.
    if sites.start is not None and not sites.start.loaded:
        sites.start.fill(trunk, sites.classifier)
    return trunk, sites


def build_network(
    spec: Mapping[str, Any], shape: NetworkShape, total_steps: int, stored: Collection[str] = ()
) -> Network:
    """Trunk and norms for one run, on the CPU (or on the meta device inside ``torch.device("meta")``).

    `stored` is as in `build_trunk`. Raises ValueError for settings that the model or the norm refuses.
    """
    trunk, sites = build_trunk(spec, shape, stored)
    trunk_hash, largest_convolution = "", 0
    draws: tuple[str, ...] = ()
    if next(iter(trunk.parameters())).device.type != "meta":
        fill_trunk(trunk, sites, spec["init"], spec["seed"])
        largest_convolution, draws = examine_trunk(trunk, shape.example(2), spec["seed"])
        trunk_hash = hash_state(trunk)
    return move_in(trunk, sites, spec, total_steps, trunk_hash, largest_convolution, draws)


def move_in(
    trunk: nn.Module,
    sites: Sites,
    spec: Mapping[str, Any],
    total_steps: int,
    trunk_hash: str,
    largest_convolution: int = 0,
    draws: tuple[str, ...] = (),
) -> Network:
    """Turn a filled trunk with empty sites into a network: the norms of the spec move into the sites.

    Raises CannotEnter if the norm has no place, and IdenticalTrunkError if it changes the trunk without declaring that.
    """
    parameters = dict(trunk.named_parameters())
    before = {name: hash_tensor(value) for name, value in parameters.items()}
    buffers = {id(buffer) for buffer in trunk.buffers()}
    named_sites = install_norms(trunk, sites, spec, total_steps)
    of_trunk = {id(parameter) for parameter in parameters.values()}
    all_parameters = dict(trunk.named_parameters(remove_duplicate=False))
    norm_state = {
        id(value): value.numel()
        for key, value in trunk.state_dict(keep_vars=True).items()
        if key not in all_parameters and id(value) not in buffers
    }
    return Network(
        module=trunk,
        sites=named_sites,
        trunk=parameters,
        norm_parameter_names=frozenset(n for n, p in trunk.named_parameters() if id(p) not in of_trunk),
        trunk_hash=trunk_hash,
        reinitialized=_reinitialized(spec["norm"]["name"], trunk, parameters, before),
        state_size=sum(norm_state.values()),
        largest_convolution=largest_convolution,
        draws=draws,
        changes=tuple(sites.changes),
        start=sites.start,
        reference=sites.reference,
        replaced=sites.replaced,
    )


def _supplied(cls: type, shape: NetworkShape) -> dict[str, Any]:
    """What normlib passes to a model: the arguments that its constructor has.

    Raises ValueError if the inputs are token ids and the model takes none.
    """
    known = inspect.signature(cls).parameters
    if shape.vocabulary is not None and "vocabulary" not in known:
        raise ValueError(
            f"{cls.__name__} takes numbers (its constructor has no argument vocabulary), but the data's inputs are token ids; "
            "use model=gpt, model=rnn, or a model that embeds the tokens"
        )
    return {name: value for name, value in vars(shape).items() if name in known}


def _reinitialized(
    norm: str, network: nn.Module, trunk: Mapping[str, nn.Parameter], before: Mapping[str, str]
) -> tuple[str, ...]:
    """The trunk's parameters that the norm has changed. Raises IdenticalTrunkError if it does not declare that."""
    still_there = {id(parameter) for parameter in network.parameters()}
    lost = [name for name, parameter in trunk.items() if id(parameter) not in still_there]
    if lost:
        raise IdenticalTrunkError(
            f"norm {norm!r} has replaced the trunk's {', '.join(lost)}: a method on weights must keep the layer's own "
            "parameter as the original of its parametrization (torch.nn.utils.parametrize)"
        )
    changed = tuple(name for name, parameter in trunk.items() if hash_tensor(parameter) != before[name])
    if changed and "reinitializes" not in norms[norm].metadata:
        raise IdenticalTrunkError(
            f"norm {norm!r} has changed the trunk's {', '.join(changed)}, but does not declare that: name the parameters that "
            "it reinitializes with register(..., reinitializes=...), and tables will say so"
        )
    return changed
