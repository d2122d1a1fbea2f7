"""The paired table: each arm against one baseline, replicate by replicate, in every condition. Numbers only.

In: a study. Out: `Comparison`s. Where runs share seeds, trunks and batches, the
differences are taken seed by seed; where they cannot, the comparison is of two samples (Welch) and says so.
This file never words a result; see verdicts.py.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from normlib.naming import unknown_name
from normlib.results.stats import (
    outperformance,
    pair_correlation,
    paired_difference,
    sign_flip_p,
    welch_difference,
    welch_p,
)
from normlib.results.study.absence import why_none, why_unpaired
from normlib.results.study.axes import ReportError
from normlib.results.study.comparison import Comparison, judged

if TYPE_CHECKING:
    from normlib.results.study.study import Condition, Study


def paired(study: Study) -> list[Comparison]:
    """Every arm against the baseline in every condition, Holm-corrected within each section.

    Empty where the baseline is no row of the study at all. The caller has seen to it that the runs are what they claim to be
    (`identity.check_paired`).
    """
    question = study.question
    if question.baseline not in study.places.row_labels:
        return []
    found: list[Comparison] = []
    for section, conditions in study.conditions.items():
        arms = [arm for arm in study.arms(section) if arm != question.baseline]
        compared = [
            _compare(study, condition, arm) for condition in conditions for arm in arms if arm in condition.arms
        ]
        found += judged(compared, question)
    return found


def check_baseline(study: Study) -> None:
    """ReportError, with the closest labels, for a baseline that is none of the rows."""
    question, labels = study.question, study.places.row_labels
    if question.baseline not in labels:
        raise ReportError(
            f"baseline={question.baseline}: {unknown_name(f'row ({question.rows})', question.baseline, labels)}"
        )


def _compare(study: Study, condition: Condition, arm: str) -> Comparison:
    """The figures of one comparison, before the correction."""
    question = study.question
    diverged = {label: condition.diverged(label) for label in (arm, question.baseline)}
    made = Comparison(
        condition.section, condition.column, arm, question.baseline, control=arm in study.controls,
        diverged=int(diverged[arm].sum()), baseline_diverged=int(diverged[question.baseline].sum()),
    )  # fmt: skip
    a, b = (condition.array(label, question.value) for label in (arm, question.baseline))
    both = ~np.isnan(a) & ~np.isnan(b)
    n = int(both.sum())
    if not (~np.isnan(a)).any() or not (~np.isnan(b)).any():
        missing = arm if not (~np.isnan(a)).any() else question.baseline
        return dataclasses.replace(made, why_none=f"{missing}: {why_none(condition, missing)}")
    step = condition.resolution(question.value, question.facts)
    unpaired = _why_unpaired(study, condition, arm, n, min((~np.isnan(a)).sum(), (~np.isnan(b)).sum()))
    if unpaired:
        samples = a[~np.isnan(a)], b[~np.isnan(b)]
        return _of_two_samples(made, *samples, unpaired, step)
    interval = paired_difference(a, b, resolution=step)
    share = outperformance(a, b, diverged[arm], diverged[question.baseline], not question.facts.higher_is_better)
    return dataclasses.replace(
        made, n=n, difference=float(interval.mean),
        low=float(interval.mean - interval.half_width), high=float(interval.mean + interval.half_width),
        outperforms=float(share.mean), outperforms_low=float(share.low), outperforms_high=float(share.high),
        wins=int(share.wins), ties=int(share.ties),
        losses=int(share.n - share.wins - share.ties),
        p=sign_flip_p(a - b), correlation=pair_correlation(a, b),
    )  # fmt: skip


def _of_two_samples(
    made: Comparison, a: NDArray[np.float64], b: NDArray[np.float64], why: str, resolution: float
) -> Comparison:
    interval = welch_difference(a, b, resolution=resolution)
    mean, width = float(interval.mean), float(interval.half_width)
    return dataclasses.replace(
        made,
        n=min(len(a), len(b)),
        difference=mean,
        low=mean - width,
        high=mean + width,
        p=welch_p(a, b, resolution),
        unpaired=why,
    )


def _why_unpaired(study: Study, condition: Condition, arm: str, n: int, smaller: int) -> str:
    """Why two arms are not compared seed by seed; empty where they are."""
    if n < 2 and smaller > n:
        return "no two seeds in common" if n else "no seed in common"
    return why_unpaired(study, condition, arm)
