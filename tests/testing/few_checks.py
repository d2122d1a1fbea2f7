"""Some checks of the contract, for the length of a test; afterwards all of them in their order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from normlib.testing import CHECKS


@contextmanager
def only(names: Iterable[str]) -> Iterator[None]:
    """The contract made of these checks alone."""
    everything = dict(CHECKS)
    wanted = set(names)
    CHECKS.clear()
    CHECKS.update({name: check for name, check in everything.items() if name in wanted})
    try:
        yield
    finally:
        CHECKS.clear()
        CHECKS.update(everything)
