"""A record: what one run leaves behind, as one small JSON text with a checksum.

In: the facts of a run. Out: a frozen `Record`, and its JSON text with a checksum over everything else. This file never
touches the disk and never imports torch or pandas. `results/README.md` explains every key.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from normlib.errors import NormlibError
from normlib.notebook import printed_as_html
from normlib.results.store.quoting import printable, short
from normlib.results.store.schema import broken

if TYPE_CHECKING:
    from rich.console import Console

FORMAT = 2
DONE, DIVERGED, FAILED, SKIPPED = STATUSES = ("done", "diverged", "failed", "skipped")
TRAINED = frozenset({DONE, DIVERGED})
"""The statuses of runs that were trained and scored. A diverged run counts with the score of its broken network."""
FACTS = ("status", "spec", "hashes", "metrics")
"""What two records of one run must share. Times and memory may differ."""

_ID = re.compile(r"[0-9a-f]{16}")
_VERSION = re.compile(r"[0-9A-Za-z.+-]{1,40}")
_REPEAT = "the next `compare` sets the file aside and makes the run again"


class RecordError(NormlibError, ValueError):
    """A text is not a sound record. `path` is where it came from, `what` is wrong with it, `fix` is what to do."""

    def __init__(self, what: str, fix: str = _REPEAT, path: Path | None = None) -> None:
        self.what, self.fix, self.path = what, fix, path
        super().__init__(f"{printable(str(path or 'record'))}: {what}; {fix}")


class NewerRecordError(RecordError):
    """A newer normlib wrote the record. It may be sound, so it is not set aside."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Record:
    """One run. If a skipped or failed run has nothing to say, mappings are empty, counts 0 and measurements None.

    `metric_facts` has the fields of `Metric` for each metric of the task, the main one first. `metrics` has, by split,
    the loss, the metrics and the number of samples. They are fractions if the unit is %, and None if not finite. Curves
    are lists of equal length. `control`: the run is the baseline a second time, with the baseline's labels.
    `batch_sizes`: samples of an optimizer `step`, of one `forward` pass, and of a norm's `statistics`. `changes`: in
    words, what was switched off or changed in the network. `start`: what a pretrained start came from. `reinitialized`:
    the trunk's parameters that the norm reinitialized.
    """

    format: int = FORMAT
    id: str
    experiment: str
    status: str
    reason: str | None = None
    traceback: str | None = None
    command: str
    labels: Mapping[str, str]
    spec: Mapping[str, Any]
    code: Mapping[str, str]
    data_version: str
    hashes: Mapping[str, Any] = field(default_factory=dict)
    metric_facts: Sequence[Mapping[str, Any]] = field(default_factory=list)
    metrics: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    norm_report: Mapping[str, float | None] = field(default_factory=dict)
    control: bool = False
    batch_sizes: Mapping[str, int] = field(default_factory=dict)
    changes: Sequence[str] = field(default_factory=list)
    start: Mapping[str, Any] = field(default_factory=dict)
    planned_steps: int = 0
    steps: int = 0
    samples: int = 0
    seconds_training: float | None = None
    seconds_per_step: float | None = None
    samples_per_second: float | None = None
    peak_memory_bytes: int | None = None
    parameters: Mapping[str, int] = field(default_factory=dict)
    state_size: int = 0
    reinitialized: Sequence[str] = field(default_factory=list)
    environment: Mapping[str, Any] = field(default_factory=dict)
    started: str
    ended: str
    curves: Mapping[str, Mapping[str, list[float | None]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what cannot be a run, before it reaches a file."""
        if self.format != FORMAT:
            raise _other_format(self.format, self.environment)
        if self.status not in STATUSES:
            raise RecordError(f"has status {short(self.status)}, which is none of {', '.join(STATUSES)}")
        if not (isinstance(self.id, str) and _ID.fullmatch(self.id)):
            raise RecordError(f"has id {short(self.id)}, which is not 16 hexadecimal digits")

    def render(self, console: Console) -> None:
        """Print the run in a few lines: what it scored, or why it did not."""
        from normlib.results.render.record import show_record

        show_record(console, self)

    def _repr_html_(self) -> str:
        """What `render` prints, as a notebook shows it."""
        return printed_as_html(self.render)

    def __repr__(self) -> str:
        labels = ", ".join(f"{name}={label}" for name, label in self.labels.items())
        return f"<Record {self.id}: {self.status}, {labels}, seed={self.spec.get('seed')}>"

    @property
    def trained(self) -> bool:
        """Whether the run has metrics: it is done or diverged."""
        return self.status in TRAINED

    def differing(self, other: Record) -> list[str]:
        """The `FACTS` that differ, although two records of one run must share them."""
        return [fact for fact in FACTS if getattr(self, fact) != getattr(other, fact)]

    def replaces(self, standing: Record) -> bool:
        """Whether this record may replace `standing`, a record of the same run.

        A failed record is always replaced, and a skipped one by a trained one. Any other is replaced only by the same
        facts under other labels.
        """
        if standing.status == FAILED or (standing.status == SKIPPED and self.trained):
            return True
        relabelled = (self.labels, self.control) != (standing.labels, standing.control)
        return relabelled and not self.differing(standing)

    def to_dict(self) -> dict[str, Any]:
        """The fields as a plain dict, in the order of the file."""
        return {name: getattr(self, name) for name in FIELDS}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Record:
        """The record that `to_dict` came from. Raises RecordError for anything that breaks the schema (schema.py)."""
        if missing := [name for name in FIELDS if name not in values]:
            raise RecordError(f"lacks {', '.join(missing)}")
        if unknown := sorted(set(values) - set(FIELDS)):
            raise RecordError(f"holds {short(unknown)}, unknown in format {FORMAT}")
        record = cls(**values)
        record.check()
        return record

    def check(self) -> None:
        """Raises RecordError for anything that breaks the schema. Runs before writing and after reading."""
        if what := broken(self.to_dict(), self.trained):
            raise RecordError(what)

    def to_json(self) -> str:
        """Readable, compact text: one line per field, or per entry if a field holds mappings. The checksum comes last."""
        values = self.to_dict()
        lines = [f"{json.dumps(key)}: {_written(key, value)}" for key, value in values.items()]
        lines.append(f'"checksum": "{checksum(values)}"')
        return "{\n" + ",\n".join(lines) + "\n}\n"

    @classmethod
    def from_json(cls, text: str | bytes, path: Path | None = None) -> Record:
        """The record in a text. Raises RecordError, which names `path`, what is wrong and what to do."""
        try:
            values = msgspec.json.decode(text)
        except (ValueError, RecursionError) as error:  # also for undecodable bytes and lone surrogates
            raise RecordError(f"is cut short or not JSON ({error})", path=path) from None
        if not isinstance(values, dict):
            raise RecordError(f"holds a {type(values).__name__}, not a record", path=path)
        try:
            if values.get("format") != FORMAT:
                raise _other_format(values.get("format"), values.get("environment"))
            stated = values.pop("checksum", None)
            if stated is None:
                raise RecordError("has no checksum")
            if stated != checksum(values):
                raise RecordError("does not agree with its checksum: it was edited after it was written")
            return cls.from_dict(values)
        except RecordError as error:
            raise type(error)(error.what, error.fix, path) from None


FIELDS: tuple[str, ...] = tuple(f.name for f in dataclasses.fields(Record))


def checksum(values: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON: sorted keys, no spaces, no NaN. So white space may change, but numbers may not."""
    return hashlib.sha256(_json(values, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def finite_or_none(value: float) -> float | None:
    """The number as JSON can hold it: None for NaN and the infinities."""
    return float(value) if math.isfinite(value) else None


def _other_format(came: Any, environment: Any) -> RecordError:
    """The error for a record of another format. A newer format is not the record's fault."""
    rule = f"has format {short(came)}, but this normlib reads format {FORMAT}"
    if type(came) is not int or came < FORMAT:
        fix = "read it with the normlib that wrote it, or delete it to have the run made again"
        return RecordError(rule, fix)
    version = environment.get("normlib") if isinstance(environment, Mapping) else None
    known = isinstance(version, str) and _VERSION.fullmatch(version)
    return NewerRecordError(
        f"was written by a newer normlib{f', {version}' if known else ''}: it {rule}", "upgrade normlib"
    )


def _json(value: Any, **options: Any) -> str:
    try:
        return json.dumps(value, allow_nan=False, **options)
    except RecursionError:
        raise RecordError("is nested deeper than any record") from None
    except ValueError:
        raise RecordError(
            "would hold NaN or an infinity, which JSON cannot write", "pass such numbers through finite_or_none"
        ) from None


def _written(key: str, value: Any) -> str:
    """One field's JSON: on one line, or one line per entry if its entries are mappings."""
    if isinstance(value, Mapping) and any(isinstance(entry, Mapping) for entry in value.values()):
        entries = [f" {json.dumps(name)}: {_json(entry)}" for name, entry in value.items()]
        return "{\n" + ",\n".join(entries) + "\n}"
    return _json(value)
