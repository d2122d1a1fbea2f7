"""`train` as a Hydra app: multirun with any launcher, Hydra's own flags, and completion in the shell."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig
from rich.console import Console

from normlib.experiments.config import config_dir, configuration, plain_settings
from normlib.experiments.execute import do_run
from normlib.experiments.folders import search_path
from normlib.experiments.plan import make_plan
from normlib.experiments.resolve import resolve
from normlib.experiments.seeds import check_no_auto
from normlib.experiments.state import progress_of
from normlib.experiments.sweep import destination_of
from normlib.plugins import load_plugin, safe_path
from normlib.results.render.record import show_record


def multirun(overrides: Sequence[str], config_dirs: Sequence[str], flags: Sequence[str], sweep: bool) -> list[str]:
    """Give `train` to Hydra, after the same checks as in `compare`. Returns the statuses of the runs in the store.

    Raises ConfigError and similar errors before anything is trained.
    """
    overrides, flags = list(overrides), list(flags)
    own = [o for o in overrides if not o.lstrip("+~").startswith("hydra")]
    plan = make_plan(own, config_dirs, comparison=False) if sweep else None
    if plan is not None:
        destination_of(plan.runs, plan.settings)
    with configuration(own, config_dirs) as composer:  # plugins and schema
        check_no_auto(composer.parse(own), "train")
    with search_path(config_dirs):
        _call_hydra([*flags, *(["-m"] if sweep else []), *overrides], _task(list(config_dirs)))
    if plan is None:
        return []
    _tidy(Path(plan.settings["results_dir"]) / ".hydra")
    return [record.status for record in progress_of(plan).records.values()]


def shell_completion(arguments: Sequence[str]) -> None:
    """The script that installs the completion in a shell, by Hydra: ``eval "$(normlib -sc install=bash)"``."""
    with configuration([]):
        pass
    _call_hydra(list(arguments), _task([]))


def _task(config_dirs: list[str]) -> Callable[[DictConfig], None]:
    """The function that a launcher calls for each run, on any machine. It loads the plugins again and does the run."""

    def task(config: DictConfig) -> None:
        for plugin in config.plugins:
            load_plugin(plugin)
        hydra_config = HydraConfig.get()
        plain = plain_settings(config)
        run = resolve(plain, hydra_config.runtime.choices, list(hydra_config.overrides.task), config_dirs)
        destination = destination_of([run], plain)
        outcome = do_run(run, destination)
        console = Console()
        if outcome is None:
            console.print(f"{run.id} is being trained by another process")
            return
        show_record(console, outcome.record, plain["results_dir"])
        if outcome.problem is not None:
            console.print(outcome.problem, highlight=False, markup=False)

    return task


def _call_hydra(arguments: list[str], task: Callable[[DictConfig], None]) -> None:
    before = sys.argv
    sys.argv = ["normlib", *arguments]
    try:
        with safe_path():  # for the processes of a launcher
            hydra.main(version_base="1.3", config_path=str(config_dir()), config_name="config")(task)()
    finally:
        sys.argv = before


def _tidy(folder: Path) -> None:
    """Remove the note of the sweep that Hydra's sweeper leaves. Whatever a launcher put there stays."""
    (folder / "multirun.yaml").unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        folder.rmdir()
