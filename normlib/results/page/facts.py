"""What a reader must know beside the figures: how to read them, what was verified, on which machines, and how far they reach.

In: a study whose runs `identity.check_paired` has let through. Out: sentences, hashes and environments.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from normlib.results.plots.description import words
from normlib.results.store.columns import ARM, REINITIALIZED
from normlib.results.store.record import TRAINED
from normlib.results.study.axes import SPLIT_SEED, as_text, splits_follow_seeds
from normlib.results.study.comparison import BETTER, EQUAL, NONE, TOO_FEW, UNKNOWN, WORSE
from normlib.results.study.identity import held_against_another
from normlib.results.study.metrics import difference_unit, direction, scale, with_unit
from normlib.results.study.study import Study

HASHES = {
    "trunk": ("The starting parameters of everything that is not a norm", "They are equal in every arm of a seed."),
    "batches": (
        "The samples that were really fed, in their order and with their augmentation, epoch by epoch",
        "They are equal in every arm of a seed.",
    ),
    "schedule": ("The learning rate along the run, divided by its base rate", "It is equal in every arm."),
    "data": ("The dataset", "It is equal in every arm."),
}  # fmt: skip
"""What each hash of a record stands for, and what holds of it in a study that is verified as a whole."""
VERDICT_WORDS = {
    BETTER: "better", WORSE: "worse", EQUAL: "equal in practice", UNKNOWN: "no clear difference", TOO_FEW: "too few seeds",
    NONE: "not compared",
}  # fmt: skip
_ENVIRONMENT = "environment."


def summary(study: Study, everything: Study) -> str:
    """How much was run, in one line. `everything` has the runs of trials and of other views too."""
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


def tally(study: Study) -> str:
    """How many comparisons ended in which verdict, controls left out; "" where nothing is compared."""
    verdicts = [each.verdict for each in study.comparisons if not each.control]
    counts = [(verdicts.count(verdict), words) for verdict, words in VERDICT_WORDS.items()]
    if not verdicts:
        return ""
    number = f"{len(verdicts):,} comparison{'' if len(verdicts) == 1 else 's'}"
    return f"{number} with {study.question.baseline}: {', '.join(f'{n} {words}' for n, words in counts if n)}."


def without_headline(study: Study) -> str:
    """What the verdict is where no arm differs clearly."""
    if all(each.verdict in (TOO_FEW, NONE) for each in study.comparisons):
        return "There are too few seeds for a verdict."
    return f"No arm differs clearly from {study.question.baseline}."


def reading(study: Study) -> list[str]:
    """How to read the verdict and the first figure, for somebody who sees such a page for the first time."""
    question, metric = study.question, study.question.facts
    if not len(study.runs):
        return []
    one, sections = words(question.rows), study.places.sections
    said = [
        (f"Each arm is one {one}." if question.rows == ARM else f"Each arm is one value of {one}.")
        + (" Everything else about the networks is the same." if study.hashed and study.verified else ""),
        f"A condition is one {words(question.columns)}{f' in one section, such as {sections[0]}' if len(sections) > 1 else ''}.",
    ]
    if study.comparisons:
        better = f"{direction(metric)[:1].upper()}{direction(metric)[1:]} {metric.title} is better."
        equal = "" if question.region is None else (
            f" Within {question.region_words} (the rope) two arms count as equal in practice."
        )  # fmt: skip
        said += [
            f"The baseline is {question.baseline}: every other arm is compared with it, seed by seed. {better}",
            f"The range behind a difference is its 95 % interval. A small p value means that chance alone would hardly do this.{equal}",
        ]
    return said


def hashes(study: Study) -> list[tuple[str, str]]:
    """By name, what each hash of the trained runs stands for, and in how many runs it agrees with another arm's."""
    trained = study.runs[study.runs["status"].isin(TRAINED)]
    made = []
    for name, (meaning, shown) in HASHES.items():
        column = f"hashes.{name}"
        if column in trained and trained[column].notna().any():
            equal, values = int(held_against_another(trained, name).sum()), trained[column].nunique()
            said = f"{meaning}. {shown}" if study.verified else f"{meaning}."
            if name == "trunk" and REINITIALIZED in trained and trained[REINITIALIZED].notna().any():
                said += " Some norms reinitialize a few of them after that. The notes of the tables name these."
            said += (
                f" {equal:,} of {len(trained):,} trained runs were compared with another arm’s and found equal; there "
            )
            made.append(
                (name, f"{said}{'is' if values == 1 else 'are'} {values:,} distinct value{'' if values == 1 else 's'}.")
            )
    return made


def environment(runs: pd.DataFrame) -> tuple[list[tuple[str, str]], list[str]]:
    """Machines and software: what all runs have in common, and a line for each combination of what differs, the most frequent
    first. Skipped runs were made nowhere."""
    names = [name for name in runs if name.startswith(_ENVIRONMENT) and runs[name].notna().any()]
    made = runs.loc[runs[names].notna().any(axis=1), names].apply(lambda column: column.map(as_text, na_action=None))
    made = made.rename(columns=lambda name: name.removeprefix(_ENVIRONMENT))
    varying = [name for name in made if made[name].nunique() != 1]
    counts = made.value_counts(varying, sort=False).reset_index(name="runs") if varying else made[:0].assign(runs=0)
    counts = counts.sort_values(["runs", *varying], ascending=[False, *(True for _ in varying)])
    return [(name, made[name].iloc[0]) for name in made if name not in varying], [
        f"{row['runs']:,} run{'' if row['runs'] == 1 else 's'}: {', '.join(f'{name} {row[name]}' for name in varying)}"
        for row in counts.to_dict("records")
    ]


def limits(study: Study) -> list[str]:
    """How far the figures reach: splits, size of the test set, number of replicates."""
    runs, metric = study.runs, study.question.facts
    said = []
    splits = int(runs[SPLIT_SEED].nunique()) if SPLIT_SEED in runs else 0
    if splits_follow_seeds(runs):
        said.append(f"{splits} splits of the data, one for each seed: the intervals include what the split adds.")
    elif splits > 1:
        said.append(
            f"{splits} splits of the data, each compared on its own: the intervals cover the seed alone. With "
            "'data.split_seed=${seed}' they would include what the split adds."
        )
    elif study.hashed:
        said.append(
            "One split of the data: the intervals cover the seed alone (starting values, order of the data), not other data or "
            "another split."
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
            f"n = {n} replicates in a cell. Few replicates show only large differences; the paired tables say where they cannot."
        )
    return said
