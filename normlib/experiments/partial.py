"""Settings that only some choices of a config group have, such as norm.num_groups: what a reader must know.

In: the axes and the runs that they make. Out: a sentence for each such setting. Makes no run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from normlib.experiments.multiply import Axes
from normlib.experiments.resolve import LABELLED
from normlib.training.spec import Run

MOST_NAMED = 6
"""Choices in one sentence. A glob may stand for many more."""


def settings_of_some(axes: Axes, runs: Sequence[Run], settings: Mapping[str, Any]) -> list[str]:
    """A note on each requested setting that not every choice of its group has."""
    notes = []
    for key, texts in axes.items():
        group, _, name = key.partition(".")
        if not name or group not in LABELLED or any(group not in run.labels for run in runs):
            continue
        has = {run.labels[group]: name.partition(".")[0] in run.spec[group] for run in runs}
        with_it, without = ([label for label, there in has.items() if there is wanted] for wanted in (True, False))
        if without:
            values = ",".join(text.partition("=")[2] for text in texts)
            has_, is_, stands = ("has", "is", "stands") if len(without) == 1 else ("have", "are", "stand")
            once = f" and {is_} run once" if len(texts) > 1 else ""
            place = f", and {stands} at null in the tables" if key in (settings["rows"], settings["columns"]) else ""
            notes.append(
                f"{key}={values} is a setting of {_named(with_it)}; {_named(without)} {has_} none{once}{place}"
            )
    return notes


def _named(labels: Sequence[str]) -> str:
    """Labels in a sentence, the first few by name."""
    if len(labels) > MOST_NAMED:
        return f"{', '.join(labels[:MOST_NAMED])} and {len(labels) - MOST_NAMED} more"
    return " and ".join(filter(None, (", ".join(labels[:-1]), labels[-1])))
