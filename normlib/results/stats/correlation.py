"""The correlation within pairs: how much of two arms' spread over seeds is common to both.

In: paired scores. Out: one number. This file tests nothing: the number explains why a paired interval is narrower than
two separate ones, or that it is not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def pair_correlation(a: ArrayLike, b: ArrayLike) -> float:
    """Pearson's correlation over the replicates that both have; shapes (n,).

    NaN where it means nothing: fewer than three pairs (two always lie on a line), or an arm that does not vary.
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    common = np.isfinite(first) & np.isfinite(second)
    first, second = first[common], second[common]
    if len(first) < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])
