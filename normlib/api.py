"""The verbs that train as functions, for notebooks and scripts: settings in, a record or a data frame out. verbs.py has the others."""

from __future__ import annotations

import shlex
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from normlib.experiments.overrides import as_overrides
from normlib.notebook import show
from normlib.results.store.record import Record

if TYPE_CHECKING:
    import pandas as pd

    from normlib.experiments.sweep import Swept
    from normlib.results.report import Report


def train(*overrides: str, config_dirs: Sequence[str] = (), **settings: Any) -> Record:
    """Train one run, e.g. ``train("norm=group", "data.batch_size=8", "seed=3")``, and return its record.

    Settings without a dot may be keywords, ``train(norm="group", seed=3)``; see `compare`. A run that already has a
    record is not trained again. Warns if weights cannot be saved. Raises ConfigError or RegistryError for impossible
    settings.
    """
    from normlib.experiments.plan import make_run
    from normlib.experiments.sweep import run_one

    run, plain = make_run(as_overrides(overrides, settings), config_dirs)
    outcome = run_one(run, plain)
    if outcome.problem is not None:
        warnings.warn(outcome.problem, stacklevel=2)
    return outcome.record


def compare(
    *overrides: str,
    config_dirs: Sequence[str] = (),
    quiet: bool = False,
    overwrite: bool = False,
    settings: Mapping[str, Any] | None = None,
    **more: Any,
) -> pd.DataFrame:
    """Do the missing runs of a comparison, write tables and figures, and return the runs, one per row.

    ``compare("experiment=small_batch", "norm=batch,group", "seed=range(3)")`` does the same as the command line. Settings
    without a dot may be keywords; all others go into `settings`. Lists and ranges are axes. Your own classes and functions
    may be passed directly::

        compare(module=LitSeg, datamodule=Photos, norm=["batch", "group"], seed=range(5), metric="val_dice",
                settings={"data.batch_size": [2, 8], "trainer.max_epochs": 3})

    In a script, call it under ``if __name__ == "__main__":``, because worker processes import the script.

    If the experiment's folder has files that no report wrote under names that the report needs, StoreError is raised before
    anything is trained. ``overwrite=True`` replaces them.
    """
    words = as_overrides(overrides, {**more, **(settings or {})})
    return compare_on(Console(quiet=quiet), words, config_dirs, overwrite)[1].frame


def sweep(
    train: Callable[..., Mapping[str, float]] | str,
    norms: Iterable[str],
    conditions: Mapping[str, Iterable[Any]] | None = None,
    seeds: Iterable[int] | str = range(5),
    quiet: bool = False,
    settings: Mapping[str, Any] | None = None,
    **more: Any,
) -> pd.DataFrame:
    """Compare norms by a training function of your own, and return the runs, one per row.

    ``train(norm_layer, seed, **condition)`` trains and returns its figures, ``{"accuracy": 0.93}``. The first is compared
    unless ``metric=`` names another. ``norm_layer(num_features)`` makes the arm's norm. As with `compare`, runs are recorded,
    done in parallel, continued after a stop, and reported. normlib does not see which trunk, batches and schedule the
    function used, and every table says so. The function must be in a file. `settings` and keywords are further settings,
    such as ``name="mine"``::

        sweep(train, norms=["batch", "group", "none"], conditions={"lr": [0.1, 0.3]}, seeds=range(5))
    """
    axes = {f"condition.{name}": list(values) for name, values in (conditions or {}).items()}
    first = {"columns": next(iter(axes))} if axes else {}
    words = {
        "function": train,
        "norm": list(norms),
        "seed": seeds if isinstance(seeds, str) else list(seeds),
        **axes,
        **first,
        **more,
        **(settings or {}),
    }
    return compare(quiet=quiet, settings=words)


def compare_on(
    console: Console, overrides: Sequence[str], config_dirs: Sequence[str] = (), overwrite: bool = False
) -> tuple[Swept, Report]:
    """The whole comparison, shown on a console: what the sweep leaves, and the report. What the command line runs."""
    from normlib.experiments.workers import warm_up

    warm_up()  # the workers' imports go on while this process plans
    from normlib.experiments.display import SweepDisplay
    from normlib.experiments.folders import config_dir_flags
    from normlib.experiments.plan import make_plan
    from normlib.experiments.reporting import report_on_state
    from normlib.experiments.state import progress_of
    from normlib.experiments.sweep import run_missing
    from normlib.results.contents import check_folder
    from normlib.results.store.store import Store

    plan = make_plan(overrides, config_dirs)
    check_folder(Store(plan.settings["results_dir"], plan.experiment).folder, plan.metrics, overwrite)
    swept = run_missing(plan, SweepDisplay(console))
    command = shlex.join(["normlib", "compare", *config_dir_flags(config_dirs), *overrides])
    report = report_on_state(progress_of(plan), command, overwrite)
    show(report, console)
    for problem in swept.problems:
        console.print(Text(problem))
    return swept, report
