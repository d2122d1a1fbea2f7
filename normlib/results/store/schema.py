"""The schema of a record: its keys, their types and their ranges.

In: the values of a record of format 2, as in JSON, without the checksum. Out: in words, what breaks the schema, or
None. Values that pass can be laid out, averaged, drawn and written. This file changes no value and knows no file.
"""

from __future__ import annotations

import datetime
import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from normlib.results.store.columns import MACHINE, SEED, is_setting
from normlib.results.store.faults import Fault, first_fault
from normlib.results.store.quoting import short

MOST = 2**63 - 1
"""The largest whole number that every part of a report can hold."""
Count = Annotated[int, Meta(ge=0, le=MOST)]
Size = Annotated[int, Meta(ge=1, le=MOST)]
Whole = Annotated[int, Meta(ge=-MOST, le=MOST)]
Number = Whole | float
Amount = Count | Annotated[float, Meta(ge=0)]
Plain = None | bool | Whole | float | str
Listed = Plain | list[Plain | list[Plain]]
Setting = Listed | dict[str, Listed]
"""A user's norm may take lists, and also a mapping if it does not declare its types."""
Moment = Annotated[datetime.datetime, Meta(tz=True)]
Nothing = Annotated[dict[str, None], Meta(max_length=0)]


class Hashes(Struct, forbid_unknown_fields=True):
    """Of a trained run: its start and its batches, one hash per epoch in `batches`. Empty for a function of the user's."""

    trunk: str = ""
    batches: list[str] = []
    schedule: str = ""
    data: str = ""


class Facts(Struct, forbid_unknown_fields=True):
    """Of a metric: the fields of `normlib.tasks.metric.Metric`."""

    name: str
    unit: str
    higher_is_better: bool
    step: Amount
    title: str


Scores = dict[str, Number | None]
"""Of one split: figures by name, and the number of samples. Empty if the split was not evaluated."""


class Metrics(Struct, forbid_unknown_fields=True):
    """Of a trained run: the scores of each split."""

    train: Scores
    validation: Scores
    test: Scores


class TrainCurve(Struct, forbid_unknown_fields=True):
    """The training loss at steps."""

    step: list[Count]
    loss: list[Number | None]


class Curves(Struct, forbid_unknown_fields=True):
    """Both curves of a trained run."""

    train: TrainCurve
    validation: dict[str, list[Number | None]]


class _Shape(Struct, forbid_unknown_fields=True):
    format: Literal[2]
    id: str
    experiment: str
    status: str
    reason: str | None
    traceback: str | None
    command: str
    labels: dict[str, str]
    control: bool
    spec: dict[str, dict[str, Setting] | Listed]
    code: dict[str, str]
    data_version: str
    metric_facts: list[Facts]
    norm_report: dict[str, Number | None]
    planned_steps: Count
    steps: Count
    samples: Count
    seconds_training: Amount | None
    seconds_per_step: Amount | None
    samples_per_second: Amount | None
    peak_memory_bytes: Count | None
    parameters: dict[str, Count]
    state_size: Count
    batch_sizes: dict[str, Count]
    changes: list[str]
    start: dict[str, Setting]
    reinitialized: list[str]
    environment: dict[str, Listed]
    started: Moment
    ended: Moment


class Trained(_Shape, forbid_unknown_fields=True):
    """A record of a run that is done or diverged."""

    hashes: Hashes
    metrics: Metrics
    curves: Curves


class Untrained(_Shape, forbid_unknown_fields=True):
    """A record of a run that failed or was skipped. It has measured nothing."""

    hashes: Nothing
    metrics: Nothing
    curves: Nothing


NAMED = ("norm", "model", "data")
"""Every run has a section of the spec with a name, and a label, for each of these."""


_NAME = re.compile(r"[A-Za-z]\w*")  # as in Metric
COUNTED = ("step", "samples", "seconds")
"""What a validation curve counts besides the metrics. None is below 0, and only seconds have fractions."""


def broken(values: Mapping[str, Any], trained: bool) -> str | None:
    """What breaks the schema: the field, its value, and the rule. None if nothing does."""
    fault = first_fault(values, Trained if trained else Untrained)
    fault = fault or _of_names(tuple(values["labels"]), tuple(values["spec"])) or _of_spec(values["spec"])
    fault = fault or _of_facts(values["metric_facts"])
    if trained and not fault:
        percent = {facts["name"]: facts["unit"] == "%" for facts in values["metric_facts"]}
        fault = (
            _of_hashes(values["hashes"])
            or _of_scores(values["metrics"], percent)
            or _of_curves(values["curves"], percent)
        )
    return fault and f"has {short(fault.value)} at {fault.where}: {fault.rule}"


@functools.lru_cache(maxsize=1024)  # the records of an experiment share them
def _of_names(labels: tuple[str, ...], keys: tuple[str, ...]) -> Fault | None:
    for where, names, taken in (("labels", labels, (SEED, MACHINE)), ("spec", keys, (MACHINE,))):
        for name in names:
            if not name.isidentifier() or not is_setting(name) or name in taken:
                return Fault(
                    where, name, "a label or a key of the spec must be a plain name that no column of results has"
                )
    missing = [name for name in NAMED if name not in labels]
    return Fault("labels", list(labels), f"{missing[0]} must be among them") if missing else None


def _of_spec(spec: Mapping[str, Any]) -> Fault | None:
    for name in NAMED:
        section = spec.get(name)
        if not isinstance(section, dict) or not isinstance(section.get("registered", section.get("name")), str):
            return Fault(f"spec.{name}", section, "it must be a section with a name")
    if type(seed := spec.get(SEED)) is not int:
        return Fault(f"spec.{SEED}", seed, "it must be a whole number")
    return None


def _of_facts(facts: Sequence[Mapping[str, Any]]) -> Fault | None:
    names = [each["name"] for each in facts]
    for name in names:
        if not _NAME.fullmatch(name) or name in COUNTED or names.count(name) > 1:
            rule = f"a metric must have a plain name of its own, other than {', '.join(COUNTED)}"
            return Fault("metric_facts", name, rule)
    return None


def _of_hashes(hashes: Mapping[str, Any]) -> Fault | None:
    missing = [name for name in Hashes.__struct_fields__ if name not in hashes]
    return Fault("hashes", list(hashes), f"{missing[0]} must be among them") if hashes and missing else None


def _of_scores(metrics: Mapping[str, Mapping[str, Any]], percent: Mapping[str, bool]) -> Fault | None:
    """`percent`: by metric, whether its figures are fractions."""
    for split, scores in metrics.items():
        samples = scores.get("samples", 1)
        if type(samples) is not int or samples < 1:
            rule = "it must be the size of the split, a whole number of 1 or more"
            return Fault(f"metrics.{split}.samples", samples, rule)
        for name, value in scores.items():
            if name != "samples" and (fault := _of_figures(f"metrics.{split}.{name}", name, [value], percent)):
                return fault
    return None


def _of_figures(where: str, name: str, figures: Iterable[Any], percent: Mapping[str, bool]) -> Fault | None:
    """Checks one metric: its name can be a column, and figures in % are fractions."""
    if not _NAME.fullmatch(name):
        return Fault(where, name, "a metric must have a plain name")
    for value in figures:
        if percent.get(name) and value is not None and not 0 <= value <= 1:
            return Fault(where, value, "figures of a metric in % must be fractions, 0 to 1")
    return None


def _of_curves(curves: Mapping[str, Mapping[str, list[Any]]], percent: Mapping[str, bool]) -> Fault | None:
    for name, curve in curves.items():
        lengths = {key: len(values) for key, values in curve.items()}
        if len(set(lengths.values())) > 1:
            return Fault(f"curves.{name}", lengths, "the lists of a curve must have equal length")
    validation = curves["validation"]
    for name in COUNTED if validation else ():
        if name not in validation:
            return Fault("curves.validation", list(validation), f"{name} must be among them")
        for value in validation[name]:
            if value is None or value < 0 or (name != "seconds" and type(value) is not int):
                return Fault(f"curves.validation.{name}", value, "it must count up from 0")
    for name, figures in validation.items():
        if name not in COUNTED and (fault := _of_figures(f"curves.validation.{name}", name, figures, percent)):
            return fault
    return None
