"""Statistics for few replicates: pure functions on arrays, without global state, every random draw seeded.

One convention for arrays: axis 0 numbers the replicates (seeds). Further axes are conditions, each treated alone. NaN
is a missing replicate. Two arrays are paired if row i of both is the same replicate. If a file differs from this
(workloads as a second axis, for example), its docstring says so. docs/statistics.md says why these methods were chosen,
and how well they hold in simulation. This package knows neither records nor frames.
"""

from normlib.results.stats.batch_size_effect import areas, slopes
from normlib.results.stats.best import not_worse_than_best
from normlib.results.stats.correlation import pair_correlation
from normlib.results.stats.intervals import (
    LEVEL,
    Interval,
    mean_interval,
    median_interval,
    paired_difference,
    welch_difference,
    welch_equal_p,
    welch_p,
)
from normlib.results.stats.multiple import holm
from normlib.results.stats.outperformance import Proportion, outperformance
from normlib.results.stats.sequential import Looked, look_at, looks
from normlib.results.stats.sign_flip import replicates_needed, sign_flip_p, smallest_sign_flip_p
from normlib.results.stats.workloads import average_ranks, interquartile_mean, stratified_bootstrap, wilcoxon_holm

__all__ = [
    "LEVEL",
    "Interval",
    "Looked",
    "Proportion",
    "areas",
    "average_ranks",
    "holm",
    "interquartile_mean",
    "look_at",
    "looks",
    "mean_interval",
    "median_interval",
    "not_worse_than_best",
    "outperformance",
    "pair_correlation",
    "paired_difference",
    "replicates_needed",
    "sign_flip_p",
    "slopes",
    "smallest_sign_flip_p",
    "stratified_bootstrap",
    "welch_difference",
    "welch_equal_p",
    "welch_p",
    "wilcoxon_holm",
]
