"""What a reader must know beside the figures: what was verified, on which machines, and how far the figures reach.

In: a study whose runs `identity.check_paired` has let through. Out: sentences, hashes and environments.
This file refuses nothing and computes no statistic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from normlib.results.store.columns import REINITIALIZED
from normlib.results.store.record import TRAINED
from normlib.results.study.axes import SPLIT_SEED, as_text, splits_follow_seeds
from normlib.results.study.identity import held_against_another
from normlib.results.study.metrics import difference_unit, scale, with_unit
from normlib.results.study.study import Study

HASHES = {
    "trunk": ("the initial parameters of all that is not a norm", "equal in every arm of a seed"),
    "batches": (
        "the samples really fed, in their order and augmentation, epoch by epoch", "equal in every arm of a seed",
    ),
    "schedule": ("the learning rate along the run, divided by its base rate", "equal in every arm"),
    "data": ("the dataset", "equal in every arm"),
}  # fmt: skip
"""What each hash of a record stands for, and what a study that is verified as a whole has shown of it."""
_ENVIRONMENT = "environment."


@dataclass(frozen=True)
class Hash:
    """One of the hashes: what it stands for, in how many runs it agrees with another arm's, how many values it has."""

    name: str
    meaning: str
    runs: int
    different: int


@dataclass(frozen=True)
class Environment:
    """Machines and software: what all runs have in common, and each combination of what differs with its runs."""

    common: Sequence[tuple[str, str]]
    different: Sequence[tuple[Sequence[tuple[str, str]], int]]


def summary(study: Study, everything: Study) -> str:
    """How much was run, in one line; `everything` has the runs of trials and of other views too."""
    conditions = [condition for section in study.conditions.values() for condition in section]
    replicates = set(study.runs["seed"]) if len(study.runs) else set()
    counts = [
        (len(study.runs), "run"), (len(study.places.row_labels), "arm"), (len(conditions), "condition"),
        (len(replicates), "seed"),
    ]  # fmt: skip
    text = ", ".join(f"{number:,} {word}{'' if number == 1 else 's'}" for number, word in counts)
    others = len(everything.runs) - len(study.runs)
    if others > 0:
        text = f"{text}, and " if len(study.runs) else ""
        text += f"{others:,} run{'' if others == 1 else 's'} of trials and other views"
    days = sorted({str(day)[:10] for day in everything.runs["started"]}) if "started" in everything.runs else []
    made = "" if not days else f"; made {days[0]}" if len(days) == 1 else f"; made {days[0]} to {days[-1]}"
    return text + made


def hashes(study: Study) -> list[Hash]:
    """The hashes of the trained runs, as far as the records carry them."""
    trained = study.runs[study.runs["status"].isin(TRAINED)]
    made = []
    for name, (meaning, shown) in HASHES.items():
        column = f"hashes.{name}"
        if column in trained and trained[column].notna().any():
            verified = int(held_against_another(trained, name).sum())
            said = f"{meaning}: {shown}" if study.verified else meaning
            if name == "trunk" and REINITIALIZED in trained and trained[REINITIALIZED].notna().any():
                said += "; before any norm starts some of them anew, which the notes below the tables name"
            made.append(Hash(name, said, verified, trained[column].nunique()))
    return made


def num_trained(study: Study) -> int:
    """How many runs were trained to an end, diverged ones included."""
    return int(study.runs["status"].isin(TRAINED).sum())


def environment(runs: pd.DataFrame) -> Environment:
    """Where the runs were made; skipped runs were made nowhere. The most frequent combination comes first."""
    names = [name for name in runs if name.startswith(_ENVIRONMENT) and runs[name].notna().any()]
    made = runs.loc[runs[names].notna().any(axis=1), names].apply(lambda column: column.map(as_text, na_action=None))
    common = [name for name in names if made[name].nunique() == 1]
    varying = [name for name in names if name not in common]
    counts = made.value_counts(varying, sort=False).reset_index(name="runs") if varying else made[:0].assign(runs=0)
    counts = counts.sort_values(["runs", *varying], ascending=[False, *(True for _ in varying)])
    return Environment(
        [(_named(name), made[name].iloc[0]) for name in common],
        [([(_named(name), row[name]) for name in varying], int(row["runs"])) for row in counts.to_dict("records")],
    )


def _named(column: str) -> str:
    return column.removeprefix(_ENVIRONMENT)


def limits(study: Study) -> list[str]:
    """How far the figures reach: splits, size of the test set, number of replicates."""
    runs, metric = study.runs, study.question.facts
    said = []
    splits = int(runs[SPLIT_SEED].nunique()) if SPLIT_SEED in runs else 0
    if splits_follow_seeds(runs):
        said.append(f"{splits} splits of the data, one for each seed: the intervals include what the split adds.")
    elif splits > 1:
        said.append(
            f"{splits} splits of the data, each in a place of its own: the intervals speak of the seed alone. With "
            "'data.split_seed=${seed}' they would include what the split adds."
        )
    elif study.hashed:
        said.append(
            "One split of the data: the intervals speak of the seed alone (initial values, order of the data), not of "
            "other data or another split."
        )
    samples = sorted({int(size) for size in runs["test.samples"].dropna()}) if "test.samples" in runs else []
    for size in samples:
        step = with_unit(f"{scale(metric) * metric.step / size:.2g}", difference_unit(metric))
        one = f": one of them is {step} of {metric.title}" if metric.step else ""
        said.append(f"The test set has {size:,} samples{one}.")
    counts = [
        int(np.isfinite(condition.array(arm, study.question.value)).sum())
        for conditions in study.conditions.values() for condition in conditions for arm in condition.arms
    ]  # fmt: skip
    present = sorted({count for count in counts if count})
    if present:
        n = str(present[0]) if len(present) == 1 else f"{present[0]} to {present[-1]}"
        said.append(
            f"n = {n} replicates in a cell. Few replicates tell little apart; the paired tables say where they cannot."
        )
    return said
