"""How often the intervals of the paired table cover the truth, beside the percentile bootstrap.

Simulates 20,000 experiments of two arms for each law, correlation and n. The bootstrap is slower and only serves as a
warning, so it gets the first 2,000 of them. Writes its rows of benchmarks/statistics_results.csv and its tables in
docs/statistics.md.
Run from the repository: python benchmarks/statistics_coverage.py
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a script, Python looks only beside it

from benchmarks.statistics_documents import Result, generator, write_results
from benchmarks.statistics_laws import LAWS
from normlib.results.stats import interquartile_mean, outperformance, paired_difference, stratified_bootstrap

EXPERIMENTS = 20_000
BOOTSTRAPPED = 2_000
RESAMPLES = 2_000
REPLICATES = (3, 5, 10, 20)
CORRELATIONS = (0.0, 0.7)
WORKLOADS, WORKLOAD_EXPERIMENTS, WORKLOAD_RESAMPLES = 5, 1_000, 500
MARGIN = 1e-12  # an interval that ends exactly at the truth covers it, despite rounding

DIFFERENCE = "difference"
OUTPERFORMS = "outperforms"
NO_RESOLUTION = "difference, no resolution"
BOOTSTRAP_DIFFERENCE = "difference, bootstrap"
BOOTSTRAP_OUTPERFORMS = "outperforms, bootstrap"
TASK_MEAN = "interquartile mean"


def coverage(law_name: str, correlation: float, n: int) -> list[Result]:
    """How often each interval covers the truth, in %, for one law, one correlation and n replicates."""
    law = LAWS[law_name]
    rng = generator("coverage", law_name, str(correlation), str(n))
    a, b = law.pairs(correlation, (n, EXPERIMENTS), rng)
    probability = law.outperformance(correlation, rng)

    def row(figure: str, covered: NDArray[np.bool_]) -> Result:
        share = 100 * float(np.mean(covered))
        return Result("coverage", law_name, f"{correlation:g}", n, figure, round(share, 3), len(covered))

    def covers(resolution: float) -> NDArray[np.bool_]:
        interval = paired_difference(a, b, resolution=resolution)
        return np.abs(interval.mean - law.difference) <= interval.half_width + MARGIN

    proportion = outperformance(a, b)
    rows = [
        row(DIFFERENCE, covers(law.resolution)),
        row(OUTPERFORMS, (proportion.low - MARGIN <= probability) & (probability <= proportion.high + MARGIN)),
    ]
    if law.resolution:
        rows.append(row(NO_RESOLUTION, covers(0.0)))
    a, b = a[:, :BOOTSTRAPPED], b[:, :BOOTSTRAPPED]
    weights = rng.multinomial(n, np.full(n, 1 / n), RESAMPLES) / n  # how often each replicate is drawn, shared by all
    rows.append(row(BOOTSTRAP_DIFFERENCE, _bootstrap_covers(weights, a - b, law.difference)))
    won = ((a > b).astype(float) + (a >= b)) / 2
    rows.append(row(BOOTSTRAP_OUTPERFORMS, _bootstrap_covers(weights, won, probability)))
    return rows


def _bootstrap_covers(weights: NDArray[np.float64], values: NDArray[np.float64], truth: float) -> NDArray[np.bool_]:
    low, high = np.quantile(weights @ values, [0.025, 0.975], axis=0)
    return (low - MARGIN <= truth) & (truth <= high + MARGIN)


def task_coverage(n: int) -> list[Result]:
    """How often the stratified bootstrap covers the interquartile mean over workloads, in %.

    Scores are normal, with n replicates. The true figure is that of a million replicates per workload.
    """
    rng = generator("coverage", TASK_MEAN, str(n))
    centres = np.linspace(0.90, 0.98, WORKLOADS)
    truth = interquartile_mean(centres + 0.01 * rng.normal(size=(1_000_000, WORKLOADS)))
    covered = np.empty(WORKLOAD_EXPERIMENTS, dtype=bool)
    for experiment in range(WORKLOAD_EXPERIMENTS):
        scores = centres + 0.01 * rng.normal(size=(n, WORKLOADS))
        low, high = stratified_bootstrap(scores, interquartile_mean, rng, WORKLOAD_RESAMPLES)
        covered[experiment] = low <= truth <= high
    return [Result("coverage", "normal", "0", n, TASK_MEAN, round(100 * float(covered.mean()), 3), len(covered))]


def main() -> None:
    """Simulate every cell and write the results."""
    rows: list[Result] = []
    for law in LAWS:
        for correlation in CORRELATIONS:
            for n in REPLICATES:
                rows += coverage(law, correlation, n)
    for n in REPLICATES:
        rows += task_coverage(n)
    write_results("coverage", rows)


if __name__ == "__main__":
    main()
