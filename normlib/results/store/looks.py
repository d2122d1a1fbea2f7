"""The label `looks` of a record: after how many seeds its comparisons are looked at, where that number was not fixed ahead.

In: numbers of seeds, or labels. Out: a label, or the plan that labels agree on. This file imports nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def as_label(planned: Sequence[int]) -> str:
    """The numbers of seeds at which comparisons are looked at, as a record carries them: "3 4 6"."""
    return " ".join(map(str, planned))


def planned_looks(labels: Iterable[object]) -> tuple[int, ...]:
    """The looks that labels name: of several plans the one that goes furthest, and of these the one with most looks.

    Each of its looks has its share of the error, whatever ended the sweep, so that stopping ahead of the last is safe.
    What names no looks is passed over; () where nothing does.
    """
    found = (looks_in(label) for label in set(labels))
    return max(filter(None, found), key=lambda planned: (planned[-1], len(planned), planned), default=())


def looks_in(label: object) -> tuple[int, ...]:
    """The looks of one label, () for what `as_label` did not write. A table may hold a single number as 40.0."""
    text = str(label).removesuffix(".0")
    numbers = tuple(int(word) for word in text.split() if word.isascii() and word.isdecimal())
    sound = as_label(numbers) == text and list(numbers) == sorted({*numbers} - {0})
    return numbers if sound else ()
