"""Checks that runs which claim to be paired and are not are refused, with the hash named; and that nothing else is."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from normlib.results.store.frame import frame
from normlib.results.store.record import Record
from normlib.results.study.identity import MEANING, IdentityError, check_paired, held_against_another, pairing
from tests.results.factories import make_record


def _with_hashes(record: Record, **changed: Any) -> Record:
    return Record(**{**record.to_dict(), "hashes": {**record.hashes, **changed}})


def _check(records: Sequence[Record]) -> None:
    check_paired(frame(records))


def _replicates() -> list[Record]:
    return [
        make_record(norm=norm, batch_size=batch_size, seed=seed)
        for norm in ("batch", "group", "none")
        for batch_size in (2, 32)
        for seed in range(3)
    ]


def test_identical_starts_pass() -> None:
    _check(_replicates())
    _check([])
    _check([make_record()])


@pytest.mark.parametrize("name", MEANING)
def test_each_hash_that_differs_is_refused_by_name(name: str) -> None:
    good = make_record(norm="group", batch_size=2, seed=2)
    shifted = ["e0", *good.hashes["batches"][1:]] if name == "batches" else "0123"
    records = [record for record in _replicates() if record.id != good.id]
    with pytest.raises(IdentityError) as caught:
        _check([*records, _with_hashes(good, **{name: shifted})])
    message = str(caught.value)
    assert f"hash {name!r}" in message and "seed=2" in message and "data.batch_size=2" in message
    assert re.search("arms (batch|none) and group|arms group and (batch|none)", message)
    assert "seed=0" not in message


def test_a_run_that_stopped_early_is_held_against_the_same_prefix() -> None:
    whole, broken = make_record(), make_record(norm="none", status="diverged")
    _check([_with_hashes(broken, batches=whole.hashes["batches"][:2]), whole])
    _check([whole, _with_hashes(broken, batches=[])])
    with pytest.raises(IdentityError, match="in epoch 1"):
        _check([_with_hashes(broken, batches=[whole.hashes["batches"][0], "other"]), whole])


def test_two_stopped_runs_are_both_held_against_the_longest() -> None:
    whole = make_record()
    short = [
        _with_hashes(make_record(norm=norm, status="diverged"), batches=whole.hashes["batches"][:1])
        for norm in ("none", "group")
    ]
    _check([*short, whole])


def test_what_does_not_claim_to_be_paired_passes() -> None:
    _check([make_record(seed=0), make_record(seed=1), make_record(model="convnet"), make_record(batch_size=2)])


def test_skipped_and_failed_runs_have_nothing_to_hold() -> None:
    _check([make_record(), make_record(norm="group", status="failed"), make_record(norm="none", status="skipped")])


def test_an_edited_model_is_given_as_the_cause() -> None:
    other = make_record(norm="group", code={**make_record(norm="group").code, "model": "edited"})
    with pytest.raises(IdentityError, match="different versions of the model code"):
        _check([make_record(), _with_hashes(other, trunk="0123")])


def test_whoever_has_the_rows_as_a_file_can_verify_them(tmp_path: Path) -> None:
    records = _replicates()
    frame(records).to_csv(tmp_path / "runs.csv", index=False)
    check_paired(pd.read_csv(tmp_path / "runs.csv"))
    shifted = [*records[:-1], _with_hashes(records[-1], batches=["other"])]
    frame(shifted).to_csv(tmp_path / "runs.csv", index=False)
    with pytest.raises(IdentityError, match="'batches'.* and other in epoch 0|other and .* in epoch 0"):
        check_paired(pd.read_csv(tmp_path / "runs.csv"))


def test_a_hash_that_is_lacking_shows_nothing() -> None:
    hashes = {key: value for key, value in make_record().hashes.items() if key != "trunk"}
    lacking = Record(**{**make_record(norm="group").to_dict(), "hashes": hashes})
    with pytest.raises(IdentityError, match="'trunk'.*none at all"):
        _check([make_record(), lacking])
    runs = frame(_replicates())
    with pytest.raises(IdentityError, match="none at all and none at all"):
        check_paired(runs.drop(columns="hashes.data"))


def test_rows_of_two_machines_do_not_claim_to_be_paired() -> None:
    other = make_record(norm="group")
    elsewhere = Record(**{**other.to_dict(), "labels": {**other.labels, "machine": "another"}})
    _check([make_record(), _with_hashes(elsewhere, trunk="0123")])


def _side(records: Sequence[Record]) -> pd.DataFrame:
    return frame(records).set_index("seed")


def test_arms_that_are_not_norms_are_paired_where_their_hashes_agree() -> None:
    slow, fast = ([make_record(spec={"optimizer": {"lr": lr}}, seed=seed) for seed in range(3)] for lr in (0.1, 0.2))
    assert pairing(_side(slow), _side(fast)) == ""
    assert pairing(_side(slow), _side(fast[1:])) == "" and pairing(_side(slow), _side(slow)[:0]) == ""
    stopped = [*fast[:2], _with_hashes(fast[2], batches=fast[2].hashes["batches"][:2])]
    assert pairing(_side(slow), _side(stopped)) == ""
    failed = make_record(spec={"model": {"depth": 9}}, seed=2, status="failed")
    assert pairing(_side(slow), _side([*fast[:2], failed])) == ""


@pytest.mark.parametrize("name", MEANING)
def test_arms_that_are_not_paired_are_told_by_the_first_hash_and_replicate(name: str) -> None:
    records = [make_record(seed=seed) for seed in range(4)]
    other = "0123" if name != "batches" else ["0123"]
    changed = [_with_hashes(record, **{name: other}) if record.spec["seed"] >= 2 else record for record in records]
    found = pairing(_side(records), _side(changed))
    assert f"hash {name!r}" in found and "seed=2:" in found and "0123" in found
    by_split = (frame(side).set_index(["seed", "data.split_seed"]) for side in (records, changed))
    assert "replicate seed=2, data.split_seed=0:" in pairing(*by_split)


def test_ten_thousand_rows_take_well_under_a_second() -> None:
    small = frame(_replicates())
    runs = pd.concat([small.assign(seed=small["seed"] + 3 * turn) for turn in range(10_000 // len(small) + 1)])
    began = time.perf_counter()
    check_paired(runs.reset_index(drop=True))
    assert time.perf_counter() - began < 1


def test_a_run_counts_as_held_against_another_only_where_the_hashes_were_there_and_agreed() -> None:
    whole, other = make_record(), make_record(norm="group")
    broken = make_record(norm="none", status="diverged")
    cases = {
        "agrees": (other, [True, True]),
        "no epoch": (_with_hashes(broken, batches=[]), [False, False]),
        "same prefix": (_with_hashes(broken, batches=whole.hashes["batches"][:2]), [True, True]),
        "other prefix": (_with_hashes(broken, batches=[whole.hashes["batches"][0], "e1"]), [False, False]),
        "no hash": (_with_hashes(other, batches=None), [False, False]),
        "another seed": (make_record(norm="group", seed=1), [False, False]),
        "failed": (make_record(norm="group", status="failed"), [False, False]),
    }
    for case, (record, held) in cases.items():
        assert held_against_another(frame([whole, record]), "batches").tolist() == held, case
    assert held_against_another(frame([whole, cases["no epoch"][0]]), "trunk").all(), "the trunk was there"
    three = frame([_with_hashes(whole, trunk="0123"), other, make_record(norm="layer")])
    assert held_against_another(three, "trunk").tolist() == [False, True, True]
    assert not len(held_against_another(frame([]), "trunk"))
