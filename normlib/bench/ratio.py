"""One contender's time as a ratio to another's: the median over the rounds, how sure it is, and a verdict.

In come seconds by round, out go numbers and words. Pure functions; no torch.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95
NO_SLOWER, SLOWER, UNSURE = "no slower", "SLOWER", "unsure"


@dataclass(frozen=True)
class Ratio:
    """The median ratio of two contenders within a round, and its interval, both ends included."""

    median: float
    low: float
    high: float

    def verdict(self, allowed: float) -> str:
        """Whether the median is allowed; "unsure" where it is not, but its interval reaches what is."""
        return NO_SLOWER if self.median <= allowed else UNSURE if self.low <= allowed else SLOWER


def ratio(seconds: Sequence[float], of: Sequence[float]) -> Ratio:
    """The ratio of `seconds` to `of`, round by round, with an interval of 95 % for the median (or the range of too few rounds).

    The interval is that of the sign test: between the k-th smallest and the k-th largest round, without an assumption on how
    the rounds scatter.
    """
    within = sorted(one / other for one, other in zip(seconds, of, strict=True))
    n, below, tail = len(within), 0, 0.0
    while (tail := tail + math.comb(n, below) / 2**n) <= (1 - CONFIDENCE) / 2:
        below += 1  # so many of the smallest and of the largest rounds lie outside
    outside = max(0, below - 1)
    return Ratio(statistics.median(within), within[outside], within[n - 1 - outside])
