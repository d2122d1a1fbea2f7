"""The effect of the batch size on an arm, as one number per replicate: a slope, or an area under the curve.

In: scores of one arm at several batch sizes, seed by seed. Out: a value for each seed, to average and compare like any
other score. Batch sizes are ordered conditions with one curve per seed. They are never independent data sets.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def slopes(values: ArrayLike, batch_sizes: ArrayLike) -> NDArray[np.float64]:
    """Least-squares slope over log2(batch size) of each replicate: the change of the score per doubling of the batch.

    `values` has shape (replicates, conditions), `batch_sizes` (conditions,), in any order. The result is (replicates,).
    NaN if a replicate lacks a condition, since a slope over other batch sizes is another quantity.
    """
    array, doublings = _curves(values, batch_sizes)
    centred = doublings - doublings.mean()
    return np.asarray(array @ centred / (centred @ centred))


def areas(values: ArrayLike, batch_sizes: ArrayLike) -> NDArray[np.float64]:
    """Area under each replicate's curve over log2(batch size), by trapezoids, divided by the width.

    It has the unit of the score: the mean height of the curve. Shapes and NaN as for `slopes`.
    """
    array, doublings = _curves(values, batch_sizes)
    widths = np.diff(doublings)
    heights = (array[:, 1:] + array[:, :-1]) / 2
    return np.asarray(heights @ widths / widths.sum())


def _curves(values: ArrayLike, batch_sizes: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values and log2 of the batch sizes, in rising order."""
    array, sizes = np.asarray(values, dtype=np.float64), np.asarray(batch_sizes, dtype=np.float64)
    if array.ndim != 2 or sizes.shape != array.shape[1:]:
        raise ValueError(
            f"values have shape {array.shape} and batch sizes {sizes.shape}; "
            "values must be (replicates, conditions), with one batch size for each condition"
        )
    if len(sizes) < 2 or len(set(sizes.tolist())) < len(sizes) or not (sizes > 0).all():
        raise ValueError(
            f"batch sizes are {sizes.tolist()}; a slope or an area needs two or more, positive and different: "
            "select the runs of one curve first"
        )
    order = np.argsort(sizes)
    return array[:, order], np.log2(sizes[order])
