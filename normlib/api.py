"""The verbs as functions, for notebooks and scripts: overrides in as strings, a record or a data frame out."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from normlib.results.record import Record

if TYPE_CHECKING:
    import pandas as pd

    from normlib.results.report import Report


def train(*overrides: str, config_dirs: Sequence[str] = ()) -> Record:
    """Train one run, e.g. ``train("norm=group", "data.batch_size=8", "seed=3")``, and return its record.

    A run that has a record already is not trained again. Raises ConfigError or RegistryError for settings that cannot be.
    """
    from normlib.experiments.plan import make_run
    from normlib.experiments.sweep import run_one

    run, settings = make_run(overrides, config_dirs)
    return run_one(run, settings)


def compare(*overrides: str, config_dirs: Sequence[str] = (), quiet: bool = False) -> pd.DataFrame:
    """Do the missing runs of a comparison, write the tables and the figure, and return the runs, one a row.

    ``compare("experiment=small_batch", "norm=batch,group", "seed=range(3)")`` does what the command line does. In a
    script, call it under ``if __name__ == "__main__":``, because worker processes import the script.
    """
    return compare_on(Console(quiet=quiet), overrides, config_dirs)[1].frame


def compare_on(
    console: Console, overrides: Sequence[str], config_dirs: Sequence[str] = ()
) -> tuple[dict[str, Record], Report]:
    """The whole comparison, shown on a console: the plan's records by id, and the report. What the command line runs."""
    from normlib.experiments.execute import warm_up

    warm_up()  # the workers' imports go on while this process plans
    from normlib.experiments.display import SweepDisplay
    from normlib.experiments.plan import make_plan
    from normlib.experiments.sweep import report_on, run_missing

    plan = make_plan(overrides, config_dirs)
    records = run_missing(plan, SweepDisplay(console))
    flags = [word for folder in config_dirs for word in ("--config-dir", folder)]
    report = report_on(plan, shlex.join(["normlib", "compare", *flags, *overrides]))
    report.render(console)
    return records, report
