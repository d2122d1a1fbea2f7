"""Hydra behind one interface: overrides in, plain resolved settings out. Composes; plans and trains nothing.

Every error of Hydra and OmegaConf leaves here as a ConfigError with one clear message.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, QuotedString
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from normlib.choices import config_dir
from normlib.experiments.complaints import ConfigError, clear_errors, in_plain_words
from normlib.experiments.folders import check_config_dirs, check_files, check_folder_name, experiment_file, search_path
from normlib.plugins import load_plugin
from normlib.registry import Registry
from normlib.results.store.places import user_path

DEFAULT_EXPERIMENT = "small_batch"
PATHS = ("results_dir", "data_dir")
AUTO = "auto"
NO_EXPERIMENT = "train"  # the folder of runs without an experiment


@dataclass(frozen=True)
class Composed:
    """A resolved configuration: `config` typed, for checking single values; `plain` as containers; group choices."""

    config: DictConfig
    plain: dict[str, Any]
    choices: dict[str, str | None]
    sweep_params: dict[str, str]
    interpolated: bool


class SharedStore:
    """Hydra's store of the settings of every choice. It stays one object when Hydra copies its sources.

    Hydra copies them for every composition. Copying the nodes of all choices takes longer than the composition itself,
    and a loaded node is a copy anyway.
    """

    def __init__(self, store: ConfigStore) -> None:
        self.store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def __deepcopy__(self, memo: Any) -> SharedStore:
        return self


class Composer:
    """Composes configurations while `configuration` is open."""

    def __init__(self) -> None:
        self.loader = GlobalHydra.instance().config_loader()
        for source in self.loader.get_sources():
            if hasattr(source, "store"):
                source.store = SharedStore(source.store)
        self.parser = OverridesParser.create(config_loader=self.loader)

    def parse(self, overrides: Sequence[str]) -> list[Override]:
        """The overrides in Hydra's grammar, with sweeps. Raises ConfigError."""
        with clear_errors(overrides):
            return self.parser.parse_overrides(list(overrides))

    def group_choices(self, group: str) -> list[str]:
        """The choices of a config group. Empty for a key that is not a group."""
        return list(self.loader.get_group_options(group))

    def compose(self, overrides: Sequence[str], where_there: Sequence[Override] = ()) -> Composed:
        """The configuration for overrides without sweeps. Raises ConfigError.

        `where_there`: overrides of settings that only some choices of a group have. They are ignored for the others.
        """
        with clear_errors(overrides):
            config = compose("config", overrides=list(overrides), return_hydra_config=True)
            choices = dict(config.hydra.runtime.choices)
            params = OmegaConf.to_container(config.hydra.sweeper.get("params") or OmegaConf.create({}))
            OmegaConf.set_readonly(config, False)
            OmegaConf.set_struct(config, False)
            del config["hydra"]
            OmegaConf.set_struct(config, True)
            for override in where_there:
                if has_setting(config, override.get_key_element()):
                    set_value(config, override)
            interpolated = _has_interpolation(config)
            plain = plain_settings(config)
        assert isinstance(params, dict)
        check_folder_name(choices.get("experiment"), "experiment")
        check_folder_name(plain["name"], "name")
        if plain["name"] != choices.get("experiment") and plain["name"] in self.group_choices("experiment"):
            raise ConfigError(
                f"name={plain['name']}: that is an experiment, whose own records are in the folder of its name; choose another name, or "
                f"start from it with experiment={plain['name']}"
            )
        return Composed(config, plain, choices, {str(k): str(v) for k, v in params.items()}, interpolated)


def has_setting(config: DictConfig, key: str) -> bool:
    """Whether a configuration has the setting of a group's choice, such as norm.num_groups."""
    group, _, name = key.partition(".")
    node = config.get(group)
    return isinstance(node, DictConfig) and name.partition(".")[0] in node


def set_value(config: DictConfig, override: Override) -> Any:
    """Set a setting to the value of an override, checked by the setting's type, and return it. Raises ConfigError."""
    key, text = override.get_key_element(), str(override.input_line)
    with clear_errors([text]):
        try:
            OmegaConf.update(config, key, override.value(), merge=True)
            return OmegaConf.select(config, key, throw_on_missing=True)
        except MissingMandatoryValue as error:
            raise ConfigError(f"{text}: every setting needs a value, but {key} has none; name one") from error
        except OmegaConfBaseException as error:
            raise ConfigError(f"{text}: {in_plain_words(str(error).splitlines()[0])}") from error


def plain_settings(config: DictConfig) -> dict[str, Any]:
    """All settings as plain containers, resolved, with `~` in paths expanded.

    Raises ConfigError for a setting without a value, and PlaceError for an impossible path.
    """
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        raise ConfigError(f"every setting needs a value, but {', '.join(missing)} has none; name one")
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    settings = {str(key): value for key, value in plain.items()}
    return settings | {name: str(user_path(settings[name], name)) for name in PATHS}


@contextlib.contextmanager
def configuration(overrides: Sequence[str], config_dirs: Sequence[str] = ()) -> Iterator[Composer]:
    """Load plugins, store the schema, and open Hydra's search path.

    The plugins are those that the overrides and the experiment's file name. Raises ConfigError for a config folder that
    does not exist, and RegistryError for a plugin that does not import.
    """
    from normlib.experiments.schema import store_schema

    load_classes(overrides, config_dirs)
    store_schema()
    with (
        search_path(config_dirs),
        initialize_config_dir(str(config_dir()), version_base="1.3", job_name="normlib"),
    ):
        yield Composer()


def load_classes(overrides: Sequence[str], config_dirs: Sequence[str] = ()) -> Mapping[str, Registry]:
    """Load the plugins that the overrides and the experiment's file name.

    Returns the registries of all groups with classes. Raises ConfigError for a config folder that does not exist, and
    RegistryError for a plugin that does not import.
    """
    from normlib.experiments.schema import GROUPS

    check_config_dirs(config_dirs)
    for plugin in plugins_of(overrides, config_dirs):
        load_plugin(plugin)
    check_files(config_dirs, GROUPS)
    return GROUPS


def plugins_of(overrides: Sequence[str], config_dirs: Sequence[str] = ()) -> list[str]:
    """The plugins on the command line, or else in the experiment's file. They are known before anything is composed."""
    given: dict[str, Any] = {}
    with clear_errors(overrides):
        for override in OverridesParser.create().parse_overrides(list(overrides)):
            given.setdefault(override.get_key_element().lstrip("+"), override.value())
    experiment = given.get("experiment")
    file = experiment_file(plain_text(experiment), config_dirs) if experiment is not None else {}
    value = given.get("plugins", file.get("plugins") or [])
    return [plain_text(item) for item in value] if isinstance(value, list) else [plain_text(value)]


def _has_interpolation(node: Any) -> bool:
    """Whether a setting in the spec refers to another one. The logger's paths do not count."""
    if isinstance(node, DictConfig):
        return any(
            OmegaConf.is_interpolation(node, str(key)) or (key != "logger" and _has_interpolation(node._get_node(key)))
            for key in node
        )
    if isinstance(node, ListConfig):
        return any(OmegaConf.is_interpolation(node, index) for index in range(len(node)))
    return False


def listed_values(override: Override, most: int) -> list[str]:
    """The values that an override lists, as text, at most `most` + 1. Raises ConfigError for an interval and the like."""
    if not override.is_discrete_sweep():
        raise ConfigError(
            f"{override.input_line}: listed values are needed; use a,b,c or range(...) or glob(...) or choice(...)"
        )
    try:
        return list(itertools.islice(override.sweep_string_iterator(), most + 1))
    except ValueError as error:  # a range with steps of 0
        raise ConfigError(f"{override.input_line}: {error}") from error


def is_auto(override: Override) -> bool:
    """Whether an override is seed=auto: seeds are added until the comparisons are decided."""
    return (
        override.get_key_element() == "seed"
        and not override.is_sweep_override()
        and plain_text(override.value()) == AUTO
    )


def plain_text(value: Any) -> str:
    return value.text if isinstance(value, QuotedString) else str(value)
