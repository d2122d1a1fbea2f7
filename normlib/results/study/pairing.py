"""Compares each arm with the baseline, replicate by replicate, in every condition. Numbers only.

In: a study. Out: `Comparison`s. If runs share seeds, trunks and batches, differences are taken seed by seed. If not,
the comparison is of two unpaired samples (Welch), and says so. This file words no result; see wording.py.
"""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from normlib.naming import unknown_name
from normlib.results.stats import (
    LEVEL,
    outperformance,
    pair_correlation,
    paired_difference,
    sign_flip_p,
    welch_difference,
    welch_equal_p,
    welch_p,
)
from normlib.results.stats.sequential import look_at
from normlib.results.study.absence import why_none, why_unpaired
from normlib.results.study.axes import ReportError
from normlib.results.study.comparison import Comparison, judged
from normlib.results.study.looks import Looked, look

if TYPE_CHECKING:
    from normlib.results.study.study import Condition, Study


def paired(study: Study) -> list[Comparison]:
    """Every arm against the baseline in every condition, Holm-corrected within each section.

    Empty if the baseline is not a row of the study. The caller has already called `identity.check_paired`.
    """
    question = study.question
    if question.baseline not in study.places.row_labels:
        return []
    found: list[Comparison] = []
    for section, conditions in study.conditions.items():
        if study.looks:
            found += looked_at(study, section).comparisons
            continue
        arms = [arm for arm in study.arms(section) if arm != question.baseline]
        compared = [
            _compare(study, condition, arm) for condition in conditions for arm in arms if arm in condition.arms
        ]
        found += judged(compared, question)
    return found


def looked_at(study: Study, section: str, together: bool = False) -> Looked:
    """The comparisons of a section with looks. `together` is as in `looks.look`."""
    return look(study, section, lambda condition, arm: _compare(study, condition, arm), together)


def check_baseline(study: Study) -> None:
    """Raises ReportError, with the closest labels, if the baseline is not one of the rows."""
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
        return _of_two_samples(made, *samples, unpaired, step, question.region, len(study.looks))
    if study.looks:
        looked = look_at(a - b, study.looks, step, question.region or None)
        low, high, p, p_equal = looked.low, looked.high, looked.p, looked.p_equal
        if low != low:
            return dataclasses.replace(made, n=n, why_none=f"{arm}: too few seeds with figures, {n}")
    else:
        interval = paired_difference(a, b, resolution=step)
        mean, width = float(interval.mean), float(interval.half_width)
        low, high, p, p_equal = mean - width, mean + width, sign_flip_p(a - b), math.nan
    share = outperformance(a, b, diverged[arm], diverged[question.baseline], not question.facts.higher_is_better)
    return dataclasses.replace(
        made, n=n, difference=float((a - b)[both].mean()), low=low, high=high,
        outperforms=float(share.mean), outperforms_low=float(share.low), outperforms_high=float(share.high),
        wins=int(share.wins), ties=int(share.ties),
        losses=int(share.n - share.wins - share.ties),
        p=p, p_equal=p_equal, correlation=pair_correlation(a, b),
    )  # fmt: skip


def _of_two_samples(
    made: Comparison,
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    why: str,
    resolution: float,
    region: float | None,
    looks: int,
) -> Comparison:
    """The same for two unpaired samples. With `looks`, each look that may be taken has an equal share of the error."""
    shares = max(looks, 1)
    interval = welch_difference(a, b, 1 - (1 - LEVEL) / shares, resolution)
    mean, width = float(interval.mean), float(interval.half_width)
    n = min(len(a), len(b))
    if looks and width != width:
        return dataclasses.replace(made, n=n, why_none=f"{made.arm}: too few seeds with figures, {n}")
    p_equal = welch_equal_p(a, b, region, resolution) if looks and region is not None else math.nan
    return dataclasses.replace(
        made,
        n=n,
        difference=mean,
        low=mean - width,
        high=mean + width,
        p=min(shares * welch_p(a, b, resolution), 1.0) if looks else welch_p(a, b, resolution),
        p_equal=min(shares * p_equal, 1.0) if p_equal == p_equal else p_equal,
        unpaired=why,
    )


def _why_unpaired(study: Study, condition: Condition, arm: str, n: int, smaller: int) -> str:
    """Why two arms are not compared seed by seed. Empty if they are."""
    if n < 2 and smaller > n:
        return "no two seeds in common" if n else "no seed in common"
    return why_unpaired(study, condition, arm)
