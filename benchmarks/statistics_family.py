"""How often a whole table claims a difference, if there is none and if there is one of a known size.

Simulates tables of 6 arms in 5 conditions: 25 comparisons, all with the first arm. In an A/A table all arms have one law.
Otherwise the second arm is shifted in every condition. Judges them as the report does: exact sign-flip p, Holm over the 25,
and the interval of the paired difference. Writes its rows of benchmarks/statistics_results.csv and its tables in
docs/statistics.md.
Run from the repository: python benchmarks/statistics_family.py
"""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a script, Python looks only beside it

from benchmarks.statistics_documents import VERDICTS, Result, generator, write_results
from benchmarks.statistics_laws import STEP
from normlib.results.stats import Interval, holm, paired_difference, replicates_needed, sign_flip_p

TABLES = 8_000
"""With this many, a share of 5 % has a standard error of a quarter of a percent."""
ARMS, CONDITIONS = 6, 5
REPLICATES = (5, 10, 12, 20)
EFFECTS = (0, 1, 2, 3)
"""True differences, in standard deviations of one seed's difference between two arms."""
SPREAD = 0.005
"""Standard deviation of that difference, as between the steadier arms of the default experiment: half a point."""
CORRELATION = 0.5
"""Of two arms on one seed. They share the trunk."""
LEVEL = 0.05
ROPE = 0.005
"""Half a point, the default of the report."""

NOISES = ("normal", "log-normal", "steps of 1/300", "log-normal, spreads 1 to 3")
"""The last has arms of equal means and unequal spreads: no difference in the mean, but not exchangeable either."""


def scores(noise: str, n: int, tables: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Accuracies of arms with one mean, shape (n, tables, conditions, arms)."""
    arm_spread = SPREAD / math.sqrt(2 * (1 - CORRELATION))
    trunk = rng.normal(size=(n, tables, CONDITIONS, 1))
    own = rng.normal(size=(n, tables, CONDITIONS, ARMS))
    z = math.sqrt(CORRELATION) * trunk + math.sqrt(1 - CORRELATION) * own
    if noise.startswith("log-normal"):  # long tail downwards, mean 0, variance 1
        s = 0.5
        z = -(np.exp(s * z) - math.exp(s**2 / 2)) / math.sqrt(math.exp(2 * s**2) - math.exp(s**2))
    if noise.endswith("spreads 1 to 3"):
        z = z * np.linspace(1, 3, ARMS)
    accuracy = 0.96 + arm_spread * z
    return np.round(accuracy / STEP) * STEP if noise.startswith("steps") else accuracy


def family(noise: str, n: int, effects: tuple[int, ...] = (0,)) -> list[Result]:
    """How often tables make a false claim, in %, and how often each verdict is reached on the comparisons in question.

    These are the five with the shifted arm, or all 25 if no arm is shifted. Every effect shifts the same tables.
    """
    rng = generator("family", noise, str(n))
    simulated = scores(noise, n, TABLES, rng)
    arms, baseline = simulated[..., 1:], simulated[..., :1]
    resolution = STEP if noise.startswith("steps") else 0.0
    p_without = np.apply_along_axis(sign_flip_p, 0, arms - baseline)  # (tables, conditions, arms)
    rows: list[Result] = []
    for effect in effects:
        moved, p = arms.copy(), p_without.copy()
        if effect:
            moved[..., 0] += effect * SPREAD
            p[..., 0] = np.apply_along_axis(sign_flip_p, 0, (moved - baseline)[..., 0])
        found = judged(p, paired_difference(moved, baseline, resolution=resolution), n)
        shifted = np.broadcast_to((np.arange(ARMS - 1) == 0) & (effect > 0), p.shape[1:])
        in_question = shifted if effect else ~shifted
        shares = {verdict: found[verdict][:, in_question] for verdict in VERDICTS}
        shares["any false claim"] = found["better or worse"][:, ~shifted].any(axis=1)
        shares["uncorrected"] = (p <= LEVEL)[:, ~shifted].any(axis=1)
        rows += [
            Result("family", noise, str(effect), n, figure, round(100 * float(share.mean()), 3), TABLES)
            for figure, share in shares.items()
        ]
    return rows


def judged(p: NDArray[np.float64], interval: Interval, n: int) -> dict[str, NDArray[np.bool_]]:
    """By verdict, where it is reached. p and the interval have shape (tables, conditions, arms).

    The share of wins is left out: it contradicts no claim here (tests/results/test_simulated_verdicts.py).
    """
    corrected = np.array([holm(of_table) for of_table in p])
    size = np.abs(interval.mean)
    claimed = (corrected <= LEVEL) & (size > interval.half_width)
    equal = ~claimed & (size + interval.half_width <= ROPE)
    too_few = ~claimed & ~equal & (n < replicates_needed(p[0].size, LEVEL))
    return dict(zip(VERDICTS, (claimed, equal, ~claimed & ~equal & ~too_few, too_few)))


def main() -> None:
    """Simulate every cell and write the results."""
    rows: list[Result] = []
    for noise in NOISES:
        for n in REPLICATES:
            rows += family(noise, n, EFFECTS if noise == "normal" else (0,))
    write_results("family", rows)


if __name__ == "__main__":
    main()
