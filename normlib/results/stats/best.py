"""Which arms show no clear difference to the best one.

In: the replicates of each arm. Out: a set of labels. This file does not correct for the number of comparisons. It marks
a table and proves nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from normlib.results.stats.intervals import LEVEL, mean_interval, paired_difference


def not_worse_than_best(
    values_by_arm: Mapping[str, ArrayLike],
    lower_is_better: bool = False,
    level: float = LEVEL,
    resolution: float = 0.0,
) -> frozenset[str]:
    """The arms with no clear difference to the one with the best mean. Each array has shape (replicates,), rows paired.

    A difference is clear if the t interval of the paired differences excludes 0. With fewer than two common replicates
    none is clear. Identical differences have an interval of width 0: equal arms stay together, and a constant gap
    separates them. `resolution` prevents that, as the step of coarse values (see `mean_interval`). Arms without
    replicates are in no set.
    """
    arrays = {arm: np.asarray(values, dtype=np.float64) for arm, values in values_by_arm.items()}
    means: dict[str, Any] = {arm: mean_interval(array).mean for arm, array in arrays.items()}
    present = [arm for arm in arrays if not np.isnan(means[arm])]
    if not present:
        return frozenset()
    best = (min if lower_is_better else max)(present, key=lambda arm: float(means[arm]))
    together = set()
    for arm in present:
        gap = paired_difference(arrays[best], arrays[arm], level, resolution)
        if gap.n < 2 or abs(gap.mean) <= gap.half_width:
            together.add(arm)
    return frozenset(together)
