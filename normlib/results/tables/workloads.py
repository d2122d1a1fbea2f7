"""Arms across workloads: interquartile mean, average rank, and the signed-rank test against the baseline.

In: a study whose sections differ in the model, the dataset or the task: each combination of the three is a workload. Out: figures by arm and
condition. Widths, splits, learning rates and whatever else varies are never workloads, since they are no independent draws of
what an arm may meet: each of their values has figures of its own. Controls are left out: a control is another arm once
more, and would take a rank.
This file draws random numbers for the bootstrap, always from the same seed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from normlib.results.stats import (
    average_ranks,
    interquartile_mean,
    replicates_needed,
    stratified_bootstrap,
    wilcoxon_holm,
)
from normlib.results.study.absence import why_none
from normlib.results.study.axes import as_text, section_keys
from normlib.results.study.study import Condition, Study

WORKLOAD = ("model", "data", "task")
"""The labels that make a workload."""
BOOTSTRAP_SEED, BOOTSTRAP_SAMPLES = 0, 500
"""With 500 samples the 2.5 % end of an interval lies between the 1.8 % and the 3.2 % end most of the time; more would take
longer than all else in a report of 10,000 runs."""


@dataclass(frozen=True)
class Summary:
    """One arm in one condition, over workloads, in the unit that the metric is stored in; NaN where there is no figure."""

    group: str
    """What varies beside model, dataset, task, rows and columns, such as "optimizer.lr=0.1"."""
    column: str
    arm: str
    workloads: tuple[str, ...]
    """The workloads of the condition."""
    mean: float = math.nan
    """Interquartile mean over workloads and replicates, with its stratified bootstrap interval."""
    low: float = math.nan
    high: float = math.nan
    rank: float = math.nan
    """Average rank over workloads among the arms that have every workload, 1 is best."""
    ranked: int = 0
    """How many arms that is."""
    p_holm: float = math.nan
    """Signed-rank test against the baseline over workloads, corrected over the arms of the condition."""
    workloads_needed: int = 0
    """With so many workloads the smallest possible p passes the correction; 0 where nothing is compared."""
    why_none: str = ""


def analyse(study: Study) -> tuple[Summary, ...]:
    """Every arm in every condition that has two workloads or more; empty where there is but one workload."""
    return tuple(
        summary
        for group, sections in workloads(study).items()
        for column in study.places.column_labels
        for conditions in [_with_column(study, sections, column)]
        if len(conditions) > 1
        for summary in _of_column(study, group, column, conditions)
    )


def workloads(study: Study) -> dict[str, dict[str, str]]:
    """By what varies beside model, dataset and task: the section of each workload, such as "model=mlp", or "" where none varies."""
    question, places = study.question, study.places
    keys = section_keys(study.runs, question.rows, question.columns)
    found: dict[str, dict[str, str]] = {}
    first = places.section.drop_duplicates()
    for section in places.sections:
        run = study.runs.loc[first.index[first == section][0]]
        labels = {key: f"{key}={as_text(run[key])}" for key in keys}
        workload = ", ".join(label for key, label in labels.items() if key in WORKLOAD)
        group = ", ".join(label for key, label in labels.items() if key not in WORKLOAD)
        found.setdefault(group, {})[workload] = section
    return found


def _with_column(study: Study, sections: Mapping[str, str], column: str) -> dict[str, Condition]:
    """The conditions of one column, by workload."""
    return {
        workload: condition
        for workload, section in sections.items()
        for condition in study.conditions[section]
        if condition.column == column
    }


def _of_column(study: Study, group: str, column: str, conditions: Mapping[str, Condition]) -> list[Summary]:
    present = {arm for condition in conditions.values() for arm in condition.arms}
    arms = [arm for arm in study.places.row_labels if arm in present and arm not in study.controls]
    scores = {
        arm: [condition.array(arm, study.question.on("test")) for condition in conditions.values()] for arm in arms
    }
    missing = {arm: _missing(conditions, arm, scores[arm]) for arm in arms}
    complete = [arm for arm in arms if not missing[arm]]
    means = np.array([[np.nanmean(own) for own in scores[arm]] for arm in complete]).T  # (workloads, arms)
    ranks = average_ranks(means, not study.question.facts.higher_is_better) if complete else np.zeros(0)
    baseline = study.question.baseline
    compared = len(complete) - 1 if baseline in complete else 0
    p = wilcoxon_holm(means, complete.index(baseline)) if compared else np.full(len(complete), math.nan)
    names = tuple(conditions)
    summaries = {
        arm: Summary(
            group, column, arm, names, *_interquartile_mean(scores[arm]), float(rank), len(complete), float(p_arm),
            replicates_needed(compared) if compared and arm != baseline else 0,
        )
        for arm, rank, p_arm in zip(complete, ranks, p, strict=True)
    }  # fmt: skip
    return [summaries.get(arm) or Summary(group, column, arm, names, why_none=missing[arm]) for arm in arms]


def _missing(conditions: Mapping[str, Condition], arm: str, scores: Sequence[NDArray[np.float64]]) -> str:
    """Which workloads an arm lacks, and why; empty where it has all."""
    lacks = (
        f"{why_none(condition, arm)} in {workload}"
        for (workload, condition), own in zip(conditions.items(), scores, strict=True)
        if np.isnan(own).all()
    )
    return ", ".join(lacks)


def _interquartile_mean(scores: Sequence[NDArray[np.float64]]) -> tuple[float, float, float]:
    """Mean, low and high end; workloads may differ in their number of replicates."""
    laid_out = np.full((max(map(len, scores)), len(scores)), math.nan)  # (replicates, workloads)
    for workload, own in enumerate(scores):
        laid_out[: len(own), workload] = own
    if np.isfinite(laid_out).sum(axis=0).max() < 2:  # one replicate a workload shows no spread
        return interquartile_mean(laid_out), math.nan, math.nan
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    return interquartile_mean(laid_out), *stratified_bootstrap(laid_out, interquartile_mean, rng, BOOTSTRAP_SAMPLES)
