"""The gap of each run: how much its figure on the training split is above that on the test split.

In: a study and one of its conditions. Out: arrays by replicate. No statistic is computed.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from normlib.results.study.study import Condition, Study


def gaps(study: Study, condition: Condition, arm: str) -> NDArray[np.float64]:
    """Train minus test by replicate, (replicates,); NaN where a run lacks either."""
    return condition.array(arm, study.question.on("train")) - condition.array(arm, study.question.on("test"))


def gap_resolution(study: Study, condition: Condition) -> float:
    """The step that the difference comes in, from those of both splits; 0 for a continuous metric."""
    question = study.question
    return math.hypot(*(condition.resolution(question.on(split), question.facts) for split in ("train", "test")))
