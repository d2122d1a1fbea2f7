"""Folders of experiments and arms: normlib's own `conf/` and those of --config-dir, as one search path of Hydra.

In: the names of folders. Out: the files in them by config group, the raw content of an experiment's file, and a search
path that works for any folder name. A file that would be ignored, or not count as it reads, is refused. Composes
nothing.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from normlib.choices import config_dir
from normlib.experiments.complaints import ConfigError
from normlib.naming import read_as
from normlib.registry import Registry
from normlib.results.store.places import check_path

GLOBAL = "# @package _global_"
"""The first line of an experiment's file. It makes its settings those of the whole configuration."""
HEADER_LENGTH = 512
"""Characters at the start of a file in which Hydra looks for that line."""


class FolderSearchPath(SearchPathPlugin):
    """Puts the folders of --config-dir on Hydra's search path, after normlib's own.

    Hydra's own setting, hydra.searchpath, is an override. Its grammar does not accept every folder name, and globs do
    not search there (Hydra's issues 2891, 1577 and 1942).
    """

    folders: ClassVar[tuple[Path, ...]] = ()

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for folder in self.folders:
            search_path.append("--config-dir", f"file://{folder}")


@contextlib.contextmanager
def search_path(config_dirs: Sequence[str]) -> Iterator[None]:
    """Whatever Hydra composes inside the block finds the files of these folders."""
    Plugins.instance().register(FolderSearchPath)
    before = FolderSearchPath.folders
    FolderSearchPath.folders = tuple(Path(folder).resolve() for folder in config_dirs)
    try:
        yield
    finally:
        FolderSearchPath.folders = before


def config_dir_flags(config_dirs: Sequence[str]) -> list[str]:
    """The words of a command line that name the folders."""
    return [
        word
        for folder in config_dirs
        for word in ([f"--config-dir={folder}"] if folder.startswith("-") else ["--config-dir", folder])
    ]


def check_config_dirs(config_dirs: Sequence[str]) -> None:
    """Refuse a config folder that does not exist: its files would be missed. Raises ConfigError or PlaceError."""
    for folder in config_dirs:
        check_path(folder, "--config-dir")
        if not Path(folder).is_dir():
            raise ConfigError(
                f"--config-dir names a folder with experiments or arms of your own, but {folder!r} is not a folder"
            )


def check_files(config_dirs: Sequence[str], groups: Mapping[str, Registry]) -> None:
    """Refuse files whose names cannot be chosen, and files hidden by another of the same name. Raises ConfigError.

    `groups`: the registry behind each config group. Its names are taken.
    """
    own = config_dir()
    seen = {file.relative_to(own): file for file in own.glob("*/**/*.yaml")}
    known = sorted({name.parts[0] for name in seen} | set(groups))
    for folder, group in itertools.product(map(Path, config_dirs), known):
        for file in sorted((folder / group).glob("**/*.yaml")):
            choice = file.relative_to(folder / group).with_suffix("").as_posix()
            if reading := read_as(choice):
                raise ConfigError(
                    f"{file}: {group}={choice} is read as {reading}, so no file can be called that; rename it"
                )
            if group in groups and choice in groups[group]:
                raise ConfigError(
                    f"{file}: {choice} is a registered {groups[group].kind}, but only one of the two can be meant by "
                    f"{group}={choice}; rename the file"
                )
            other = seen.setdefault(file.relative_to(folder), file)
            if other.read_bytes() != file.read_bytes():
                raise ConfigError(f"{file}: {other} has the same name and would be used instead; rename the file")


def group_files(group: str, config_dirs: Sequence[str] = ()) -> list[str]:
    """The choices of a config group that are files, e.g. experiments, in normlib's folder and the user's."""
    folders = [config_dir(), *map(Path, config_dirs)]
    return sorted({file.stem for folder in folders for file in (folder / group).glob("*.yaml")})


def check_folder_name(name: str | None, key: str) -> None:
    """Refuse a name that would put records outside the results folder. Raises ConfigError or PlaceError."""
    if name is None:
        return
    check_path(name, key)
    if not name.strip() or Path(name).is_absolute() or ".." in Path(name).parts or Path(name) == Path("."):
        raise ConfigError(
            f"{key}={name}: records are in the folder of this name in results_dir, so it must be a plain name; "
            + ("name the folder of your files with --config-dir" if key == "experiment" else "name another")
        )


def experiment_file(name: str, config_dirs: Sequence[str] = (), built_on_by: Sequence[str] = ()) -> dict[str, Any]:
    """The raw content of an experiment's file over that of the experiments it builds on. {} without a file.

    `built_on_by`: the experiments that led here. Raises ConfigError for a file that is not YAML, that builds on itself,
    or whose settings would not apply to the whole configuration.
    """
    check_folder_name(name, "experiment")
    if name in built_on_by:
        raise ConfigError(
            f"experiment={name} builds on itself: {' on '.join([*built_on_by, name])}; take one of them out of `defaults`"
        )
    for folder in (config_dir(), *map(Path, config_dirs)):
        file = folder / "experiment" / f"{name}.yaml"
        if file.is_file():
            content = _read(file)
            inherited = [parent for entry in content.pop("defaults", None) or [] if (parent := _parent(entry, name))]
            parents = [experiment_file(parent, config_dirs, [*built_on_by, name]) for parent in inherited]
            merged = OmegaConf.to_container(OmegaConf.merge(*parents, content))
            assert isinstance(merged, dict)
            return {str(key): value for key, value in merged.items()}
    return {}


def sweep_params(file: Mapping[str, Any]) -> dict[str, Any]:
    """The axes in an experiment's file, as written."""
    node: Any = file
    for key in ("hydra", "sweeper", "params"):
        node = node.get(key) if isinstance(node, Mapping) else None
    return dict(node) if isinstance(node, Mapping) else {}


def _read(file: Path) -> DictConfig:
    """The content of an experiment's file."""
    try:
        text = file.read_text(encoding="utf-8")
        content = OmegaConf.create(text)
    except (YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is not YAML: {' '.join(str(error).split())}") from error
    except (OmegaConfBaseException, RecursionError) as error:
        raise ConfigError(f"{file}: {' '.join(str(error).split())}") from error
    if not isinstance(content, DictConfig):
        raise ConfigError(f"{file}: an experiment's file holds settings, key: value, but this one holds a list")
    package = _package(text)
    if package != "_global_":
        came = "it has none" if package is None else f"it has {package}"
        raise ConfigError(
            f"{file}: an experiment's file must begin with the line `{GLOBAL}`, or its settings do not apply to "
            f"the comparison, but {came}; add the line at the top, before any comment"
        )
    return content


def _package(text: str) -> str | None:
    """The package in a file's header. The header ends at the first line that is not `# @...`."""
    for line in text[:HEADER_LENGTH].splitlines():
        header = re.match(r"\s*#+\s*@(\S+)\s+(\S+)\s*$", line)
        if header is not None and header[1] == "package":
            return header[2]
        if line.strip() and header is None:
            break
    return None


def _parent(entry: Any, name: str) -> str | None:
    """The experiment that an entry of the defaults list of `name` names, or None for anything else."""
    if not isinstance(entry, str) or entry == "_self_":
        return None
    if entry.startswith("/"):
        return entry.removeprefix("/experiment/") if entry.startswith("/experiment/") else None
    return str(Path(name).parent / entry)
