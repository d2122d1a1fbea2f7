"""The label `looks` of a record: the numbers of seeds at which looks are taken.

Runs whose number of seeds was fixed ahead have no such label. In: numbers of seeds, or labels. Out: a label, or the
plan that labels agree on. This file imports nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def as_label(planned: Sequence[int]) -> str:
    """The numbers of seeds at which looks are taken, as a record holds them: "3 4 6"."""
    return " ".join(map(str, planned))


def planned_looks(labels: Iterable[object]) -> tuple[int, ...]:
    """The looks that labels name. Of several plans, the one that goes furthest, and of these the one with most looks.

    Each look has its share of the error, whatever ended the sweep, so stopping before the last is safe. Labels without
    looks are ignored. () if no label names any.
    """
    found = (looks_in(label) for label in set(labels))
    return max(filter(None, found), key=lambda planned: (planned[-1], len(planned), planned), default=())


def looks_in(label: object) -> tuple[int, ...]:
    """The looks of one label, or () for anything that `as_label` did not write. A table may hold a single number as 40.0."""
    text = str(label).removesuffix(".0")
    numbers = tuple(int(word) for word in text.split() if word.isascii() and word.isdecimal())
    sound = as_label(numbers) == text and list(numbers) == sorted({*numbers} - {0})
    return numbers if sound else ()
