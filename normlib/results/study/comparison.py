"""One comparison of an arm with the baseline: its figures and its verdict.

In: figures. Out: `Comparison`s with corrected p values and verdicts. This file measures nothing and words nothing; see
pairing.py and wording.py.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from normlib.results.stats import holm, replicates_needed, smallest_sign_flip_p
from normlib.results.study.question import Question

SIGNIFICANCE = 0.05
"""The level of a whole table, after Holm's correction."""
BETTER, WORSE, EQUAL, UNKNOWN, TOO_FEW, NONE = "better", "worse", "equal", "unknown", "too few", "none"


@dataclass(frozen=True)
class Comparison:
    """One arm against the baseline in one condition. Differences are arm minus baseline, as the value is stored.

    `n` counts the replicates that both have (of two unpaired samples: the smaller one). `p` is the exact two-sided
    sign-flip p of the mean difference (of two samples: Welch's). `p_holm` is corrected over the comparisons of its
    section. `outperforms` is the share of pairs that the arm wins, with ties as half. Missing figures are NaN.
    """

    section: str
    column: str
    arm: str
    baseline: str
    n: int = 0
    difference: float = math.nan
    low: float = math.nan
    high: float = math.nan
    outperforms: float = math.nan
    outperforms_low: float = math.nan
    outperforms_high: float = math.nan
    wins: int = 0
    ties: int = 0
    losses: int = 0
    """Pairs that the arm lost. A run that diverged loses even without a figure."""
    p: float = math.nan
    p_holm: float = math.nan
    n_needed: int = 0
    """The number of replicates at which the smallest possible p passes the correction."""
    correlation: float = math.nan
    unpaired: str = ""
    """Why the two are compared as unpaired samples. Empty if they are paired."""
    diverged: int = 0
    """Runs of the arm that diverged."""
    baseline_diverged: int = 0
    verdict: str = NONE
    """better, worse, equal (the interval is inside the rope), unknown, too few (replicates to show anything), none."""
    control: bool = False
    """Whether the arm is the control: the baseline a second time."""
    why_none: str = ""
    """Why there is no comparison: all runs failed, skipped, no baseline here."""
    looks: int = 0
    """The looks taken, if the number of seeds was not fixed ahead. Interval and p then hold over all of them."""
    looks_planned: int = 0
    """The largest possible number of looks. 0 if the number of seeds was fixed ahead."""
    seeds: int = 0
    """The number of seeds at the last look taken. `n` of them have figures."""
    p_equal: float = math.nan
    """With looks: the p of a difference beyond the rope, before the correction. Small if arms are equal in practice."""

    @property
    def decided(self) -> bool:
        """Whether the verdict is better, worse or equal."""
        return self.verdict in (BETTER, WORSE, EQUAL)

    @property
    def all_have_figures(self) -> bool:
        """Whether no pair was lost by a diverged run without a figure, so the mean describes all pairs."""
        return bool(self.unpaired) or self.wins + self.ties + self.losses == self.n

    @property
    def half_width(self) -> float:
        """Half the width of the interval, or NaN without one."""
        return (self.high - self.low) / 2

    @property
    def within(self) -> float:
        """The larger end of the interval in absolute value: the difference is at most this, either way."""
        return max(abs(self.low), abs(self.high))


def judged(compared: Sequence[Comparison], question: Question) -> list[Comparison]:
    """The comparisons of one section with corrected p values and verdicts."""
    corrected = holm([comparison.p for comparison in compared])
    family = int(sum(comparison.p == comparison.p for comparison in compared))
    made = [
        dataclasses.replace(comparison, p_holm=float(p), n_needed=replicates_needed(max(family, 1)))
        for comparison, p in zip(compared, corrected, strict=True)
    ]
    return [dataclasses.replace(each, verdict=_verdict(each, question, made)) for each in made]


def judged_at_look(
    section: Mapping[tuple[str, str], Comparison], question: Question
) -> dict[tuple[str, str], Comparison]:
    """The comparisons of one section after a look. Those that were already decided stay as they were.

    A comparison that waits for its first look counts in the corrections with a p of 1. The p of a look never grows at a
    later one, so nothing that was decided becomes undecided later.
    """
    waiting = {key: each.looks_planned > 0 and not each.looks for key, each in section.items()}
    corrected = holm([1.0 if waiting[key] else each.p for key, each in section.items()])
    region = bool(question.region)
    equal = holm([1.0 if waiting[key] and region else each.p_equal for key, each in section.items()])
    made = dict(section)
    for (key, each), p, p_equal in zip(section.items(), corrected, equal, strict=True):
        if each.looks and not each.decided:
            now = dataclasses.replace(each, p_holm=float(p))
            made[key] = dataclasses.replace(now, verdict=_verdict_at_look(now, question, float(p_equal)))
    return made


def attainable(n: int, family: Sequence[tuple[float, float]]) -> bool:
    """Whether n replicates could show a difference at all, among comparisons with these (p, corrected p).

    The comparison itself is one of them. Holm's method corrects it less, the more others have passed with a smaller p.
    """
    smallest = smallest_sign_flip_p(n)
    passed = sum(p <= smallest and p_holm <= SIGNIFICANCE for p, p_holm in family)
    return smallest * max(len(family) - passed, 1) <= SIGNIFICANCE


def _verdict(comparison: Comparison, question: Question, family: Sequence[Comparison]) -> str:
    """The verdict that the figures allow. For a difference, the corrected p, the interval and the wins have to agree.

    If a run diverged, the arms are never equal, and never better or worse by the mean of the other runs.
    """
    if comparison.why_none:
        return NONE
    if claim := _claim(comparison, question):
        return claim
    if _within_rope(comparison, question):
        return EQUAL
    others = [(each.p, each.p_holm) for each in family if each.p == each.p]
    no_interval = comparison.low != comparison.low
    if no_interval or (not comparison.unpaired and not attainable(comparison.n, others)):
        return TOO_FEW
    return UNKNOWN


def _verdict_at_look(comparison: Comparison, question: Question, p_equal: float) -> str:
    """The same at a look, with figures that hold over all looks. Equal needs a corrected p as well; too few cannot occur."""
    if comparison.why_none:
        return NONE
    if claim := _claim(comparison, question):
        return claim
    return EQUAL if p_equal <= SIGNIFICANCE and _within_rope(comparison, question) else UNKNOWN


def _claim(comparison: Comparison, question: Question) -> str:
    """Better or worse if p and interval say so, and unknown if the wins contradict them. "" if they say nothing."""
    if not (comparison.p_holm <= SIGNIFICANCE and (comparison.low > 0 or comparison.high < 0)):
        return ""
    better = (comparison.difference > 0) == question.facts.higher_is_better
    contradicted = comparison.outperforms < 0.5 if better else comparison.outperforms > 0.5
    if contradicted or not comparison.all_have_figures:
        return UNKNOWN
    return BETTER if better else WORSE


def _within_rope(comparison: Comparison, question: Question) -> bool:
    """Whether the whole interval is inside the rope and no run diverged."""
    none_diverged = not (comparison.diverged or comparison.baseline_diverged)
    return none_diverged and question.counts_as_equal(comparison.within)
