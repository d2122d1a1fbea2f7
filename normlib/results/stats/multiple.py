"""Holm's correction: adjusts the p values of several comparisons, so the chance of any false claim stays at the level.

In: the p values of one family. Out: corrected ones, to compare with the same level. The caller says which comparisons
are a family.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Holm-corrected p values (Holm 1979, step-down Bonferroni), of the same shape. All entries are one family.

    The k-th smallest of m is multiplied by m - k + 1. It is at least as large as the ones before it, and at most 1. NaN
    is not a comparison: it stays NaN and is not counted. Raises ValueError for anything else outside 0 to 1.
    """
    p = np.asarray(p_values, dtype=np.float64)
    counted = ~np.isnan(p)
    family = p[counted]
    if ((family < 0) | (family > 1)).any():
        wrong = family[(family < 0) | (family > 1)][0]
        raise ValueError(f"holm got a p value of {wrong}; p values lie between 0 and 1, NaN for no comparison")
    order = np.argsort(family, kind="stable")
    factors = len(family) - np.arange(len(family))
    corrected = np.empty_like(family)
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(factors * family[order])) if len(family) else family
    result = np.full(p.shape, np.nan)
    result[counted] = corrected
    return result
