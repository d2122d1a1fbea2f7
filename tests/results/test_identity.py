"""Checks that runs which claim to be paired and are not are refused, with the hash named; and that nothing else is."""

from __future__ import annotations

import re
from typing import Any

import pytest

from normlib.results.identity import MEANING, IdentityError, check_paired
from normlib.results.record import Record
from tests.results.factories import make_record


def _with_hashes(record: Record, **changed: Any) -> Record:
    return Record(**{**record.to_dict(), "hashes": {**record.hashes, **changed}})


def _replicates() -> list[Record]:
    return [
        make_record(norm=norm, batch_size=batch_size, seed=seed)
        for norm in ("batch", "group", "none")
        for batch_size in (2, 32)
        for seed in range(3)
    ]


def test_identical_starts_pass() -> None:
    check_paired(_replicates())
    check_paired([])
    check_paired([make_record()])


@pytest.mark.parametrize("name", MEANING)
def test_each_hash_that_differs_is_refused_by_name(name: str) -> None:
    good = make_record(norm="group", batch_size=2, seed=2)
    shifted = ["e0", *good.hashes["batches"][1:]] if name == "batches" else "0123"
    records = [record for record in _replicates() if record.id != good.id]
    with pytest.raises(IdentityError) as caught:
        check_paired([*records, _with_hashes(good, **{name: shifted})])
    message = str(caught.value)
    assert f"hash {name!r}" in message and "seed=2" in message and "data.batch_size=2" in message
    assert re.search("arms (batch|none) and group|arms group and (batch|none)", message)
    assert "seed=0" not in message


def test_a_run_that_stopped_early_is_held_against_the_same_prefix() -> None:
    whole, broken = make_record(), make_record(norm="none", status="diverged")
    check_paired([_with_hashes(broken, batches=whole.hashes["batches"][:2]), whole])
    check_paired([whole, _with_hashes(broken, batches=[])])
    with pytest.raises(IdentityError, match="in epoch 1"):
        check_paired([_with_hashes(broken, batches=[whole.hashes["batches"][0], "other"]), whole])


def test_two_stopped_runs_are_both_held_against_the_longest() -> None:
    whole = make_record()
    short = [
        _with_hashes(make_record(norm=norm, status="diverged"), batches=whole.hashes["batches"][:1])
        for norm in ("none", "group")
    ]
    check_paired([*short, whole])


def test_what_does_not_claim_to_be_paired_passes() -> None:
    check_paired([make_record(seed=0), make_record(seed=1), make_record(model="convnet"), make_record(batch_size=2)])


def test_skipped_and_failed_runs_have_nothing_to_hold() -> None:
    check_paired(
        [make_record(), make_record(norm="group", status="failed"), make_record(norm="none", status="skipped")]
    )


def test_an_edited_model_is_given_as_the_cause() -> None:
    other = make_record(norm="group", code={**make_record(norm="group").code, "model": "edited"})
    with pytest.raises(IdentityError, match="different versions of the model code"):
        check_paired([make_record(), _with_hashes(other, trunk="0123")])
