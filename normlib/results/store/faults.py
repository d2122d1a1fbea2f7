"""Finds where a value breaks a msgspec schema, and what it is.

In: plain values and a msgspec type. Out: the first fault with its place, or None. msgspec names neither the value nor
the key of a mapping at which it stops. This file finds them, and only once something is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from normlib.results.store.quoting import cut

LONGEST_RULE = 160
"""Characters. A rule may quote a key of the record."""
_STEP = re.compile(r"\.(?P<field>\w+)|\[(?P<index>\d+)\]|\[(?P<any>\.\.\.)\]")


class Fault(NamedTuple):
    """A place such as `spec.norm.eps`, the value there, and the rule that it breaks."""

    where: str
    value: Any
    rule: str


def first_fault(values: Mapping[str, Any], schema: Any) -> Fault | None:
    """The first fault that msgspec finds, or None if the values fit the schema."""
    message = _message(values, schema)
    if message is None:
        return None
    rule, _, path = message.partition(" - at `$")
    steps: list[Any] = []
    value: Any = values
    for step in _STEP.finditer(path):
        if step["any"]:
            key = next((key for key in value if _message(_alone(values, steps, key), schema) == message), None)
            if key is None:
                break
        else:
            key = step["field"] or int(step["index"])
        steps.append(key)
        value = value[key]
    return Fault(cut(".".join(map(str, steps))) or "its top", value, cut(rule[:1].lower() + rule[1:], LONGEST_RULE))


def _message(values: Any, schema: Any) -> str | None:
    try:
        msgspec.convert(values, schema, strict=True)
    except msgspec.ValidationError as error:
        return str(error)
    return None


def _alone(values: Any, steps: Sequence[Any], key: str) -> Any:
    """The values with only `key` in the mapping that the steps lead to."""
    if not steps:
        return {key: values[key]}
    return {**values, steps[0]: _alone(values[steps[0]], steps[1:], key)}
