"""A timing: what one measurement leaves behind, as a small JSON text with a checksum over everything else.

It has a type of its own beside the record of a run: a run is one arm trained once, with a spec, hashes and metrics, and is
never made again; a timing has none of these, holds several contenders of one moment, and is replaced by the next one.
This file never touches the disk and never imports torch.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from normlib.results.store.faults import first_fault
from normlib.results.store.quoting import short
from normlib.results.store.record import NewerRecordError, RecordError, checksum
from normlib.results.store.schema import Amount, Count, Moment, Setting, Size, Whole

FORMAT = 2
_REPEAT = "`normlib bench` makes it again"
OURS, TORCH, COMPILED = "normlib", "torch.nn", "compiled"
LEAST_BLOCKS = 2
"""An interval over blocks needs so many."""
Rounds = Annotated[list[Annotated[float, Meta(gt=0)]], Meta(min_length=1)]
Seconds = Annotated[list[Rounds], Meta(min_length=LEAST_BLOCKS)]


class OlderTimingError(RecordError):
    """An intact timing of an older format."""


class _Shape(Struct, forbid_unknown_fields=True):
    format: Literal[2]
    norm: str
    settings: dict[str, Setting]
    passes: Literal["forward", "forward_backward"]
    shape: str
    layout: str
    dtype: str
    device: str
    threads: Count
    channel_dim: Whole
    inputs: Literal["normal", "shifted", "pixels"]
    cache: Literal["warm", "cold"]
    copies: Size
    cache_bytes: Count | None
    allowed: dict[str, Amount]
    what: dict[str, str]
    seconds: dict[str, Seconds]
    left_out: dict[str, str]
    memory_bytes: dict[str, Count]
    memory_means: str
    environment: dict[str, Setting]
    command: str
    started: Moment


@dataclass(frozen=True, kw_only=True)
class Timing:
    """One norm at one input, timed in turns with its contenders.

    `seconds`: by contender, seconds per step in every round of every block. `inputs`: what the values of the input are; `copies`
    of it lie in a ring of which each call takes the next, one where the `cache` is warm; where it is cold, `cache_bytes` is the
    size of the last-level cache, and the ring is at least twice as large. `what`: by contender, which layer it is. `left_out`: by
    contender, why it was not timed. `memory_bytes`: by contender, in the meaning of `memory_means`; empty where only the forward
    pass is timed. `allowed`: by contender, the largest ratio to it that counts as no slower. `shape` as it was asked for.
    """

    format: int = FORMAT
    norm: str
    settings: Mapping[str, Any]
    passes: str
    shape: str
    layout: str
    dtype: str
    device: str
    threads: int
    channel_dim: int
    inputs: str
    cache: str
    copies: int
    cache_bytes: int | None
    allowed: Mapping[str, float]
    what: Mapping[str, str]
    seconds: Mapping[str, list[list[float]]]
    left_out: Mapping[str, str] = field(default_factory=dict)
    memory_bytes: Mapping[str, int] = field(default_factory=dict)
    memory_means: str = ""
    environment: Mapping[str, Any] = field(default_factory=dict)
    command: str
    started: str

    @property
    def id(self) -> str:
        """What names the file: a hash of what was measured, not of what came out."""
        asked = (
            self.norm,
            self.passes,
            self.shape,
            self.layout,
            self.dtype,
            self.device,
            self.threads,
            self.inputs,
            self.cache,
        )
        return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]

    @property
    def blocks(self) -> int:
        return len(self.seconds[OURS])

    @property
    def rounds(self) -> int:
        """The rounds of a block."""
        return len(self.seconds[OURS][0])

    def to_json(self) -> str:
        """A line a field, the checksum last."""
        values = dataclasses.asdict(self)
        lines = [f"{json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in values.items()]
        return "{\n" + ",\n".join([*lines, f'"checksum": "{checksum(values)}"']) + "\n}\n"

    @classmethod
    def from_json(cls, text: str | bytes, path: Path | None = None) -> Timing:
        """The timing in a text. RecordError names `path`, what is wrong and what to do."""
        try:
            values = msgspec.json.decode(text)
        except (ValueError, RecursionError) as error:
            raise RecordError(f"is cut short or not JSON ({error})", _REPEAT, path) from None
        if not isinstance(values, dict) or type(came := values.get("format")) is not int or came < 1:
            raise RecordError(f"is no timing of format {FORMAT}", _REPEAT, path)
        if came > FORMAT:
            raise NewerRecordError(
                f"was written by a newer normlib: it has format {short(came)}", "upgrade normlib", path
            )
        stated = values.pop("checksum", None)
        try:
            agrees = stated == checksum(values)
        except RecordError as error:
            raise RecordError(error.what, _REPEAT, path) from None
        if not agrees:
            raise RecordError("does not agree with its checksum: it was edited after it was written", _REPEAT, path)
        if came < FORMAT:
            raise OlderTimingError(
                f"has format {came}, whose rounds were not in blocks, and this normlib reads format {FORMAT}",
                _REPEAT,
                path,
            )
        if fault := first_fault(values, _Shape):
            raise RecordError(f"has {short(fault.value)} at {fault.where}: {fault.rule}", _REPEAT, path)
        blocks = {len(each) for each in values["seconds"].values()}
        rounds = {len(each) for contender in values["seconds"].values() for each in contender}
        if OURS not in values["seconds"] or len(blocks) > 1 or len(rounds) > 1:
            raise RecordError(
                f"has to have seconds of {OURS}, and of every contender in the same blocks and rounds", _REPEAT, path
            )
        return cls(**values)
