"""The verbs that train nothing as functions, for notebooks and scripts: settings in, as strings or as Python has them, objects out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console

from normlib.experiments.overrides import as_overrides
from normlib.naming import unknown_name

if TYPE_CHECKING:
    import pandas as pd

    from normlib.checking import Checks
    from normlib.experiments.state import State
    from normlib.results.report import Report
    from normlib.timings.run import Bench


def plan(
    *overrides: str, config_dirs: Sequence[str] = (), settings: Mapping[str, Any] | None = None, **more: Any
) -> State:
    """What `compare` would do with these settings, and how much of it is done. Trains nothing.

    ``plan(experiment="small_batch", seed=range(3))``. The state has the `runs`, which of them are `done`, `missing` and `skipped`
    (with a `skip_reason` each), `counts` by status, `estimate()`, the seconds of work that are left on one worker, and
    `frame`, a row a run. A notebook shows it as `normlib plan` prints it. Settings are as for `compare`. Raises ConfigError or RegistryError.
    """
    from normlib.experiments.plan import make_plan
    from normlib.experiments.state import progress_of

    return progress_of(make_plan(as_overrides(overrides, {**more, **(settings or {})}), config_dirs))


def check(
    *norms: str,
    config_dirs: Sequence[str] = (),
    quiet: bool = False,
    settings: Mapping[str, Any] | None = None,
    **more: Any,
) -> Checks:
    """Hold norms to the contract that every norm passes: ``check("group")``, ``check("my_norm", settings={"norm.groups": [2, 4]})``.

    The result has what was found of each of the `arms`, whether all `passed`, and `frame`, a row a promise. A norm that is
    registered in a notebook's cell is checked like any other. `normlib.testing.check_norm` raises instead, for use in a test.
    Prints nothing but a bar that goes away, and with `quiet` not even that. Raises ConfigError or RegistryError.
    """
    from normlib.checking import check as check_arms

    return check_arms(as_overrides(norms, {**more, **(settings or {})}), config_dirs, Console(quiet=quiet))


def bench(
    *overrides: str,
    quiet: bool = False,
    overwrite: bool = False,
    settings: Mapping[str, Any] | None = None,
    **more: Any,
) -> Bench:
    """Time norms beside torch.nn's: ``bench(norm=["batch", "group"], settings={"bench.shapes": ["8x64x16x16"]})``.

    Writes timings, a table and a figure to ``results/bench``, as `normlib bench` does. The result has the `timings`, the `tables`,
    the `files`, and the norms that were `skipped`, by the reason. Prints nothing but a bar that goes away, and with `quiet` not even
    that. Raises ConfigError where nothing can be timed, and StoreError, before anything is, where files are in the way that no
    bench wrote; with ``overwrite=True`` they are replaced.
    """
    from normlib.timings.run import bench as run_bench

    return run_bench(as_overrides(overrides, {**more, **(settings or {})}), Console(quiet=quiet), overwrite)


def report(
    *runs: pd.DataFrame | str | os.PathLike[str],
    arm: str | None = None,
    seed: Any = None,
    metric: str | None = None,
    columns: str | Sequence[str] = (),
    baseline: str | None = None,
    higher_is_better: bool | None = None,
    unit: str | None = None,
    rope: float | None = None,
    to: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    figures_width: str | None = None,
    config_dirs: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
    **more: Any,
) -> Report:
    """Every table, figure and the page of runs that are there, written to a folder. Trains nothing, and imports no torch.

    Runs of normlib are named by their experiment's folder or folders, or by settings; what is not asked comes from the
    experiment's file, and all other settings select among the runs. The report goes to the experiment's folder by default::

        report("results/small_batch", baseline="group")
        report(experiment="small_batch", norm=["batch", "group"], seed=range(3))

    Runs that were made elsewhere are one frame with a row a run, or one file (.csv, .tsv, .parquet, .jsonl, .json), whose report
    goes beside it by default; a frame needs `to`::

        report("my_runs.csv", arm="norm", metric="accuracy", columns="batch_size", unit="%")

    There `arm`, `seed` and `metric` name columns, with or without what W&B and MLflow put before names (`config.`, `params.`,
    `metrics.`, ...). `columns` are those of conditions: the first spans the tables, each further one has sections of its own.
    Numbers are shown as they are; with `unit="%"` they are fractions, shown in percent. A table of normlib's own tells all
    of this, and hashes verify its pairs. Nothing verifies those of any other table, and every table of the report says so.

    In both cases the others are compared with the arm `baseline`, by default "batch". `higher_is_better` is needed where the metric's name
    does not tell. `rope` is the difference that counts as equal in practice. `figures_width` is what figures fit in print: a
    "column" (3.35 inches) or the "text" (6.9 inches) of a paper, by default the text. ConfigError or FolderError where there are no such
    runs, TableError for what could give a wrong figure, StoreError where files are in the way that no report wrote; with
    ``overwrite=True`` they are replaced.
    """
    import pandas as pd

    from normlib.experiments.reporting import load_plugins, report_from_records
    from normlib.results.elsewhere.frames import TableError
    from normlib.results.elsewhere.report import files_among, report_on_table
    from normlib.results.elsewhere.rows import Asked

    more = {**({} if figures_width is None else {"figures.width": figures_width}), **more, **(settings or {})}
    asked = {
        "arm": arm, "seed": seed, "metric": metric, "columns": columns, "baseline": baseline, "higher_is_better": higher_is_better,
        "unit": unit, "rope": rope,
    }  # fmt: skip
    tables = [each for each in runs if isinstance(each, pd.DataFrame) or files_among([os.fspath(each)])]
    if not tables:
        if misplaced := [name for name in ("arm", "unit") if asked[name] is not None]:
            raise TableError(
                f"{misplaced[0]}=... belongs to a table of runs, such as runs.csv or a frame, and none was named; records of normlib "
                "say what their arms and units are"
            )
        given = {name: value for name, value in asked.items() if value not in (None, ())}
        words = as_overrides(
            [os.fspath(each) for each in runs if not isinstance(each, pd.DataFrame)], {**given, **more}
        )
        return report_from_records(words, config_dirs, None if to is None else os.fspath(to), overwrite)
    if len(runs) > 1:
        raise TableError(f"a report on a table takes that one table, and {len(runs)} things were named")
    width = more.pop("figures.width", "text")
    if unknown := sorted(more.keys() - {"plugins"}):
        raise TableError(
            f"{unknown_name('argument of a report on a table', unknown[0], [*asked, 'plugins', 'to', 'overwrite', 'figures_width'])}; to leave "
            "runs out, take their rows out of the table"
        )
    load_plugins(as_overrides((), more))
    return report_on_table(tables[0], Asked(**asked), to, overwrite, width)


def list(
    *names: str, config_dirs: Sequence[str] = (), settings: Mapping[str, Any] | None = None, **more: Any
) -> Sequence[dict[str, Any]]:
    """What there is to choose and to set, a mapping a choice or setting: ``list("norm")``, ``list(norm="group")``, ``list("lr_rule")``.

    A name is a group (``norm``), a choice (``group``), a setting (``optimizer.lr_rule``), a section of settings (``training``), or
    ``settings``; without a name, everything is listed. A choice has the keys `kind` (its group), `name`, `key`, `help`, `source`
    and `settings`; a norm also `statistics_over`, `depends_on_batch`, `place` and `paper`, a dataset `task`, a file of the
    configuration `values`. A setting has `kind` ("setting"), `key`, `type`, `choices`, `default`, `help`, `changes_numbers` and
    `of`, the choices of its group that have it (empty: all). ``pandas.DataFrame(list("norm"))`` is a table of them. RegistryError for an unknown name::

        [row["name"] for row in normlib.list("norm") if row.get("depends_on_batch") is False]
    """
    from normlib.listing import listing

    return listing(*as_overrides(names, {**more, **(settings or {})}), config_dirs=config_dirs)
