"""Checks that the words are those of the figures and never stronger; golden sentences, and the lines of a table."""

from __future__ import annotations

import math
from typing import Any

import pytest

from normlib.results.store.frame import frame
from normlib.results.study.comparison import Comparison
from normlib.results.study.metrics import figure
from normlib.results.study.question import Question
from normlib.results.study.study import Study
from normlib.results.tables.table import p_value
from normlib.results.verdicts import details, digests, headline, verdicts_file
from normlib.results.wording import digest, sentence
from tests.results.factories import ACCURACY, LOSS

QUESTION = Question(metric=ACCURACY)


def _study(*comparisons: Comparison) -> Study:
    study = Study(frame([]), QUESTION)
    vars(study)["comparisons"] = comparisons
    return study


def _comparison(**over: Any) -> Comparison:
    values: dict[str, Any] = {
        "section": "model=mlp", "column": "2", "arm": "group", "baseline": "batch", "n": 10, "difference": 0.412,
        "low": 0.38, "high": 0.444, "outperforms": 1.0, "wins": 10, "p": 0.002, "p_holm": 0.008, "n_needed": 9,
        "verdict": "better",
    }  # fmt: skip
    return Comparison(**(values | over))


SENTENCES = [
    ({}, "At batch 2, group beats batch by 41.2 points (38.0 to 44.4; 10 of 10 seeds; p = 0.008)."),
    (
        {"difference": -0.02, "low": -0.03, "high": -0.01, "wins": 1, "losses": 9, "verdict": "worse", "p_holm": 0.0001},
        "At batch 2, group loses to batch by 2.0 points (1.0 to 3.0; 9 of 10 seeds; p < 0.001).",
    ),
    (
        {"difference": 0.002, "low": 0.001, "high": 0.003},
        "At batch 2, group beats batch by 0.2 points (0.1 to 0.3; 10 of 10 seeds; p = 0.008), which is less than the 0.5 "
        "points that count as equal.",
    ),
    (
        {"difference": 0.001, "low": -0.002, "high": 0.004, "verdict": "equal", "p_holm": 1.0},
        "At batch 2, group is equal to batch in practice: the difference is at most 0.4 points either way, and up to "
        "0.5 points count as equal.",
    ),
    (
        {"difference": 0.001, "low": -0.004, "high": 0.006, "verdict": "unknown", "p_holm": 1.0},
        "At batch 2, there is no clear difference between group and batch: it is at most 0.6 points either way.",
    ),
    (
        {"difference": -0.01, "low": -0.015, "high": -0.005, "verdict": "unknown", "p": 0.004, "p_holm": 0.09},
        "At batch 2, there is no clear difference between group and batch after the correction for 20 comparisons: −1.0 "
        "points (−1.5 to −0.5), p = 0.004, corrected 0.09.",
    ),
    (
        {"n": 5, "verdict": "too few", "n_needed": 10},
        "At batch 2, 5 seeds are too few to compare group with batch; 20 comparisons need 10 (measured: +41.2 points, +38.0 to "
        "+44.4).",
    ),
    (
        {"n": 1, "verdict": "too few", "n_needed": 10, "low": math.nan, "high": math.nan},
        "At batch 2, 1 seed is too few to compare group with batch; 20 comparisons need 10 (measured: +41.2 points).",
    ),
    (  # the interval ends at 0.521 points: a bound is rounded up, or it would read as the 0.5 that count as equal
        {"difference": 0.001, "low": -0.003, "high": 0.00521, "verdict": "unknown", "p_holm": 1.0},
        "At batch 2, there is no clear difference between group and batch: it is at most 0.6 points either way.",
    ),
    (
        {"verdict": "unknown", "losses": 12, "diverged": 12, "baseline_diverged": 1},
        "At batch 2, group − batch is +41.2 points (+38.0 to +44.4), without a verdict: some diverged runs have no figure; 12 runs "
        "of group and 1 run of batch diverged.",
    ),
    (
        {"verdict": "unknown", "wins": 3, "losses": 7},
        "At batch 2, group − batch is +41.2 points (+38.0 to +44.4), without a verdict: group is ahead in 3 of 10 seeds.",
    ),
    (
        {"n": 1, "verdict": "too few", "unpaired": "no seed in common", "p": math.nan, "low": math.nan, "high": math.nan},
        "At batch 2, 1 seed is too few to compare group with batch (unpaired: no seed in common; measured: +41.2 points).",
    ),
    (
        {"verdict": "none", "why_none": "group: failed 10/10"},
        "At batch 2, group is not compared with batch (group: failed 10/10).",
    ),
    (
        {"unpaired": "no seed in common", "n": 4},
        "At batch 2, group beats batch by 41.2 points (38.0 to 44.4; unpaired: no seed in common; n = 4; p = 0.008).",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("over", "words"), SENTENCES)
def test_each_verdict_in_words(over: dict[str, Any], words: str) -> None:
    assert sentence(_comparison(**over), QUESTION, family=20) == words


def test_other_axes_and_quantities_keep_their_names() -> None:
    question = Question(columns="optimizer.lr", metric=LOSS)
    words = sentence(_comparison(column="0.1", verdict="worse", wins=0, losses=10), question, 1)
    assert (
        words == "At optimizer.lr=0.1, group loses to batch by 0.412 nats (0.380 to 0.444; 10 of 10 seeds; p = 0.008)."
    )


def test_a_table_in_a_line_a_condition() -> None:
    comparisons = [
        _comparison(),
        _comparison(arm="layer", difference=0.5),
        _comparison(arm="none", verdict="unknown", difference=-0.01, p_holm=1.0),
        _comparison(arm="instance", verdict="none", why_none="instance: skipped", p=math.nan),
        _comparison(arm="batch_control", control=True, verdict="unknown", difference=0.004, p_holm=1.0),
    ]
    assert digest(comparisons, QUESTION) == [
        "At batch 2, layer (+50.0) and group (+41.2) beat batch; no clear difference to batch: batch_control (+0.4) and none (−1.0).",
        "Noise floor: batch_control is batch on another trajectory. Its mean differs by up to 0.4 points (at batch 2). No "
        "comparison shows a clear difference, as it should be.",
        "Not compared: instance: skipped.",
    ]
    assert headline([_study(*comparisons)]) == (
        "model=mlp: At batch 2, layer beats batch by 50.0 points (38.0 to 44.4; 10 of 10 seeds; p = 0.008)."
    )


def test_too_few_seeds_and_diverged_runs_are_said_in_the_line_of_a_condition() -> None:
    few = {"verdict": "too few", "n": 1, "n_needed": 7, "p_holm": 1.0}
    broken = {"verdict": "unknown", "diverged": 7, "difference": -0.055}
    lines = digest(
        [
            _comparison(**few), _comparison(arm="batch_control", control=True, difference=0.003, **few),
            _comparison(arm="nanny", **broken), _comparison(arm="other", unpaired="no seed in common"),
        ],
        QUESTION,
    )  # fmt: skip
    assert lines == [
        "At batch 2, other (+41.2, unpaired) beats batch; no clear difference to batch: nanny (−5.5, 7 diverged); too few "
        "seeds to compare with batch: group (+41.2, n=1 of 7 needed) and batch_control (+0.3, n=1 of 7 needed).",
        "Noise floor: batch_control is batch on another trajectory. Its mean differs by up to 0.3 points (at batch 2). With so "
        "few seeds no difference could show.",
    ]


def test_a_control_that_takes_no_other_trajectory_is_no_noise_floor() -> None:
    comparisons = [_comparison(arm="batch_control", control=True, verdict="equal", difference=0.0, wins=1, ties=9)]
    assert digest(comparisons, QUESTION)[1] == (
        "Noise floor: batch_control is batch with slightly different scales at the start. In 9 of 10 pairs it ended at the "
        "very same figure, so here it says little about the noise."
    )


def test_a_control_with_a_choice_of_its_own_raises_no_alarm() -> None:
    assert (
        "what the choice of its own setting adds"
        in digest([_comparison(arm="batch_control", control=True)], QUESTION, tuned=True)[1]
    )


def test_a_control_that_is_told_apart_is_an_alarm_and_no_headline() -> None:
    comparisons = [_comparison(arm="batch_control", control=True)]
    assert "says more than its data do" in digest(comparisons, QUESTION)[1]
    assert headline([_study(*comparisons)]) == ""


def test_hostile_names_stay_text_in_markdown() -> None:
    text = verdicts_file([_study(_comparison(arm="<script>|*"))])
    assert "<script>" not in text and "&lt;script>\\|\\*" in text


def test_no_comparisons_make_no_verdicts() -> None:
    assert verdicts_file([]) == headline([]) == headline([_study()]) == ""
    assert digest([], QUESTION) == digests([_study()]) == details([_study()]) == []


def test_numbers_in_words() -> None:
    assert [figure(x, ACCURACY) for x in (0.4123, -0.0004, math.nan)] == ["41.2", "0.0", "–"]
    assert [figure(x, ACCURACY, sign=True) for x in (0.4123, -0.01)] == ["+41.2", "−1.0"]
    assert [p_value(p) for p in (0.0004, 0.0081, 0.0488, 0.3, 1.0, math.nan)] == [
        "< 0.001",
        "0.0081",
        "0.049",
        "0.30",
        "1.00",
        "–",
    ]
