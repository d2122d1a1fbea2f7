"""Promise 1, enforced where rows are compared: what claims to be paired and is not is refused.

In: records. Out: nothing, or an IdentityError that names the replicate, the condition, the two arms and the hash.
Runs are paired when their specs agree in everything but the norm, the seed included. Paired runs must have started from
the same trunk, on the same data, with the same shape of learning-rate schedule, and must have been fed the same batches
in every epoch that both went through (a diverged run stopped early). This file never changes or drops a run.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from normlib.results.frame import SEED
from normlib.results.record import Record

MEANING = {
    "trunk": "the initial parameters of the trunk",
    "batches": "the batches fed",
    "schedule": "the shape of the learning-rate schedule",
    "data": "the dataset",
}


class IdentityError(ValueError):
    """Runs that claim to be paired and are not."""


def check_paired(records: Iterable[Record]) -> None:
    """Refuse records whose specs agree in all but the norm and whose hashes do not; only trained runs have any."""
    trained = [record for record in records if record.trained]
    pairs: dict[str, list[Record]] = {}
    for record in trained:
        outside_norm = {key: value for key, value in record.spec.items() if key != "norm"}
        pairs.setdefault(json.dumps(outside_norm, sort_keys=True), []).append(record)
    for paired in pairs.values():
        # The run that saw the most epochs holds the prefix of every other one.
        first, *others = sorted(paired, key=lambda record: -len(record.hashes.get("batches", ())))
        for other in others:
            for name in MEANING:
                difference = _difference(name, first, other)
                if difference is not None:
                    raise IdentityError(_message(name, difference, first, other, trained))


def _difference(name: str, first: Record, other: Record) -> str | None:
    """How two records differ in one hash, in words; None if they do not, on the epochs that both went through."""
    ours, theirs = first.hashes.get(name), other.hashes.get(name)
    if name != "batches":
        return None if ours == theirs else f"{ours} and {theirs}"
    for epoch, (one, two) in enumerate(zip(ours or (), theirs or (), strict=False)):
        if one != two:
            return f"{one} and {two} in epoch {epoch}"
    return None


def _message(name: str, difference: str, first: Record, other: Record, trained: list[Record]) -> str:
    condition = ", ".join(_condition(first, trained))
    codes = [kind for kind in ("model", "data", "training") if first.code.get(kind) != other.code.get(kind)]
    if codes:
        cause = f"they were made by different versions of the {' and '.join(codes)} code: run `compare` again"
    else:
        cause = f"a norm or a model shifts what must not depend on the norm (runs {first.id} and {other.id})"
    return (
        f"runs that are compared must differ in nothing but the norm; in replicate {SEED}={first.spec.get(SEED)}, "
        f"{condition}, the arms {first.labels.get('norm')} and {other.labels.get('norm')} differ in the hash "
        f"{name!r} ({MEANING[name]}): {difference}; {cause}"
    )


def _condition(record: Record, trained: list[Record]) -> list[str]:
    """The settings of a record that vary among all records, the norm and the seed aside; its labels if none does."""
    mine = _flat(record.spec)
    others = [_flat(one.spec) for one in trained]
    varying = [f"{key}={value}" for key, value in mine.items() if any(one.get(key) != value for one in others)]
    return varying or [f"{key}={value}" for key, value in record.labels.items() if key != "norm"]


def _flat(spec: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in spec.items():
        if isinstance(value, Mapping):
            flat |= {f"{key}.{name}": entry for name, entry in value.items() if key != "norm"}
        elif key != SEED:
            flat[key] = value
    return flat
