"""The laws that simulated accuracies follow: what two arms score, seed by seed, and what is true of them.

In: a law, a correlation, a shape, a generator. Out: paired scores as fractions. This file judges no method.
Pairs are correlated through two standard normal numbers. Each arm's score is a rising function of its number. The
correlation is that of the normal numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, betaincinv, ndtr

TEST_SAMPLES = 300
"""As in the default experiment: an accuracy is a multiple of 1/300."""

Scores = NDArray[np.float64]


@dataclass(frozen=True)
class Arm:
    """An arm's scores: `score` turns standard normal numbers into scores, and `mean` is their exact mean."""

    score: Callable[[Scores], Scores]
    mean: float


@dataclass(frozen=True)
class Law:
    """Two arms. `resolution` is the step of their scores, or 0 without steps."""

    a: Arm
    b: Arm
    resolution: float = 0.0

    @property
    def difference(self) -> float:
        """The true mean of a - b."""
        return self.a.mean - self.b.mean

    def pairs(self, correlation: float, shape: tuple[int, ...], rng: np.random.Generator) -> tuple[Scores, Scores]:
        """Scores of both arms, each of the shape given."""
        first, own = rng.normal(size=shape), rng.normal(size=shape)
        return self.a.score(first), self.b.score(correlation * first + math.sqrt(1 - correlation**2) * own)

    def outperformance(self, correlation: float, rng: np.random.Generator, draws: int = 1_000_000) -> float:
        """P(a > b) + P(a = b) / 2 from a million pairs, with a standard error of at most 0.0005."""
        a, b = self.pairs(correlation, (draws,), rng)
        return float((np.mean(a > b) + np.mean(a >= b)) / 2)


def normal(mean: float, spread: float) -> Arm:
    return Arm(lambda z: mean + spread * z, mean)


def log_normal(ceiling: float, spread: float) -> Arm:
    """Below the ceiling by a log-normal amount: skewness -1.75."""
    return Arm(lambda z: ceiling - spread * np.exp(0.5 * z), ceiling - spread * math.exp(0.125))


def exponential(ceiling: float, spread: float) -> Arm:
    """Below the ceiling by an exponential amount: skewness -2, most values close to the ceiling."""
    return Arm(lambda z: ceiling + spread * np.log(ndtr(z)), ceiling - spread)


def uniform(mean: float, spread: float) -> Arm:
    """All values of an interval equally often. It has the shortest tails, for which t tests are least reliable."""
    return Arm(lambda z: mean + spread * math.sqrt(12) * (ndtr(z) - 0.5), mean)


def failing(mean: float, spread: float, share: float) -> Arm:
    """Normal, but this share of the runs fails and scores like chance, 0.1: two outcomes far apart."""
    return Arm(lambda z: np.where(ndtr(z) < share, 0.1, mean) + spread * z, share * 0.1 + (1 - share) * mean)


def beta(mean: float) -> Arm:
    """Bounded by 1, with the variance of a test set of TEST_SAMPLES, but without steps."""
    low, high = mean * TEST_SAMPLES, (1 - mean) * TEST_SAMPLES
    return Arm(lambda z: betaincinv(low, high, ndtr(z)), mean)


def counted(probability: float) -> Arm:
    """Each of TEST_SAMPLES samples is right with this probability: binomial, in steps of one sample."""
    below = bdtr(np.arange(TEST_SAMPLES, dtype=float), TEST_SAMPLES, probability)
    return Arm(lambda z: np.searchsorted(below, ndtr(z)) / TEST_SAMPLES, probability)


def rounded(mean: float, spread: float) -> Arm:
    """Normal, rounded to whole samples: an arm whose runs differ by less than one test sample."""
    samples = np.arange(TEST_SAMPLES + 1)
    edges = (samples[:-1] + 0.5) / TEST_SAMPLES
    exact = 1 - ndtr((edges - mean) / spread).sum() / TEST_SAMPLES  # a sum of P(score > edge) over the steps
    return Arm(lambda z: np.searchsorted(edges, mean + spread * z) / TEST_SAMPLES, float(exact))


STEP = 1 / TEST_SAMPLES
LAWS = {
    "normal": Law(normal(0.96, 0.005), normal(0.95, 0.005)),
    "normal, spreads 1:4": Law(normal(0.96, 0.005), normal(0.95, 0.02)),
    "log-normal": Law(log_normal(0.99, 0.01), log_normal(0.98, 0.01)),
    "log-normal, spreads 1:4": Law(log_normal(0.99, 0.01), log_normal(0.98, 0.04)),
    "exponential": Law(exponential(0.99, 0.01), exponential(0.98, 0.01)),
    "exponential, spreads 1:4": Law(exponential(0.99, 0.01), exponential(0.98, 0.04)),
    "beta, 0.99 and 0.98": Law(beta(0.99), beta(0.98)),
    "beta, 0.999 and 0.99": Law(beta(0.999), beta(0.99)),
    "steps, 0.97 and 0.97": Law(counted(0.97), counted(0.97), STEP),
    "steps, 0.99 and 0.98": Law(counted(0.99), counted(0.98), STEP),
    "steps, 0.999 and 0.99": Law(counted(0.999), counted(0.99), STEP),
    "steps, 0.999 and 0.999": Law(counted(0.999), counted(0.999), STEP),
    "steps, 0.9995 and 0.999": Law(counted(0.9995), counted(0.999), STEP),
    "steps, spread of 0.3 of one": Law(rounded(0.976, 0.001), rounded(0.971, 0.001), STEP),
}
"""By name. "Steps": a multiple of 1/300. If no spreads are named, both arms have the same law around their means."""
