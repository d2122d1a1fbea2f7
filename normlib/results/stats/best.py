"""Which arms cannot be told from the best one.

In: the replicates of each arm. Out: a set of labels. This file corrects for no number of comparisons: it marks a table,
it proves nothing.
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
    """The arms that cannot be told from the one with the best mean; each array has shape (replicates,), rows paired.

    An arm can be told from the best when the t interval of their paired differences leaves out 0. With fewer than two
    common replicates nothing can be told. Identical differences have an interval of width 0: equal arms stay together,
    a constant gap parts them, unless `resolution` says how coarse the values are (see `mean_interval`). Arms without any
    replicate are in no set.
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
