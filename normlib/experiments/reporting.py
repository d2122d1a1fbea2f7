"""`report`: answers what the command line, the experiment's file or a plan asks of the records. Never imports torch.

In: arguments, or the state of a plan. Out: the files that write_report makes, or one clear error before anything is
replaced.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob

from normlib.experiments.complaints import ConfigError, clear_errors
from normlib.experiments.config import plugins_of
from normlib.experiments.folders import config_dir_flags, sweep_params
from normlib.experiments.selection import FIGURES_WIDTH, MERGED, QUESTION, Selection, select
from normlib.naming import unknown_name
from normlib.plugins import load_plugin
from normlib.results.store.frame import frame
from normlib.results.store.places import user_path
from normlib.results.store.store import Store
from normlib.results.study.axes import as_text
from normlib.results.study.question import Question
from normlib.results.study.study import Study

if TYPE_CHECKING:
    from normlib.experiments.state import State
    from normlib.results.report import Report


def report_from_records(
    arguments: Sequence[str], config_dirs: Sequence[str] = (), to: str | None = None, overwrite: bool = False
) -> Report:
    """Tables, figures and page of an experiment's records, or of the named folders. Other settings select records.

    What the command line does not ask comes from the experiment's file. `to` is the folder to write to, by default the
    experiment's own, or `<results_dir>/merged` for several. Raises ConfigError without records, and RegistryError for a
    plugin that does not import. Raises StoreError if files that no report wrote are in the way and `overwrite` is
    false.
    """
    from normlib.results.report import write_report
    from normlib.results.study.views import filtered

    selection = select(arguments, config_dirs)
    load_plugins(arguments, selection.file.get("plugins") or ())
    folder = _target(selection, to)
    question = _question(selection)
    if "baseline" in selection.asked:
        _check_baseline(Study(filtered(frame(selection.found.records), selection.filters), question))
    return write_report(
        folder,
        selection.found.records,
        selection.found.problems,
        question,
        filters=selection.filters,
        command=_command(arguments, config_dirs, to),
        warnings=selection.found.warnings,
        overwrite=overwrite,
        figures_width=_figures_width(selection),
    )


def load_plugins(arguments: Sequence[str], default: Sequence[str] = ()) -> None:
    """Load the files that `plugins=` names in the arguments, or else `default`, since they may define tables.

    Raises RegistryError or ConfigError.
    """
    settings = [argument for argument in arguments if argument.partition("=")[0].lstrip("+") == "plugins"]
    for plugin in plugins_of(settings) if settings else default:
        load_plugin(plugin)


def report_on_state(state: State, command: str, overwrite: bool = False) -> Report:
    """Write the report on a plan's runs that have records. `command` is the command that makes it again."""
    from normlib.results.report import write_report

    return write_report(
        Store(state.plan.settings["results_dir"], state.plan.experiment).folder,
        state.scan.records,
        state.scan.problems,
        state.plan.question,
        ids={run.id for run in state.plan.runs},
        command=command,
        warnings=state.plan.notes,
        staged=state.plan.tuning is not None,
        overwrite=overwrite,
        figures_width=state.plan.settings["figures"]["width"],
    )


def _question(selection: Selection) -> Question:
    """The question: from the command line, else from the experiment's file, else by default."""
    default = Question()
    asked = {
        field: selection.asked.get(field, selection.file.get(field, getattr(default, field))) for field in QUESTION
    }
    for name in ("rope", "target"):
        asked[name] = None if asked[name] in (None, "null") else _number(name, asked[name])
    asked["metric"] = None if asked["metric"] == "null" else asked["metric"]
    asked["higher_is_better"] = _truth("higher_is_better", asked["higher_is_better"])
    params = sweep_params(selection.file)
    asked["baseline"] = as_text(asked["baseline"])  # a file may hold a number, such as a batch size
    return Question(**asked, order=_order(params))


def _figures_width(selection: Selection) -> str:
    of_file = selection.file.get("figures") or {}
    return str(selection.asked.get(FIGURES_WIDTH, of_file.get("width", "text")))


def _truth(name: str, value: Any) -> bool | None:
    known = {"null": None, "true": True, "false": False}
    if as_text(value).lower() not in known:
        raise ConfigError(f"{name} is true, false or null, got {name}={value}")
    return known[as_text(value).lower()]


def _number(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ConfigError(f"{name} is a number, got {name}={value}") from None


def _order(params: Mapping[str, Any]) -> dict[str, list[str]]:
    """The labels of each axis in the order of the experiment's file."""
    axes = [f"{key}={value}" for key, value in params.items()]
    with clear_errors(axes):
        parsed = OverridesParser.create().parse_overrides(axes)
    return {
        override.get_key_element(): list(override.sweep_string_iterator())
        for override in parsed
        if override.is_sweep_override() and override.is_discrete_sweep() and not isinstance(override.value(), Glob)
    }


def _check_baseline(study: Study) -> None:
    """Refuse a requested baseline that is not a row of the tables."""
    baseline, labels = study.question.baseline, study.places.row_labels
    if baseline not in labels:
        raise ConfigError(f"baseline={baseline}: {unknown_name(f'row ({study.question.rows})', baseline, labels)}")


def _target(selection: Selection, to: str | None) -> Path:
    """The folder that the report goes to. Never one with records of others."""
    folder = selection.folder if to is None else user_path(to, "--to")
    if to is not None and folder.exists() and not folder.is_dir():
        raise ConfigError(f"--to names a folder, but {to} is a file")
    if any(folder.resolve() == (source / "runs").resolve() for source in selection.found.folders):
        raise ConfigError(f"--to {to}: only records belong into an experiment's runs/; name another folder")
    if len(selection.found.folders) > 1 and to is None and (folder / "runs").exists():
        raise ConfigError(
            f"a report on several folders goes to {folder}, which holds the records of an experiment {MERGED!r}; name another folder with --to"
        )
    return folder


def _command(arguments: Sequence[str], config_dirs: Sequence[str], to: str | None) -> str:
    """The command that makes the report again."""
    return shlex.join(
        ["normlib", "report", *arguments, *config_dir_flags(config_dirs), *(["--to", to] if to is not None else [])]
    )
