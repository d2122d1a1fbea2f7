"""Builds a user's LightningModule under the seed with empty sites, and lets the arm's norms move in.

In: a run whose spec names a module. Out: the module, its DataModule, and the network that is compared. Trains nothing.

The trunk is what the user's constructor makes under the seed. Norms move in afterwards, so none can shift it. A
constructor with an argument `norm_layer` gets a factory of empty sites. Otherwise sites replace the norms that it made.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import nn

from normlib.errors import NormlibError
from normlib.models.own_network import NormLayer
from normlib.models.replacing import norms_of, replace_norms
from normlib.models.site import Sites
from normlib.models.trace import Trace
from normlib.naming import unknown_argument
from normlib.plugins import load_named
from normlib.training.network import Network, move_in
from normlib.training.seeding import global_stream
from normlib.training.spec import Run
from normlib.training.trunk import hash_state

if TYPE_CHECKING:
    import pytorch_lightning as pl

NORM_LAYER = "norm_layer"
BATCH_SIZE = "batch_size"


class UserModuleError(NormlibError, ValueError):
    """A module or a DataModule cannot be compared as it is. The message states the rule, what came and the fix."""


@dataclass(frozen=True)
class UserModule:
    """The module to fit, its DataModule if it has one, and the network with its norms."""

    module: pl.LightningModule
    datamodule: pl.LightningDataModule | None
    network: Network

    @property
    def data_source(self) -> Any:
        """The object whose hooks return the data loaders."""
        return self.module if self.datamodule is None else self.datamodule


def build_user_module(run: Run) -> UserModule:
    """Build module and DataModule under the seed, and let the norms of the run's arm move in.

    Raises UserModuleError if that is impossible, and CannotEnter if the norm has no place in the module.
    """
    import pytorch_lightning as pl  # takes seconds, and a plan needs this file too

    spec = run.spec
    module_class, datamodule_class = classes_of(run.sources)
    settings = constructor_settings(spec, module_class, datamodule_class)
    sites = Sites()
    takes_norm_layer = NORM_LAYER in inspect.signature(module_class).parameters
    supplied = {NORM_LAYER: NormLayer(sites)} if takes_norm_layer else {}
    with global_stream(spec["seed"], "construction"):
        module = module_class(**settings[0], **supplied)
    _check_kind(module, pl.LightningModule, "module", module_class)
    datamodule = None
    if datamodule_class is not None:
        with global_stream(spec["seed"], "data"):
            datamodule = datamodule_class(**settings[1])
        _check_kind(datamodule, pl.LightningDataModule, "datamodule", datamodule_class)
    if not takes_norm_layer:
        _replace_norms(module, sites, _name(module_class))
    _check_sites(module, sites, module_class, takes_norm_layer)
    as_evaluated = {**spec, "evaluation": {"statistics": "running"}}
    network = move_in(module, sites, as_evaluated, 1, hash_state(module))
    return UserModule(module, datamodule, network)


def classes_of(sources: Mapping[str, str]) -> tuple[Callable[..., Any], Callable[..., Any] | None]:
    """The classes that a run's sources name: the module's, and the DataModule's or None.

    Raises RegistryError if there is no such class.
    """
    datamodule = sources.get("datamodule")
    return load_named(sources["module"], "module"), load_named(datamodule, "datamodule") if datamodule else None


def constructor_settings(
    spec: Mapping[str, Any], module_class: Callable[..., Any], datamodule_class: Callable[..., Any] | None
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arguments of both constructors, with data.batch_size. Raises UserModuleError for unknown arguments."""
    batch_size = spec["data"]["batch_size"]
    arguments: list[dict[str, Any]] = []
    for key, cls in (("module", module_class), ("datamodule", datamodule_class)):
        own = dict(spec[key]["args"])
        if cls is None:
            arguments.append(own)
            continue
        known = inspect.signature(cls).parameters
        if unknown := unknown_argument(cls, own, f"{key}.args"):
            raise UserModuleError(unknown)
        if batch_size is not None and BATCH_SIZE in known and BATCH_SIZE not in own:
            own[BATCH_SIZE] = batch_size
        arguments.append(own)
    if batch_size is not None and not any(BATCH_SIZE in own for own in arguments):
        raise UserModuleError(
            f"data.batch_size={batch_size} goes to the argument batch_size of the DataModule, or else of the module, but "
            f"{_name(datamodule_class or module_class)} has none; add one"
        )
    return arguments[0], arguments[1]


def _replace_norms(module: pl.LightningModule, sites: Sites, name: str) -> None:
    """Put a site in place of each norm of the module. Without an example to run, nothing around the norms changes."""
    try:
        replace_norms(module, norms_of(module, measures=True), sites, Trace(), name)
    except ValueError as error:
        raise UserModuleError(str(error)) from error


def _check_sites(module: nn.Module, sites: Sites, module_class: Callable[..., Any], takes_norm_layer: bool) -> None:
    if not sites.sites:
        how = f"never calls its {NORM_LAYER}" if takes_norm_layer else "has no normalization layer"
        raise UserModuleError(
            f"{_name(module_class)} {how}, so there is nothing to compare; build its norms with the argument {NORM_LAYER}, "
            "as in norm_layer(num_features)"
        )
    there = set(module.modules())
    if any(site not in there for site in sites.sites):
        raise UserModuleError(
            f"{_name(module_class)} made a norm that is not part of the module: keep every norm_layer(...) as an attribute"
        )


def _check_kind(made: Any, base: type, key: str, cls: Callable[..., Any]) -> None:
    if not isinstance(made, base):
        raise UserModuleError(
            f"{key} must name a pytorch_lightning.{base.__name__} (or a function that makes one), but {_name(cls)} is a "
            f"{type(made).__name__}"
            + (
                "; import LightningModule from pytorch_lightning"
                if type(made).__module__.startswith("lightning")
                else ""
            )
        )


def _name(cls: Callable[..., Any]) -> str:
    return getattr(cls, "__name__", repr(cls))
