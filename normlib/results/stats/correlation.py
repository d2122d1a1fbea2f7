"""The correlation within pairs: how much of the spread over seeds two arms share.

In: paired scores. Out: one number. This file tests nothing. The number explains why a paired interval is narrower than
two separate ones, or is not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def pair_correlation(a: ArrayLike, b: ArrayLike) -> float:
    """Pearson's correlation over the replicates that both have. Shapes (n,).

    NaN if it means nothing: fewer than three pairs (two are always on a line), or an arm that does not vary.
    """
    first, second = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    common = np.isfinite(first) & np.isfinite(second)
    first, second = first[common], second[common]
    if len(first) < 3 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])
