"""Checks that the simulation of whole tables judges as the report does; it has the rule again, for all tables at once."""

from __future__ import annotations

import numpy as np

from benchmarks.statistics_documents import VERDICTS
from benchmarks.statistics_family import NOISES, STEP, scores
from benchmarks.statistics_family import judged as judged_at_once
from normlib.results.stats import paired_difference, sign_flip_p
from normlib.results.study.comparison import Comparison, judged
from normlib.results.study.question import Question
from normlib.tasks.metric import Metric


def test_no_claim_of_the_simulation_is_contradicted_by_the_share_of_wins() -> None:
    """So that the simulation need not count wins to judge as the report does."""
    claims = 0
    for noise in NOISES:
        simulated = scores(noise, 12, 250, np.random.default_rng(0))
        differences = simulated[..., 1:] - simulated[..., :1]
        p = np.apply_along_axis(sign_flip_p, 0, differences)
        resolution = STEP if noise.startswith("steps") else 0.0
        interval = paired_difference(differences, np.zeros_like(differences), resolution=resolution)
        claimed = judged_at_once(p, interval, 12)[VERDICTS[0]]
        ahead = np.sign(differences).sum(axis=0)  # wins less losses
        assert not (claimed & (ahead * np.sign(interval.mean) < 0)).any()
        claims += int(claimed.sum())
    assert claims >= 20


def test_the_simulation_judges_as_the_report_does() -> None:
    rng = np.random.default_rng(0)
    words = {
        "better": VERDICTS[0],
        "worse": VERDICTS[0],
        "equal": VERDICTS[1],
        "unknown": VERDICTS[2],
        "too few": VERDICTS[3],
    }
    met = set()
    for n in (7, 10, 12):
        # (n, tables, conditions, arms): shifts from nothing to two points, spreads from tiny to half a point
        differences = rng.normal(size=(n, 20, 5, 5)) * np.array([0.0003, 0.001, 0.002, 0.005, 0.005])
        differences += np.array([0, 0.001, 0.003, 0.01, 0.02])[:, None]
        p = np.apply_along_axis(sign_flip_p, 0, differences)
        interval = paired_difference(differences, np.zeros_like(differences))
        at_once = judged_at_once(p, interval, n)
        for table in range(p.shape[0]):
            mean, width = interval.mean[table].ravel(), interval.half_width[table].ravel()
            made = [
                Comparison("", "", "group", "batch", n=n, wins=n, difference=m, low=m - w, high=m + w, p=one)
                for m, w, one in zip(mean, width, p[table].ravel())
            ]
            ours = [words[each.verdict] for each in judged(made, Question(metric=Metric("share", "%")))]
            theirs = [next(v for v in VERDICTS if at_once[v][table].ravel()[place]) for place in range(len(ours))]
            assert ours == theirs
            met |= set(ours)
    assert met == set(VERDICTS)
