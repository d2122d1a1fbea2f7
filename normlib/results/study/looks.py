"""Comparisons with looks: what each look decided, and which seeds the next one needs.

In: a study whose runs have the label `looks`. Out: `Comparison`s, each as it was at the look that decided it, or else
at its last look. A look after n seeds reads only the seeds 0 to n - 1. So further records change nothing that was
decided. This file computes no statistic and words no verdict.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from normlib.results.store.columns import LOOKS, SEED
from normlib.results.store.looks import planned_looks
from normlib.results.store.record import TRAINED
from normlib.results.study.comparison import Comparison, judged_at_look

if TYPE_CHECKING:
    from normlib.results.study.study import Condition, Study

PLANNED = "planned"
"""The status of a run without a record, in a frame that lists the runs to make."""

Compare = Callable[["Condition", str], Comparison]
"""Compares an arm with the baseline in a condition. Returns the figures before the correction."""


@dataclass(frozen=True)
class Looked:
    """The comparisons of one section after all looks that its runs allow.

    `open`: those that more seeds may still decide, never the control or an arm without figures. `seeds`: the number of
    seeds that their next look needs, or 0 if there is none.
    """

    comparisons: tuple[Comparison, ...]
    open: tuple[Comparison, ...] = ()
    seeds: int = 0

    def seeds_needed(self, study: Study, condition: Condition) -> dict[str, int]:
        """By arm of a condition, how many seeds it needs.

        The baseline and the control need as many as the arm that needs most. An arm that cannot be compared needs only
        the seeds of the first look. If it is skipped, it is skipped at every seed.
        """
        first = study.looks[0]
        still = {each.arm for each in self.open if each.column == condition.column}
        needed = {
            each.arm: self.seeds if each.arm in still else first if each.why_none else max(each.seeds, first)
            for each in self.comparisons
            if each.column == condition.column and each.arm not in study.controls
        }
        most = max(needed.values(), default=first)
        return {arm: needed.get(arm, most) for arm in condition.arms}


def look(study: Study, section: str, compare: Compare, together: bool = False) -> Looked:
    """Take the looks of one section in turn. The corrections are over all comparisons of the section.

    `together`: a look waits until every open comparison has its seeds, as in a sweep. Otherwise each comparison goes as
    far as its own runs do.
    """
    baseline = study.question.baseline
    pairs = {
        (condition.column, arm): condition
        for condition in study.conditions[section]
        for arm in condition.arms
        if arm != baseline
    }
    there = {key: _seeds_there(condition, key[1], baseline) for key, condition in pairs.items()}
    made = {key: _without_look(study, condition, key[1], compare) for key, condition in pairs.items()}
    seeds = 0
    for number, seeds in enumerate(study.looks, 1):
        ready = {key for key, each in made.items() if not each.decided and there[key] >= seeds}
        waiting = any(key not in ready and _is_open(each) for key, each in made.items())
        if not ready or (together and waiting):
            break
        for key in ready:
            found = compare(pairs[key].first(seeds), key[1])
            made[key] = dataclasses.replace(found, looks=number, looks_planned=len(study.looks), seeds=seeds)
        made = judged_at_look(made, study.question)
    else:
        seeds = 0
    open_ = tuple(each for each in made.values() if _is_open(each)) if seeds else ()
    return Looked(tuple(made.values()), open_, seeds if open_ else 0)


def _is_open(comparison: Comparison) -> bool:
    """Whether more seeds may decide a comparison. Not that of a control, and not one without a baseline.

    If a run diverged without a figure, no more seeds can decide: the mean of the others says nothing.
    """
    if comparison.decided or comparison.control:
        return False
    return not comparison.why_none and comparison.all_have_figures if comparison.looks else comparison.looks_planned > 0


def _without_look(study: Study, condition: Condition, arm: str, compare: Compare) -> Comparison:
    """A comparison before its first look. It has no figure, so nobody can take it for a result."""
    baseline, first = study.question.baseline, study.looks[0]
    if baseline not in condition.arms:
        return compare(condition, arm)
    early = condition.first(first)
    runs = {label: len(early.positions.get(label, ())) for label in (arm, baseline)}
    fewer = min(runs, key=lambda label: runs[label])
    return Comparison(
        condition.section, condition.column, arm, baseline, control=arm in study.controls,
        why_none=f"{fewer}: {runs[fewer]} of the {first} seeds of the first look", looks_planned=len(study.looks),
    )  # fmt: skip


def _seeds_there(condition: Condition, arm: str, baseline: str) -> int:
    """How many of the seeds 0, 1, 2, … both arms have a run for, of any status, before the first gap."""
    seeds = pd.to_numeric(condition.runs[SEED]).to_numpy()
    known = condition.runs["status"].to_numpy() != PLANNED
    arms = [condition.positions[label] for label in (arm, baseline) if label in condition.positions]
    common = set.intersection(*({int(seed) for seed in seeds[rows][known[rows]]} for rows in arms))
    return next(number for number in range(len(common) + 1) if number not in common) if len(arms) > 1 else 0


def summary(comparisons: Sequence[Comparison]) -> str:
    """How many looks were taken, and what is open: "5 of 9 looks taken; 3 of 25 comparisons undecided after 40 seeds"."""
    arms = [each for each in comparisons if each.looks_planned and not each.control]
    if not arms:
        return ""
    compared = [each for each in arms if not (each.looks and each.why_none)]
    undecided = sum(not each.decided for each in compared)
    words = "1 comparison" if len(compared) == 1 else f"{len(compared)} comparisons"
    seeds = max(each.seeds for each in arms)
    left = f"{undecided} of {words} undecided after" if undecided else f"{words} decided within"
    return f"{max(each.looks for each in arms)} of {arms[0].looks_planned} looks taken; {left} {seeds} seeds"


def mixed(study: Study) -> str:
    """What a reader must know if not all runs were made for the same looks. "" if they were."""
    if not study.looks:
        return ""
    trained = study.runs[study.runs["status"].isin(TRAINED)]
    own = [planned_looks([label]) for label in trained[LOOKS]]
    fixed, others = own.count(()), sum(planned not in ((), study.looks) for planned in own)
    parts = [f"{fixed} with a number of seeds fixed ahead"] if fixed else []
    parts += [f"{others} for other looks"] if others else []
    if not parts:
        return ""
    return f"Some runs were made otherwise ({', '.join(parts)}); all are judged by the looks, and nothing by more seeds than a look has."
