"""Hydra, fenced in: overrides in, plain resolved settings out. Composes; plans and trains nothing.

Every complaint of Hydra's and OmegaConf's leaves here as a ConfigError of one clear message.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, QuotedString
from omegaconf import DictConfig, ListConfig, OmegaConf
from yaml import YAMLError

from normlib.experiments.complaints import ConfigError, clear_errors
from normlib.help import config_dir
from normlib.plugins import load_plugin
from normlib.results.places import check_path, user_path

DEFAULT_EXPERIMENT = "small_batch"
OPEN = ("model.args", "module.args", "datamodule.args")
PATHS = ("results_dir", "data_dir")
NO_EXPERIMENT = "train"  # the folder of runs that belong to no experiment


@dataclass(frozen=True)
class Composed:
    """A resolved configuration: `config` typed, for checking single values; `plain` as containers; group choices."""

    config: DictConfig
    plain: dict[str, Any]
    choices: dict[str, str | None]
    sweep_params: dict[str, str]
    interpolated: bool


def group_files(group: str, config_dirs: Sequence[str] = ()) -> list[str]:
    """The choices of a config group that are files, e.g. experiments, in normlib's folder and the user's."""
    folders = [config_dir(), *map(Path, config_dirs)]
    return sorted({file.stem for folder in folders for file in (folder / group).glob("*.yaml")})


class Composer:
    """Composes configurations while `configuration` is open."""

    def __init__(self, search_path: list[str]) -> None:
        self.search_path = search_path
        self.loader = GlobalHydra.instance().config_loader()
        self.parser = OverridesParser.create(config_loader=self.loader)

    def parse(self, overrides: Sequence[str]) -> list[Override]:
        """The overrides in Hydra's grammar, sweeps included. Raises ConfigError."""
        with clear_errors(overrides):
            return self.parser.parse_overrides(list(overrides))

    def group_choices(self, group: str) -> list[str]:
        """The choices of a config group; empty for a key that is no group."""
        return list(self.loader.get_group_options(group))

    def compose(self, overrides: Sequence[str]) -> Composed:
        """The configuration under overrides that hold no sweeps. Raises ConfigError."""
        path = [f"hydra.searchpath=[{','.join(self.search_path)}]"] if self.search_path else []
        with clear_errors(overrides):
            config = compose("config", overrides=[*path, *map(as_added, overrides)], return_hydra_config=True)
            choices = dict(config.hydra.runtime.choices)
            params = OmegaConf.to_container(config.hydra.sweeper.get("params") or OmegaConf.create({}))
            OmegaConf.set_readonly(config, False)
            OmegaConf.set_struct(config, False)
            del config["hydra"]
            OmegaConf.set_struct(config, True)
            interpolated = _has_interpolation(config)
            plain = plain_settings(config)
        assert isinstance(params, dict)
        check_experiment(choices.get("experiment"))
        return Composed(config, plain, choices, {str(k): str(v) for k, v in params.items()}, interpolated)


def is_open(key: str) -> bool:
    """Whether a key is an argument of something of the user's own, of which normlib knows no list: model.args.width, say."""
    return key.startswith(tuple(f"{each}." for each in OPEN))


def as_added(override: str) -> str:
    """An override of an argument of the user's own in Hydra's words, which ask for ++ ahead of what has no value yet."""
    return f"++{override}" if is_open(override) else override


def as_given(override: str) -> str:
    """The override that `as_added` has changed."""
    given = override.removeprefix("++")
    return given if is_open(given) else override


def plain_settings(config: DictConfig) -> dict[str, Any]:
    """All settings as plain containers, resolved, and paths with their `~` made out.

    ConfigError for a setting without a value, PlaceError for a path that cannot be.
    """
    missing = sorted(OmegaConf.missing_keys(config))
    if missing:
        raise ConfigError(f"every setting has a value, and {', '.join(missing)} has none; name one")
    plain = OmegaConf.to_container(config, resolve=True)
    assert isinstance(plain, dict)
    settings = {str(key): value for key, value in plain.items()}
    return settings | {name: str(user_path(settings[name], name)) for name in PATHS}


def check_experiment(name: str | None) -> None:
    """Refuse the name of an experiment that would lead its records out of the results folder. ConfigError, PlaceError."""
    if name is None:
        return
    check_path(name, "experiment")
    if not name or Path(name).is_absolute() or ".." in Path(name).parts:
        raise ConfigError(
            f"experiment={name}: an experiment's records lie in the folder of its name in results_dir, so the name is a plain one; "
            "name the folder of your files with --config-dir"
        )


@contextlib.contextmanager
def configuration(overrides: Sequence[str], config_dirs: Sequence[str] = ()) -> Iterator[Composer]:
    """Load the plugins that the overrides and the experiment's file name, store the schema, and open Hydra's search path.

    Raises ConfigError for a config folder that does not exist, RegistryError for a plugin that does not import.
    """
    from normlib.experiments.schema import store_schema

    check_config_dirs(config_dirs)
    for plugin in plugins_of(overrides, config_dirs):
        load_plugin(plugin)
    store_schema()
    search_path = [f"file://{Path(folder).resolve()}" for folder in config_dirs]
    with initialize_config_dir(str(config_dir()), version_base="1.3", job_name="normlib"):
        yield Composer(search_path)


def check_config_dirs(config_dirs: Sequence[str]) -> None:
    """Refuse a config folder that does not exist, or what it should hold would be missed in silence. ConfigError."""
    for folder in config_dirs:
        if not Path(folder).is_dir():
            raise ConfigError(
                f"--config-dir names a folder with experiments or arms of your own, but {folder!r} is none"
            )


def plugins_of(overrides: Sequence[str], config_dirs: Sequence[str] = ()) -> list[str]:
    """The plugins named on the command line or else in the experiment's file, known before anything is composed."""
    experiment: str | None = None
    with clear_errors(overrides):
        for override in OverridesParser.create().parse_overrides(list(overrides)):
            if override.get_key_element().lstrip("+") == "plugins":
                value = override.value()
                return [plain_text(item) for item in value] if isinstance(value, list) else [plain_text(value)]
            if override.get_key_element() == "experiment":
                experiment = plain_text(override.value())
    return list(experiment_file(experiment, config_dirs).get("plugins") or []) if experiment else []


def experiment_file(name: str, config_dirs: Sequence[str] = ()) -> dict[str, Any]:
    """The raw content of an experiment's file over that of the experiments it builds on; {} if there is none.

    Raises ConfigError for a file that is not YAML.
    """
    check_experiment(name)
    for folder in (*map(Path, config_dirs), config_dir()):
        file = folder / "experiment" / f"{name}.yaml"
        if file.is_file():
            try:
                content = OmegaConf.load(file)
            except YAMLError as error:
                raise ConfigError(f"{file} is not YAML: {' '.join(str(error).split())}") from error
            if not isinstance(content, DictConfig):
                return {}
            inherited = [entry for entry in content.pop("defaults", []) if isinstance(entry, str) and entry != "_self_"]
            parents = [experiment_file(entry, config_dirs) for entry in inherited]
            merged = OmegaConf.to_container(OmegaConf.merge(*parents, content))
            assert isinstance(merged, dict)
            return {str(key): value for key, value in merged.items()}
    return {}


def _has_interpolation(node: Any) -> bool:
    """Whether a setting that enters the spec refers to another one (the logger's paths do not count)."""
    if isinstance(node, DictConfig):
        return any(
            OmegaConf.is_interpolation(node, str(key)) or (key != "logger" and _has_interpolation(node._get_node(key)))
            for key in node
        )
    if isinstance(node, ListConfig):
        return any(OmegaConf.is_interpolation(node, index) for index in range(len(node)))
    return False


def listed_values(override: Override, most: int) -> list[str]:
    """The values that an override lists, as text, one more than `most` at the most. ConfigError for an interval and the like."""
    if not override.is_discrete_sweep():
        raise ConfigError(
            f"{override.input_line}: listed values are needed; use a,b,c or range(...) or glob(...) or choice(...)"
        )
    try:
        return list(itertools.islice(override.sweep_string_iterator(), most + 1))
    except ValueError as error:  # a range with steps of 0
        raise ConfigError(f"{override.input_line}: {error}") from error


def plain_text(value: Any) -> str:
    return value.text if isinstance(value, QuotedString) else str(value)
