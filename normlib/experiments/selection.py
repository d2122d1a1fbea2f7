"""Finds the records that a command line means: an experiment's folder or named folders, and what selects among them.

In: arguments, key=value or folders. Out: a `Selection`. Reads records and YAML; never writes and never imports torch.
"""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override, QuotedString

from normlib.experiments.basis import asked_by, changes, describe_basis, experiment_of
from normlib.experiments.complaints import ConfigError, clear_errors
from normlib.experiments.config import (
    DEFAULT_EXPERIMENT,
    NO_EXPERIMENT,
    is_auto,
    listed_values,
    plain_text,
)
from normlib.experiments.folders import (
    check_config_dirs,
    check_files,
    check_folder_name,
    experiment_file,
    group_files,
    sweep_params,
)
from normlib.experiments.settings import names_of
from normlib.naming import unknown_name
from normlib.results.messages import MOST_NAMED
from normlib.results.store.columns import SEED
from normlib.results.store.folders import Merged, read_folders
from normlib.results.store.frame import frame
from normlib.results.store.places import check_path, user_path
from normlib.results.store.quoting import printable
from normlib.results.store.record import Record
from normlib.results.store.store import Store
from normlib.results.study.axes import as_text, check_axis, same_text

PLACES = ("experiment", *names_of("place"))
QUESTION = names_of("question")
"""The settings of a report's question, on the command line or in the experiment's file."""
FIGURES_WIDTH = "figures.width"
"""What figures fit in print, of the same kind."""
OTHER_VERBS_KEYS = names_of("plugins", "work", "comparison")
"""Keys that mean nothing to a report. They are allowed so that a command line can be reused."""
MOST_VALUES = 1_000_000  # a slip like seed=range(1e12) must not fill the memory
MERGED = "merged"
"""The folder, inside the results folder, for a report on several folders."""


@dataclass(frozen=True)
class Selection:
    """Records and how they were asked for. `folder` is where their report belongs."""

    folder: Path
    found: Merged
    filters: Mapping[str, set[str]]
    """By setting, the requested values, as text."""
    asked: Mapping[str, str]
    """The command line's values for the keys in `QUESTION` and `FIGURES_WIDTH`, as text."""
    file: Mapping[str, Any]
    """The experiment's file. Empty if there is none."""


def select(arguments: Sequence[str], config_dirs: Sequence[str] = ()) -> Selection:
    """The records of the named folders, or else of a comparison. key=value arguments select (norm=batch,group).

    A named comparison has the question of the experiment that it started from. Raises ConfigError if there are no
    records, or none with a requested value, and FolderError for a folder that is not an experiment's.
    """
    folders = [argument for argument in arguments if "=" not in argument]
    overrides = [argument for argument in arguments if "=" in argument]
    for folder in folders:
        if not os.path.lexists(user_path(folder, "a folder of results")):
            raise ConfigError(f"{folder!r} is neither a folder of results (with runs/ in it) nor a setting (key=value)")
    check_config_dirs(config_dirs)
    check_files(config_dirs, {})
    with clear_errors(overrides):
        parsed = OverridesParser.create().parse_overrides(overrides)
    given = {override.get_key_element(): override for override in parsed}
    place = {key: _one_value(given[key]) for key in PLACES if key in given}
    asked = {key: _one_value(given[key]) for key in (*QUESTION, FIGURES_WIDTH) if key in given}
    results_dir = user_path(place.get("results_dir", "results"), "results_dir")
    for key in ("experiment", "name"):
        check_folder_name(place.get(key), key)
        check_path(results_dir / place.get(key, DEFAULT_EXPERIMENT), key)
    experiment, name = place.get("experiment"), place.get("name")
    if folders:
        found = read_folders(folders)
        goes_to = found.folders[0] if len(found.folders) == 1 else results_dir / MERGED
        names = {record.experiment for record in found.records}
        name = names.pop() if len(names) == 1 else None
    else:
        started_from = experiment or DEFAULT_EXPERIMENT
        name = name or experiment_file(started_from, config_dirs).get("name") or started_from
        found = _of_experiment(Store(results_dir, name), config_dirs, "name" in place)
        goes_to = found.folders[0]
    experiment = experiment or (experiment_of(found.records) or name if name else None)
    file = experiment_file(experiment, config_dirs) if experiment else {}
    if name is not None and file:
        found = replace(found, warnings=(*found.warnings, *_based_on(experiment, name, file, found.records)))
    others = (*PLACES, *asked, *OTHER_VERBS_KEYS)
    selecting = {key: each for key, each in given.items() if key not in others and not is_auto(each)}
    filters = {key: _values(override, found.records) for key, override in selecting.items()}
    _check_filters(filters, found.records)
    return Selection(goes_to, found, filters, asked, file)


def _based_on(experiment: str | None, name: str, file: Mapping[str, Any], records: Sequence[Record]) -> list[str]:
    """A note on what the records' own commands change of an experiment, if they do."""
    params = [f"{key}={value}" for key, value in sweep_params(file).items()]
    with clear_errors(params):
        parsed = OverridesParser.create().parse_overrides(params)
    axes = {override.get_key_element(): sorted(_values(override, records)) for override in parsed}
    basis = describe_basis(experiment, name, changes(asked_by(records), axes))
    return [] if basis is None else [basis]


def _one_value(override: Override) -> str:
    if override.is_sweep_override():
        raise ConfigError(f"{override.input_line}: {override.get_key_element()} takes one value")
    return plain_text(override.value())


def _of_experiment(store: Store, config_dirs: Sequence[str], named: bool) -> Merged:
    scan = store.scan()
    if not scan.records and not scan.problems:
        others = sorted(f"name={printable(runs.parent.name)}" for runs in store.folder.parent.glob("*/runs"))
        there = f"; there are records of {', '.join(others[:MOST_NAMED])}" if others else ""
        if named:
            raise ConfigError(f"there are no records in {store.runs}{there or ', and none of any other name'}")
        known = group_files("experiment", config_dirs)
        if store.experiment not in (*known, NO_EXPERIMENT):
            raise ConfigError(
                f"{unknown_name('experiment', store.experiment, known)}; and there are no records in {store.runs}{there}"
            )
        raise ConfigError(
            f"there are no records in {store.runs}: make them with `normlib compare experiment={store.experiment}`, "
            f"or name another folder with results_dir=...{there}"
        )
    return Merged((store.folder,), scan.records, scan.problems, ())


def _values(override: Override, records: Sequence[Record]) -> set[str]:
    """The values that an override lists, as text. A glob stands for the labels that it matches."""
    value = override.value()
    if isinstance(value, Glob):
        runs, key = frame(records), override.get_key_element()
        labels = {as_text(label) for label in runs[key].unique()} if key in runs else set[str]()
        return {
            label for label in labels
            if any(fnmatch.fnmatch(label, pattern) for pattern in value.include)
            and not any(fnmatch.fnmatch(label, pattern) for pattern in value.exclude)
        }  # fmt: skip
    if override.is_sweep_override():
        items = listed_values(override, MOST_VALUES)
        if len(items) > MOST_VALUES:
            raise ConfigError(f"{override.input_line}: a selection names at most {MOST_VALUES:,} values")
        return {item.strip("'\"") for item in items}
    return {value.text if isinstance(value, QuotedString) else as_text(value)}


def _check_filters(filters: Mapping[str, set[str]], records: Sequence[Record]) -> None:
    """Refuse a selection that no record matches, before it replaces the present tables."""
    if not filters or not records:
        return
    runs = frame(records)
    for key, values in filters.items():
        if key != SEED:
            check_axis(runs, key)
        known = {as_text(value) for value in runs[key]}
        unknown = {value for value in values if same_text(value) not in {same_text(there) for there in known}}
        if key == SEED and len(unknown) < len(values):
            continue  # a sweep that is not finished has fewer seeds than requested
        for value in sorted(unknown):
            raise ConfigError(f"{key}={value}: {unknown_name('value among the records', value, known)}")
