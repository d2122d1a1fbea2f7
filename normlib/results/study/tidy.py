"""Runs in long format, as plotting libraries take them: a row a run, metric and split. Changes no figure."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Sequence

import pandas as pd

from normlib.results.store.columns import ARM, METRIC_FACTS, SEED
from normlib.results.store.folders import load_results
from normlib.results.store.record import TRAINED
from normlib.results.study.axes import ReportError, labels_of_arms, rank, section_keys
from normlib.results.study.metrics import SPLITS

COLUMNS = ("arm", "seed", "metric", "value", "split", "status", "id")
"""What stands in every frame; the conditions come after the arm."""


def tidy(runs: pd.DataFrame | str | os.PathLike[str]) -> pd.DataFrame:
    """The runs in long format, ready for seaborn or plotnine: a row a run, metric and split.

    `runs` is a frame, as `normlib.compare` and `normlib.load_results` return it, or an experiment's folder. The columns are `arm`,
    the conditions that vary, `seed`, `metric`, `value`, `split`, `status` and `id`. A condition is named by the last part of its
    setting: `batch_size` stands for `data.batch_size`. Where that name is not the only one, all parts stay: `data_batch_size`.

    Values are as stored: a % metric is a fraction, and NaN stands for a figure that is not finite. Runs that were skipped or
    failed have no rows. Rows are sorted by arm, condition and seed. ReportError for a frame that holds no runs of normlib::

        runs = normlib.tidy("results/small_batch").query("metric == 'accuracy' and split == 'test'")
        seaborn.pointplot(runs, x="batch_size", y="value", hue="arm")
    """
    table = runs if isinstance(runs, pd.DataFrame) else load_results(runs)
    if missing := [name for name in (ARM, SEED, "status", "id") if name not in table]:
        raise ReportError(
            "tidy takes runs as normlib.compare and normlib.load_results return them, and this frame has no column "
            f"{missing[0]!r}; for runs that were made elsewhere use normlib.report, or pandas.melt"
        )
    keys = section_keys(table, ARM, "")
    table = table.assign(arm=labels_of_arms(table))
    order = [[rank(each) for each in row] for row in table[["arm", *keys, SEED]].itertuples(index=False)]
    table = table.iloc[sorted(range(len(table)), key=order.__getitem__)].reset_index(drop=True)
    runs_as_rows = pd.DataFrame(
        {"arm": table["arm"], **{name: table[key] for name, key in _named(keys).items()}, SEED: table[SEED]}
    )
    behind = table[["status", "id"]]
    trained, has = table["status"].isin(TRAINED), _metrics_of_each_run(table)
    figures = [each for each in table.columns if each.partition(".")[0] in SPLITS and not each.endswith(".samples")]
    pieces = []
    for metric in dict.fromkeys(each.partition(".")[2] for each in figures):
        known = any(metric in names for names in has)
        measured = trained & pd.Series([not known or metric in names for names in has], table.index, dtype=bool)
        for split in SPLITS:
            if (column := f"{split}.{metric}") in figures:
                figure = runs_as_rows.assign(metric=metric, value=table[column].astype(float), split=split)
                pieces.append(pd.concat([figure, behind], axis=1)[measured])
    if not pieces:
        return pd.DataFrame(columns=["arm", *_named(keys), *COLUMNS[1:]])
    return pd.concat(pieces).sort_index(kind="stable").reset_index(drop=True)


def _metrics_of_each_run(table: pd.DataFrame) -> list[set[str]]:
    """The names of the metrics of each run's task. The loss is none of them, and belongs to all."""
    facts = table[METRIC_FACTS] if METRIC_FACTS in table else [None] * len(table)
    return [{each["name"] for each in json.loads(text)} if isinstance(text, str) else set() for text in facts]


def _named(keys: Sequence[str]) -> dict[str, str]:
    """The settings by the short names that tell them apart."""
    short = [key.rpartition(".")[2] for key in keys]
    counts = Counter([*short, *COLUMNS])
    return {name if counts[name] == 1 else key.replace(".", "_"): key for name, key in zip(short, keys, strict=True)}
