"""Tables with looks while their seeds come in: false claims, differences found, and runs needed.

Simulates tables of 6 arms in 5 conditions: 25 comparisons with the first arm. Looks go on until a comparison is decided by
the p values of normlib.results.stats.sequential and Holm's correction over the table. The baseline runs as long as anything in
its condition is undecided. Also simulates how often the intervals miss. Writes its rows of benchmarks/statistics_results.csv
and its tables in docs/statistics.md.
Run from the repository: python benchmarks/statistics_sequential.py
"""

from __future__ import annotations

import bisect
import math
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a script, Python looks only beside it

from benchmarks.statistics_documents import Result, generator, write_results
from benchmarks.statistics_laws import (
    LAWS,
    STEP,
    Arm,
    beta,
    counted,
    exponential,
    failing,
    log_normal,
    normal,
    rounded,
    uniform,
)
from benchmarks.statistics_looks import LEVEL, METHODS, MOST_SEEDS, Array, Followed, followed, holm_of_tables
from normlib.results.stats import looks, mean_interval
from normlib.results.stats.sequential import equal_p, shares

ARMS, CONDITIONS = 6, 5
TABLES, POWER_TABLES, LONG_TABLES, EXPERIMENTS = 2_000, 4_000, 100, 20_000
"""For false claims, for the power of few seeds, for the power of 40, and for intervals."""
CHUNK = 500
"""Tables simulated at once: 40 seeds of them are 5 MB."""
FIXED = 11
MISSED_BY = (7, 12, MOST_SEEDS)
CORRELATIONS = (0.0, 0.7)
SPREAD = 0.005
METHOD_SCORES = ("normal", "normal, 1 of 2 runs fails")

SCORES: dict[str, tuple[Arm, float, float]] = {
    "normal": (normal(0.96, 0.005), 0.0, 0.007),
    "log-normal": (log_normal(0.99, 0.01), 0.0, 0.008),
    "exponential": (exponential(0.99, 0.01), 0.0, 0.014),
    "uniform": (uniform(0.96, 0.005), 0.0, 0.007),
    "beta, 0.99": (beta(0.99), 0.0, 0.008),
    "steps, 0.97": (counted(0.97), STEP, 4 * STEP),
    "steps, spread of 0.3 of one": (rounded(0.976, 0.001), STEP, STEP),
    "normal, 1 of 10 runs fails": (failing(0.96, 0.005, 0.1), 0.0, 0.36),
    "normal, 1 of 2 runs fails": (failing(0.96, 0.005, 0.5), 0.0, 0.6),
}
"""All arms of a table score alike. The law, its step, and a region of about one standard deviation of a difference."""
ALIKE, ONE, MIXED = "every arm", "one arm", "mixed"
EFFECTS = {
    **{(ALIKE, f"{sd}"): (sd,) * 5 for sd in (1, 2, 3, 10)},
    **{(ONE, f"{sd}"): (sd, 0, 0, 0, 0) for sd in (1, 2, 3, 10)},
    (MIXED, "0, 1, 2, 3, 10"): (0, 1, 2, 3, 10),
}
"""The differences of the five arms to the baseline, in standard deviations of one arm's scores."""


def alike(scores: str, correlation: float, tables: int, seeds: int = MOST_SEEDS) -> Iterator[Array]:
    """Differences to the baseline of arms that score alike, (seeds, CHUNK, conditions, arms), for `tables` tables."""
    arm = SCORES[scores][0]
    for chunk in range(0, tables, CHUNK):
        rng = generator("sequential", scores, str(correlation), str(seeds), str(chunk))
        shape = (seeds, min(CHUNK, tables - chunk), CONDITIONS)
        common, own = rng.normal(size=(*shape, 1)), rng.normal(size=(*shape, ARMS))
        scored = arm.score(math.sqrt(correlation) * common + math.sqrt(1 - correlation) * own)
        yield scored[..., 1:] - scored[..., :1]


def share_of_tables(tables: Iterator[NDArray[np.bool_]]) -> tuple[float, int]:
    """In how many tables anything is true, in %, and the number of tables."""
    any_so = np.concatenate([each.any(axis=(1, 2)) for each in tables])
    return round(100 * float(any_so.mean()), 3), len(any_so)


def claims(scores: str, correlation: float, tables: int = TABLES) -> list[Result]:
    """How often a table makes a false claim: of a difference that does not exist, or of equality at the region's edge."""
    _, step, region = SCORES[scores]
    planned = looks(MOST_SEEDS)

    def equal(differences: Array) -> NDArray[np.bool_]:
        """All looks are taken, even if a difference was found before."""
        p = [equal_p(differences[:n], share, step, region) for n, share in zip(planned, shares(planned))]
        return holm_of_tables(np.min(p, axis=0)) <= LEVEL

    figures = {
        "any false claim": (followed(each, planned, step).different for each in alike(scores, correlation, tables)),
        'any false "equal"': (equal(each + region) for each in alike(scores, correlation, tables)),
    }
    return [
        Result("sequential claims", scores, f"{correlation:g}", MOST_SEEDS, figure, *share_of_tables(found))
        for figure, found in figures.items()
    ]


def methods(scores: str, effect: float, tables: int) -> list[Result]:
    """Results of other ways than normlib's: false claims without an effect; with one in every arm, found and runs."""
    made: dict[str, list[Followed]] = {name: [] for name in METHODS}
    for each in alike(scores, 0.0, tables):
        for name, method in METHODS.items():
            made[name].append(method(each + effect * SPREAD))
    rows = []
    for name, ended in made.items():
        figures = (
            {
                f"{scores}: any false claim": share_of_tables(each.different for each in ended)[0],
            }
            if not effect
            else {
                f"{effect:g} SD: seeds": float(np.mean([each.seeds.mean() for each in ended])),
            }
        )
        rows += [
            Result("sequential methods", name, "0", MOST_SEEDS, figure, round(value, 3), tables)
            for figure, value in figures.items()
        ]
    return rows


def power(which: str, setting: str) -> list[Result]:
    """What this many fixed seeds find, the fewest `most_seeds` that find as much, and what MOST_SEEDS find, with the runs."""
    effects = SPREAD * np.array(EFFECTS[which, setting])
    shifted = effects != 0

    def found(ended: Followed) -> float:
        return round(100 * float(ended.different[:, :, shifted].mean()), 1)  # as printed: 99.99 finds as much as 100

    def row(n: int, figure: str, percent: float, tables: int) -> Result:
        return Result("sequential power", which, setting, n, figure, round(percent, 3), tables)

    few = np.concatenate(list(alike("normal", 0.0, POWER_TABLES, 20)), axis=1) + effects
    fixed = found(followed(few, (FIXED,), exact_from=1))
    most = next(n for n in range(2, 21) if found(followed(few, looks(n))) >= fixed)
    ended = followed(few, looks(most))
    rows = [
        row(FIXED, "found, fixed", fixed, POWER_TABLES),
        row(most, "found, same power", found(ended), POWER_TABLES),
        row(most, "runs, same power", 100 * ended.runs / (FIXED * ARMS * CONDITIONS), POWER_TABLES),
    ]
    many = np.concatenate(list(alike("normal", 0.0, LONG_TABLES)), axis=1) + effects
    ended = followed(many, looks(MOST_SEEDS))
    same = bisect.bisect_left(
        range(MOST_SEEDS), found(ended), key=lambda n: found(followed(many, (n,), exact_from=1)) if n > 1 else 0.0
    )
    return [
        *rows,
        row(MOST_SEEDS, "found, most", found(ended), LONG_TABLES),
        row(same, "fixed, most", found(followed(many, (same,), exact_from=1)), LONG_TABLES),
        row(MOST_SEEDS, "runs, most", 100 * ended.runs / (same * ARMS * CONDITIONS), LONG_TABLES),
    ]


def missed(law_name: str, correlation: float) -> list[Result]:
    """How often the interval misses the true difference at any look up to this many seeds."""
    law, planned = LAWS[law_name], looks(MOST_SEEDS)
    a, b = law.pairs(correlation, (MOST_SEEDS, EXPERIMENTS), generator("sequential", law_name, str(correlation)))
    any_missed, rows = np.zeros(EXPERIMENTS, dtype=bool), []
    for n, share in zip(planned, shares(planned)):
        interval = mean_interval((a - b)[:n], 1 - LEVEL * share, law.resolution * math.sqrt(2))
        any_missed |= np.abs(interval.mean - law.difference) > interval.half_width + 1e-12
        if n in MISSED_BY:
            percent = round(100 * float(any_missed.mean()), 3)
            rows.append(
                Result(
                    "sequential missed", law_name, f"{correlation:g}", n, f"missed by {n} seeds", percent, EXPERIMENTS
                )
            )
    return rows


def main() -> None:
    """Simulate every cell and write the results."""
    write_results("sequential claims", [row for name in SCORES for rho in CORRELATIONS for row in claims(name, rho)])
    write_results("sequential power", [row for which, setting in EFFECTS for row in power(which, setting)])
    write_results("sequential missed", [row for law in LAWS for rho in CORRELATIONS for row in missed(law, rho)])
    false = [row for name in METHOD_SCORES for row in methods(name, 0, TABLES)]
    write_results(
        "sequential methods", [*false, *(row for sd in (2, 3, 10) for row in methods("normal", sd, LONG_TABLES))]
    )


if __name__ == "__main__":
    main()
