"""`report`: which records, rows and columns the command line asks for. Reads records and YAML; never imports torch."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override

from normlib.experiments.config import DEFAULT_EXPERIMENT, ConfigError, clear_errors, experiment_file, plain_text
from normlib.registry import unknown_name
from normlib.results.axes import as_text, check_axis, same_text
from normlib.results.frame import SEED, frame
from normlib.results.record import Record
from normlib.results.store import Store

if TYPE_CHECKING:
    from normlib.results.report import Report

OWN_KEYS = ("experiment", "results_dir", "rows", "columns")
OTHER_VERBS_KEYS = (
    "plugins",
    "jobs",
    "retry_failed",
    "logger",
    "save_weights",
    "data_dir",
)  # so that a line can be reused


def report_from_records(overrides: Sequence[str], config_dirs: Sequence[str] = ()) -> Report:
    """Tables and figure from what lies in an experiment's folder; other settings select records (norm=batch,group).

    Rows, columns and the order along axes come from the experiment's file unless given. Raises ConfigError where
    there are no records.
    """
    from normlib.results.report import write_report
    from normlib.results.study import Question

    with clear_errors(overrides):
        parsed = OverridesParser.create().parse_overrides(list(overrides))
    given = {override.get_key_element(): override for override in parsed}
    asked = {key: plain_text(given[key].value()) for key in OWN_KEYS if key in given}
    name = asked.get("experiment", DEFAULT_EXPERIMENT)
    file = experiment_file(name, config_dirs)
    store = Store(asked.get("results_dir", "results"), name)
    scan = store.scan()
    if not scan.records and not scan.problems:
        raise ConfigError(
            f"there are no records in {store.runs}: make them with `normlib compare experiment={name}`, or name another folder with results_dir=..."
        )
    selecting = {key: override for key, override in given.items() if key not in (*OWN_KEYS, *OTHER_VERBS_KEYS)}
    filters = {key: _values(override, scan.records) for key, override in selecting.items()}
    _check_filters(filters, scan.records)
    params = file.get("hydra", {}).get("sweeper", {}).get("params", {})
    return write_report(
        store.folder,
        scan.records,
        scan.problems,
        Question(
            rows=asked.get("rows", file.get("rows", "norm")),
            columns=asked.get("columns", file.get("columns", "data.batch_size")),
            order=_order(params),
        ),
        filters=filters,
    )


def _values(override: Override, records: Sequence[Record]) -> set[str]:
    """The values that an override lists, as text; a glob stands for the labels that it matches."""
    value = override.value()
    if isinstance(value, Glob):
        labels = {record.labels.get(override.get_key_element(), "") for record in records}
        return {
            label for label in labels
            if any(fnmatch.fnmatch(label, pattern) for pattern in value.include)
            and not any(fnmatch.fnmatch(label, pattern) for pattern in value.exclude)
        }  # fmt: skip
    if override.is_sweep_override():
        return {item.strip("'\"") for item in override.sweep_string_iterator()}
    return {as_text(value)}


def _check_filters(filters: Mapping[str, set[str]], records: Sequence[Record]) -> None:
    """Refuse a selection that no record meets, before it replaces the tables that are there."""
    if not filters:
        return
    runs = frame(records)
    for key, values in filters.items():
        if key != SEED:
            check_axis(runs, key)
        known = {as_text(value) for value in runs[key]}
        unknown = {value for value in values if same_text(value) not in {same_text(there) for there in known}}
        if key == SEED and len(unknown) < len(values):
            continue  # fewer seeds than asked for are a sweep that is not at its end
        for value in sorted(unknown):
            raise ConfigError(f"{key}={value}: {unknown_name('value among the records', value, known)}")


def _order(params: dict[str, Any]) -> dict[str, list[str]]:
    parsed = OverridesParser.create().parse_overrides([f"{key}={value}" for key, value in params.items()])
    return {
        override.get_key_element(): list(override.sweep_string_iterator())
        for override in parsed
        if override.is_sweep_override() and override.is_discrete_sweep() and not isinstance(override.value(), Glob)
    }
