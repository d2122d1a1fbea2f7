"""Checks reports on experiments with tuning: both views, the choices, stopped sweeps, filters, and runs in no view."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from normlib.results.elsewhere.arms import compare_arms
from normlib.results.report import Report, write_report
from normlib.results.store.frame import frame
from normlib.results.store.record import Record
from normlib.results.study.axes import ReportError
from normlib.results.study.question import Question
from normlib.results.study.views import Shown, shown
from tests.pages import readable
from tests.results.tuned_records import DEPTH, FIRST_TRIAL, RATE, tuned_records, tuned_run

TRIALS = [record for record in tuned_records() if record.labels["stage"] == "trial"]
FIXED_RUNS = [record for record in tuned_records() if record.labels["stage"] == "fixed"]
NO_CHOICE = "no choice yet for 1 of 2 arms and conditions"

EDGE = "2 of 2 choices of optimizer.lr are at the edge of the grid: a better value may lie beyond it"


def _tables(folder: Path) -> dict[str, str]:
    return {path.stem: path.read_text() for path in (folder / "tables").glob("*.md")}


def _views(report: Report) -> list[str]:
    return [study.view for study in report.studies]


def test_both_views_and_the_choices_are_shown(tmp_path: Path) -> None:
    report = write_report(tmp_path, tuned_records())
    tables = _tables(tmp_path)
    assert _views(report) == ["tuned", "fixed"] and len(report.frame) == 17 and report.messages == (EDGE,)
    tuned, fixed = tables["accuracy"].split("### ")[1:]
    assert "(tuned)" in tuned and "| batch | **95.0 ± 0.3** |" in tuned
    assert "(fixed)" in fixed and "| batch | **80.0 ± 0.3** |" in fixed
    assert "| batch | 1 (edge) | 70.0 | **90.0** |" in tables["tuning"]
    assert [each.view for each in report.tables if each.name == "differences"] == ["tuned", "fixed"]
    differences = pd.read_csv(tmp_path / "tables" / "differences.csv").set_index("view")["difference"]
    assert differences.to_dict() == pytest.approx({"tuned": -0.15, "fixed": 0}, abs=1e-12)
    first = [(tmp_path / "tables" / f"{name}.csv").read_text().partition(",")[0] for name in tables]
    assert dict(zip(tables, first, strict=True)) == dict.fromkeys(tables, "view") | {"tuning": "norm"}
    page = (tmp_path / "report.html").read_text()
    assert "(tuned)" in page and "(fixed)" in page and "by accuracy on validation" in page


def test_verdicts_say_which_view_they_are_of(tmp_path: Path) -> None:
    report = write_report(tmp_path, tuned_records(seeds=6))
    lines = (tmp_path / "verdicts.md").read_text().splitlines()
    assert lines[0].startswith("Tuned: At batch 32, group loses to batch by 15.0 points")
    tuned, fixed = (
        lines.index(heading)
        for heading in (
            "# Tuned: every arm at its chosen value of optimizer.lr",
            "# Fixed: every arm at optimizer.lr=0.1",
        )
    )
    assert 0 < tuned < fixed
    assert any("loses to batch" in line for line in lines[tuned:fixed])
    assert any("equal to batch" in line for line in lines[fixed:])
    page = (tmp_path / "report.html").read_text()
    for heading in (lines[tuned][2:], lines[fixed][2:]):
        assert page.count(f"<h3>{heading}</h3>") == 2, "open, and every comparison in words"
    assert '<p class="headline">Tuned: At batch 32' in page
    console = Console(width=200, record=True, file=io.StringIO())
    report.render(console)
    printed = console.export_text()
    assert all(f"Verdicts, {lines[place][2:]}" in printed for place in (tuned, fixed))


def test_arms_at_other_depths_are_compared_as_two_samples_and_said_to_be(tmp_path: Path) -> None:
    write_report(tmp_path, tuned_records(DEPTH))
    tables = _tables(tmp_path)
    tuned, fixed = tables["paired"].split("### ")[1:]
    assert "unpaired" in tuned and "unpaired" not in fixed
    assert "0 of 6 trained runs were compared with another arm" in readable((tmp_path / "report.html").read_text())


@pytest.mark.parametrize(
    ("records", "views", "message"),
    [
        (TRIALS[:-1], [], f"{NO_CHOICE}: 1 of 4 trials have no record; `normlib compare` continues"),
        (TRIALS, [], "no run at a chosen value has a record yet; `normlib compare` continues"),
        (
            [*TRIALS[:5], *FIXED_RUNS],
            ["fixed"],
            f"{NO_CHOICE}: 3 of 4 trials have no record; `normlib compare` continues",
        ),
        (FIXED_RUNS, ["fixed"], "no choice yet: no trial has a record; `normlib compare` continues"),
    ],
    ids=["among the trials", "between the stages", "trials missing", "no trials"],
)
def test_a_sweep_that_stopped_has_a_report(
    records: list[Record], views: list[str], message: str, tmp_path: Path
) -> None:
    report = write_report(tmp_path, records)
    tables = _tables(tmp_path)
    assert _views(report) == views and message in report.messages
    assert (tmp_path / "runs.csv").exists() and (tmp_path / "verdicts.md").exists()
    assert ("tuning" in tables) == (TRIALS[0] in records) and ("accuracy" in tables) == bool(views)
    page = readable((tmp_path / "report.html").read_text())
    assert message in page
    if not views:
        assert f"{len(records)} runs of trials and other views" in page and "compared with another arm’s" in page


def test_filters_have_no_say_in_a_choice(tmp_path: Path) -> None:
    runs = frame(tuned_records())

    def views(**values: Any) -> tuple[Shown, dict[str, int]]:
        found = shown(runs, {name.replace("__", "."): kept for name, kept in values.items()})
        return found, {view.name: len(view.runs) for view in found.views}

    whole, _ = views()
    found, sizes = views(seed={0, 1})
    assert sizes == {"tuned": 4, "fixed": 4} and len(found.runs) == 14 and found.choices.equals(whole.choices)
    assert found.messages == (EDGE, "14 of 17 runs are shown, as asked")
    found, sizes = views(optimizer__lr={"1.0"})
    assert sizes == {"tuned": 6}
    assert found.messages == (EDGE, "14 of 17 runs are shown, as asked"), "every tuned comparison is there"
    assert list(views(optimizer__lr={0.1})[1]) == ["tuned", "fixed"]
    found, _ = views(norm={"group"})
    assert {*found.runs["norm"]} == {*found.choices["norm"]} == {"group"}
    for name in ("stage", "tuning"):
        with pytest.raises(ReportError, match=f"not {name}: it says what a run is for"):
            views(**{name: {"trial"}})

    report = write_report(tmp_path, tuned_records(), filters={"norm": {"none"}})
    assert "no runs to show" in report.messages[0] and not report.studies
    with pytest.raises(ReportError, match="optimizer.lr was tuned for each arm and cannot span the tables"):
        write_report(tmp_path, tuned_records(), question=Question(columns=RATE))


def test_runs_in_no_view_are_counted(tmp_path: Path) -> None:
    plain = [tuned_run("batch", seed, 0.1, None) for seed in (7, 8)]
    unchosen = [tuned_run("group", 0, 1.0, "tuned")]
    report = write_report(tmp_path, [*tuned_records(), *plain, *unchosen])
    assert _views(report) == ["tuned", "fixed"] and len(report.frame) == 17
    assert report.messages[-1].startswith("3 runs in no view: made without tuning, for another tuning, or at values")


def test_a_plan_that_does_not_tune_shows_its_runs_whatever_stages_they_have(tmp_path: Path) -> None:
    records = [*tuned_records(), tuned_run("batch", 7, 0.1, None), tuned_run("group", 7, 0.1, None)]
    ids = {record.id for record in records if record.labels.get("stage") in (None, "fixed")}
    report = write_report(tmp_path, records, ids=ids, staged=False)
    assert _views(report) == [""] and len(report.studies[0].runs) == 8
    assert "stage" in (tmp_path / "runs.csv").read_text().splitlines()[0], "the file has every column"


def test_the_page_lists_what_went_wrong_in_trials_and_in_the_fixed_view(tmp_path: Path) -> None:
    broken = [
        tuned_run("group", FIRST_TRIAL, 1.0, "trial", 0.1, status="diverged"),
        tuned_run("batch", 2, 0.1, "fixed", 0.1, status="diverged"),
    ]
    records = {record.id: record for record in [*tuned_records(), *broken]}
    report = write_report(tmp_path, records.values())
    assert "2 runs diverged:" in report.messages
    page = readable((tmp_path / "report.html").read_text())
    listed = page[page.index("Failed, diverged and skipped runs") : page.index("What is guaranteed")]
    assert "No run failed" not in page
    for section in ("stage=trial, optimizer.lr=1", "stage=fixed, optimizer.lr=0.1"):
        assert section in listed
    assert "6 runs, 2 arms, 1 condition, 3 seeds, and 11 runs of trials and other views" in page


def test_arms_are_compared_within_a_view_and_never_with_trials() -> None:
    runs = frame(tuned_records())
    (tuned,), (fixed,) = (compare_arms(runs, **view).to_dict("records") for view in ({}, {"view": "fixed"}))
    assert (tuned["n"], fixed["n"]) == (3, 3) and tuned["unpaired"] == fixed["unpaired"] == ""
    assert tuned["difference"] == pytest.approx(-0.15, abs=1e-12) and fixed["difference"] == pytest.approx(0, abs=1e-12)
    (deep,) = compare_arms(frame(tuned_records(DEPTH))).to_dict("records")
    assert "'trunk'" in deep["unpaired"]
    plain = frame([tuned_run(norm, seed, 0.1, None) for norm in ("batch", "group") for seed in range(3)])
    assert compare_arms(plain, view="fixed").equals(compare_arms(plain))
    with pytest.raises(ReportError, match="'tuned', every arm at its chosen value, or 'fixed'.*'trial'"):
        compare_arms(plain, view="trial")
    with pytest.raises(ReportError, match="there are no tuned runs: no run at a chosen value has a record yet"):
        compare_arms(frame(TRIALS))
    with pytest.raises(ReportError, match="there are no fixed runs"):
        compare_arms(frame(TRIALS), view="fixed")
