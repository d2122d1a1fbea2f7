"""Checks a whole report, figures and page, on settings and labels that are sound and odd; and records that lack what most have."""

from __future__ import annotations

import copy
import time
from pathlib import Path
from typing import Any

import pytest

from normlib.cli import main
from normlib.results.store.store import Store
from tests.results.factories import ACCURACY, make_record, study_of

ODD: tuple[Any, ...] = (
    "inf", "nan", "", "\x00", "a\nb", "$\\frac{$", "</script>", "٣", "x" * 20_000, 1e308, 5e-324, 2**63 - 1, -1, True, None, [1],
)  # fmt: skip


def _report(folder: Path, records: list[Any], *arguments: str) -> int:
    store = Store(folder, "odd")
    for record in records:
        store.write(record)
    return main(["report", str(store.folder), *arguments])


@pytest.mark.parametrize("value", ODD, ids=lambda value: repr(value)[:12])
def test_odd_settings_and_names_are_reported_and_drawn(
    value: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = copy.deepcopy(dict(make_record().spec))
    spec["data"]["batch_size"] = value
    records = [
        *(make_record(norm=norm, seed=seed) for norm in ("batch", "group") for seed in range(2)),
        *(make_record(norm=norm, seed=seed, spec={"data": spec["data"]}) for norm in ("batch", "group") for seed in range(2)),
    ]  # fmt: skip
    if isinstance(value, str):
        labels = {"norm": value, "model": value, "data": "digits"}
        records += [make_record(norm="own", seed=seed, labels=labels) for seed in range(2)]
    began = time.monotonic()
    assert _report(tmp_path, records) == 0
    assert time.monotonic() - began < 10
    assert capsys.readouterr().err == "" and (tmp_path / "odd" / "figures" / "accuracy.svg").exists()


def test_a_run_whose_reason_is_not_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert _report(tmp_path, [make_record(), make_record(seed=1, status="failed")]) == 0
    assert "1 × no reason is recorded" in capsys.readouterr().out


def test_a_tuning_without_stages_tunes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = {**make_record().labels, "tuning": "nothing.at_all"}
    assert _report(tmp_path, [make_record(), make_record(seed=1, labels=labels)]) == 0
    assert capsys.readouterr().err == ""


def test_a_condition_without_trained_runs_has_no_resolution() -> None:
    records = [make_record(batch_size=2), make_record(batch_size=32, status="failed")]
    trained, failed = study_of(records).conditions[""]
    assert (trained.resolution("test.accuracy", ACCURACY), failed.resolution("test.accuracy", ACCURACY)) == (
        1 / 250,
        0.0,
    )
