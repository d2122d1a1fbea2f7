"""The paired table of any frame of runs, as a frame: normlib's own runs, or those that were made elsewhere."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence

import pandas as pd

from normlib.results.elsewhere.own import asked_rows
from normlib.results.elsewhere.rows import Asked
from normlib.results.study.comparison import Comparison
from normlib.results.study.identity import check_paired
from normlib.results.study.metrics import check_value
from normlib.results.study.pairing import check_baseline
from normlib.results.study.study import Study
from normlib.results.study.views import one_view


def compare_arms(
    frame: pd.DataFrame,
    arm: str | None = None,
    seed: str | None = None,
    value: str | None = None,
    columns: str | Sequence[str] = (),
    baseline: str | None = None,
    higher_is_better: bool | None = None,
    unit: str | None = None,
    rope: float | None = None,
    view: str = "tuned",
) -> pd.DataFrame:
    """The paired table of a frame of runs: one row for each condition and each arm except the baseline.

    normlib's own runs (`normlib.load_results`) tell everything: `arm` is the norm, `columns` the batch size, `value` the main
    metric on the test split, and hashes verify that runs of one seed are pairs. Of any other frame, with a row a run, `arm`,
    `seed` and `value` name its columns, `columns` those of conditions, and `higher_is_better` says what the metric's name does
    not tell. Its runs of one seed are taken as pairs on trust. `baseline` is "batch" where none is named.

    Columns of the result are the fields of `Comparison`. Differences are arm minus `baseline`, as the values are stored
    (fractions where the `unit` is %); `low` and `high` are the ends of the 95 % interval. `rope` is in the metric's unit,
    percentage points where that is %.
    After tuning, `view` says which runs are compared: "tuned", every arm at its chosen value, or "fixed", all at one. Trials
    are never compared.
    IdentityError where runs claim to be paired and are not. TableError and ReportError for columns, values, a baseline or a
    view that do not exist, and for what could give a wrong figure.
    """
    asked = Asked(arm, seed, value, columns, baseline, higher_is_better, unit, rope)
    rows = asked_rows(frame, asked)
    for message in rows.messages:
        warnings.warn(message, stacklevel=2)
    of_view = one_view(rows.frame, view)
    study = Study(of_view.runs, rows.question, view=of_view.name)
    check_value(of_view.runs, study.question.value)
    check_baseline(study)
    check_paired(rows.frame)
    fields = [field.name for field in dataclasses.fields(Comparison)]
    return pd.DataFrame([dataclasses.asdict(comparison) for comparison in study.comparisons], columns=fields)
