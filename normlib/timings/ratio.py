"""One contender's time as a ratio to another's: the typical ratio, the interval of another run's, and a verdict.

In come seconds by block and round, out go numbers and words. Pure functions; no torch.

Rounds of one block share their memory, and the minute in which they ran, so they scatter far less than runs do. The replicate
is therefore the block, for which memory was laid out again, and not the round.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95
NO_SLOWER, SLOWER, UNSURE = "no slower", "SLOWER", "unsure"
Blocks = Sequence[Sequence[float]]
"""Seconds per call, by block and round."""


@dataclass(frozen=True)
class Ratio:
    """The ratio of two contenders, and the interval in which that of another run like this one is expected."""

    value: float
    low: float
    high: float

    def verdict(self, allowed: float) -> str:
        """Whether the value is allowed; "unsure" where it is not, but its interval reaches what is."""
        return NO_SLOWER if self.value <= allowed else UNSURE if self.low <= allowed else SLOWER


def ratio(seconds: Blocks, of: Blocks) -> Ratio:
    """The ratio of `seconds` to `of`, of two blocks or more.

    A block's ratio is the median over its rounds, the value the median over the k blocks: a mean would follow the one block in
    which the machine was busy. The interval is that of the difference of two such medians, on logarithms: ± t(k - 1) s sqrt(π/k),
    with s the deviation of the blocks and π/2 the variance of a median in that of a mean (of normal values).
    `benchmarks/bench_repeats.py` measures how often second runs lie in it.
    """
    from scipy.stats import t

    logs = [
        math.log(statistics.median(one / other for one, other in zip(mine, theirs, strict=True)))
        for mine, theirs in zip(seconds, of, strict=True)
    ]
    centre = statistics.median(logs)
    reach = t.ppf((1 + CONFIDENCE) / 2, len(logs) - 1) * statistics.stdev(logs) * math.sqrt(math.pi / len(logs))
    return Ratio(math.exp(centre), math.exp(centre - reach), math.exp(centre + reach))
