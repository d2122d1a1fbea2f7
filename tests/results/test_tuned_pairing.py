"""Checks what is paired once every arm has a value of its own: what the hashes say, and no more than that."""

from __future__ import annotations

import pytest

from normlib.results.store.frame import frame
from normlib.results.study.pairing import paired
from normlib.results.study.question import Question
from normlib.results.study.study import Study
from normlib.results.study.tuning import FIXED, TUNED, views
from tests.results.tuned_records import DEPTH, RATE, tuned_records


@pytest.mark.parametrize(("axis", "differs"), [(RATE, ""), (DEPTH, "the hash 'trunk'")])
def test_the_hashes_tell_whether_tuned_arms_are_paired(axis: str, differs: str) -> None:
    tuned = views(frame(tuned_records(axis)), axis)[TUNED]
    (found,) = paired(Study(tuned, Question(), view="tuned"))
    assert found.unpaired.startswith(differs) and bool(found.unpaired) == bool(differs)
    assert found.n == 3 and found.difference == pytest.approx(-0.15, abs=1e-12)


def test_all_at_one_value_is_paired() -> None:
    fixed = views(frame(tuned_records(DEPTH)), DEPTH)[FIXED]
    (found,) = paired(Study(fixed, Question()))
    assert found.unpaired == "" and found.difference == pytest.approx(0, abs=1e-12)
