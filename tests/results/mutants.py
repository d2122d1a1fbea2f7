"""Makes broken records for tests: a sound one with something wrong at a few places of its tree, under a right checksum.

In: hypothesis's draws. Out: values, and the text of a file. Some mutants are still sound; what they hold is odd all the same.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tests.results.factories import make_record
from tests.results.tuned_records import tuned_run

GALLERY = Path(__file__).parents[2] / "results" / "gallery" / "small_batch" / "runs"


def nested(depth: int) -> list[Any]:
    """Lists within lists."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


JUNK: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 7, -0.0, 0.5, -0.5, 1.5, 1e308, -1e308, 5e-324, 1e-300, math.nan, math.inf,
    2**31, 2**53 + 1, 2**63 - 1, -(2**63) + 1, 2**63, -(2**63) - 1, 10**20, 10**400,
    "", " ", "x", "32", "-1", "0", "nan", "inf", "1e999", "null", "true", "batch", "group", "trial", "fixed", "tuned",
    "optimizer.lr", "norm", "seed", "done", "diverged", "failed", "skipped", "2025-01-01T10:00:00+00:00", "2025-01-01",
    "0001-01-01T00:00:00+23:59", "٣", "\ud800", "a\udc00b", "\x00", "\x1b[31m", "a\nb", "a|b", "$\\frac{$", "$x^2$",
    "<script>alert(1)</script>", "</script>", "[red]x[/]", "[/]", "{{ 7 * 7 }}", "%s", "é" * 300, "x" * 20_000,
    [], {}, [[]], [None], [1, "a"], [1, 2, 3], [0.5, 0.6], ["\ud800"], {"a": 1}, {"": {}}, {"name": "batch"},
    {"test": {"accuracy": 1}}, {"x": {"y": {"z": 1}}}, nested(400),
)  # fmt: skip
NAMES = (
    "", "x", "name", "norm", "seed", "status", "test", "machine", "stage", "tuning", "id", "a.b", "data.batch_size",
    "test.accuracy", "reinitialized", "\ud800", "a\nb", "0", "section", "row", "n", "x" * 20_000,
)  # fmt: skip
"""Keys that an entry may be renamed to."""


def _gallery() -> list[dict[str, Any]]:
    """One record of each status and kind of norm."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for path in sorted(GALLERY.glob("*.json")):
        values = json.loads(path.read_bytes())
        values.pop("checksum")
        found.setdefault((values["status"], values["labels"]["norm"]), values)
    return list(found.values())


def sound_values() -> list[dict[str, Any]]:
    """The records that mutants are made from."""
    made = [
        *(make_record(norm="group", seed=1, status=status) for status in ("done", "diverged", "failed", "skipped")),
        make_record(norm="batch", seed=1), make_record(norm="batch_renorm", batch_size=2, seed=0),
        *(tuned_run(norm, seed, 0.1, stage) for norm in ("batch", "group") for seed, stage in ((0, "fixed"), (9, "trial"))),
    ]  # fmt: skip
    return [*(json.loads(json.dumps(record.to_dict())) for record in made), *_gallery()]


def signed(values: dict[str, Any]) -> str:
    """The text of a file that holds the values with a right checksum, whatever they are."""
    canonical = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return json.dumps({**values, "checksum": hashlib.sha256(canonical.encode()).hexdigest()})


def file_name(values: dict[str, Any], otherwise: str) -> str:
    """The name that the file has to have, as far as the values tell."""
    stem = values.get("id")
    return f"{stem if isinstance(stem, str) and re.fullmatch('[0-9a-f]{16}', stem) else otherwise}.json"


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    """Every container with each of its keys or indexes."""
    entries = list(node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ())
    for key, value in entries:
        yield node, key
        yield from _places(value)


OPERATIONS = (
    "alike",
    "alike",
    "alike",
    "alike",
    "alike",
    "replace",
    "replace",
    "delete",
    "rename",
    "wrap",
    "copy",
    "repeat",
    "add",
    "as text",
)


Choose = Callable[[Sequence[Any]], Any]
"""Picks one of a sequence, as `random.choice` does."""


def mutate(base: dict[str, Any], choose: Choose) -> dict[str, Any]:
    """The values with one to three places changed."""
    values = copy.deepcopy(base)
    for _ in range(choose((1, 2, 3))):
        if not values:
            break
        field = choose(list(values))
        places = [(values, field), *_places(values[field])]  # a field each, since long curves have most places
        node, key = choose(places)
        operation = choose(OPERATIONS)
        if operation == "alike":  # often still sound
            node[key] = copy.deepcopy(choose([junk for junk in JUNK if type(junk) is type(node[key])] or JUNK))
        elif operation == "replace":
            node[key] = copy.deepcopy(choose(JUNK))
        elif operation == "delete":
            del node[key]
        elif operation == "rename" and isinstance(node, dict):
            node[choose(NAMES)] = node.pop(key)
        elif operation == "wrap":
            node[key] = [node[key]]
        elif operation == "copy":
            source, name = choose(list(_places(values)))
            node[key] = copy.deepcopy(source[name])
        elif operation == "repeat" and isinstance(node[key], list):
            node[key] = node[key] * 2
        elif operation == "add" and isinstance(node, dict):
            node[choose(NAMES)] = copy.deepcopy(choose(JUNK))
        elif operation == "as text":
            node[key] = json.dumps(node[key])[:100]
    return values


@st.composite
def mutants(draw: Any, bases: list[dict[str, Any]]) -> tuple[dict[str, Any], str]:
    """The values of a mutant, and the id of the record that it was."""

    def choose(sequence: Sequence[Any]) -> Any:
        return sequence[draw(st.integers(0, len(sequence) - 1))]

    base = choose(bases)
    return mutate(base, choose), base["id"]
