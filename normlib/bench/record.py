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
from typing import Any

from normlib.results.record import RecordError, checksum

FORMAT = 1
_REPEAT = "`normlib bench` makes it again"
OURS, TORCH = "normlib", "torch.nn"


@dataclass(frozen=True, kw_only=True)
class Timing:
    """One norm at one input, timed in turns with its contenders.

    `seconds`: by contender, seconds per step in every round. `what`: by contender, which layer it is. `left_out`: by
    contender, why it was not timed. `memory_bytes`: by contender, in the meaning of `memory_means`; empty where only the forward
    pass is timed. `allowed`: the largest ratio to torch.nn's layer that counts as no slower. `shape` as it was asked for.
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
    rounds: int
    allowed: float
    what: Mapping[str, str]
    seconds: Mapping[str, list[float]]
    left_out: Mapping[str, str] = field(default_factory=dict)
    memory_bytes: Mapping[str, int] = field(default_factory=dict)
    memory_means: str = ""
    environment: Mapping[str, Any] = field(default_factory=dict)
    command: str
    started: str

    @property
    def id(self) -> str:
        """What names the file: a hash of what was measured, not of what came out."""
        asked = (self.norm, self.passes, self.shape, self.layout, self.dtype, self.device, self.threads)
        return hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]

    def to_json(self) -> str:
        """A line a field, the checksum last."""
        values = dataclasses.asdict(self)
        lines = [f"{json.dumps(key)}: {json.dumps(value, allow_nan=False)}" for key, value in values.items()]
        return "{\n" + ",\n".join([*lines, f'"checksum": "{checksum(values)}"']) + "\n}\n"

    @classmethod
    def from_json(cls, text: str | bytes, path: Path | None = None) -> Timing:
        """The timing in a text. RecordError names `path`, what is wrong and what to do."""
        try:
            values = json.loads(text)
        except ValueError as error:
            raise RecordError(f"is cut short or not JSON ({error})", _REPEAT, path) from None
        names = {field.name for field in dataclasses.fields(cls)}
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            raise RecordError(f"is no timing of format {FORMAT}", _REPEAT, path)
        stated = values.pop("checksum", None)
        if stated != checksum(values):
            raise RecordError("does not agree with its checksum: it was edited after it was written", _REPEAT, path)
        if set(values) != names:
            raise RecordError(f"lacks or has too many of {', '.join(sorted(names ^ set(values)))}", _REPEAT, path)
        return cls(**values)
