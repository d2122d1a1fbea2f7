"""The verbs as functions, for notebooks and scripts: overrides in as strings, a record or a data frame out."""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from normlib.results.record import Record

if TYPE_CHECKING:
    import pandas as pd

    from normlib.experiments.sweep import Swept
    from normlib.results.report import Report


def train(*overrides: str, config_dirs: Sequence[str] = ()) -> Record:
    """Train one run, e.g. ``train("norm=group", "data.batch_size=8", "seed=3")``, and return its record.

    A run that has a record already is not trained again. Weights that cannot be saved are a warning. Raises ConfigError or RegistryError for settings that cannot be.
    """
    from normlib.experiments.plan import make_run
    from normlib.experiments.sweep import run_one

    run, settings = make_run(overrides, config_dirs)
    outcome = run_one(run, settings)
    if outcome.problem is not None:
        warnings.warn(outcome.problem, stacklevel=2)
    return outcome.record


def compare(
    *overrides: str, config_dirs: Sequence[str] = (), quiet: bool = False, overwrite: bool = False
) -> pd.DataFrame:
    """Do the missing runs of a comparison, write the tables and the figure, and return the runs, one a row.

    ``compare("experiment=small_batch", "norm=batch,group", "seed=range(3)")`` does what the command line does. In a
    script, call it under ``if __name__ == "__main__":``, because worker processes import the script.

    Files in the experiment's folder that no report wrote, under names that the report needs, are refused with a StoreError
    before anything is trained; with ``overwrite=True`` they are replaced.
    """
    return compare_on(Console(quiet=quiet), overrides, config_dirs, overwrite)[1].frame


def compare_on(
    console: Console, overrides: Sequence[str], config_dirs: Sequence[str] = (), overwrite: bool = False
) -> tuple[Swept, Report]:
    """The whole comparison, shown on a console: what the sweep leaves, and the report. What the command line runs."""
    from normlib.experiments.workers import warm_up

    warm_up()  # the workers' imports go on while this process plans
    from normlib.experiments.display import SweepDisplay
    from normlib.experiments.plan import make_plan
    from normlib.experiments.reporting import report_on_state
    from normlib.experiments.state import look
    from normlib.experiments.sweep import run_missing
    from normlib.results.report import check_folder
    from normlib.results.store import Store

    plan = make_plan(overrides, config_dirs)
    check_folder(Store(plan.settings["results_dir"], plan.experiment).folder, plan.metrics, overwrite)
    swept = run_missing(plan, SweepDisplay(console))
    flags = [word for folder in config_dirs for word in ("--config-dir", folder)]
    report = report_on_state(look(plan), shlex.join(["normlib", "compare", *flags, *overrides]), overwrite)
    report.render(console)
    for problem in swept.problems:
        console.print(Text(problem))
    return swept, report
