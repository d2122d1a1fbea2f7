"""Checks that trunk parameters reinitialized by a norm are named below the tables, on the page and in runs.csv, and nowhere else."""

from __future__ import annotations

import json

from normlib.results.page import PageContent, page
from normlib.results.store.columns import REINITIALIZED
from normlib.results.store.frame import frame, settings
from normlib.results.store.record import Record
from normlib.results.study.question import Question
from normlib.results.study.study import Study
from normlib.results.tables import cost
from tests.results.factories import make_record, sheets_of, study_of

NAMES = [f"blocks.{index}.conv{layer}.weight" for index in range(2) for layer in (1, 2)] + ["classifier.weight"]
NOTE = (
    "Started anew by the norm: fixup (5 trunk parameters: blocks.0.conv1.weight, blocks.0.conv2.weight, "
    "blocks.1.conv1.weight, …). All else of the trunk starts as the seed makes it, alike in every row."
)


def records(**fixup: object) -> list[Record]:
    own = {"reinitialized": NAMES, **fixup}
    return [make_record(), make_record(norm="fixup", **own), make_record(norm="none", status="skipped", reason="why")]


def test_the_main_table_and_the_costs_tell_which_arm_reinitializes_what() -> None:
    for sheet in (*sheets_of(records()), *cost.sheets(study_of(records()))):
        assert NOTE in sheet.notes, sheet.name


def test_the_page_tells_it_beside_the_parameters_and_beside_the_hash_of_the_trunk() -> None:
    made = records()
    study = Study(frame(made), Question(), {record.id: record.curves for record in made})
    text = page(PageContent(experiment="small_batch", study=study, sheets=[*sheets_of(made), *cost.sheets(study)]))
    assert text.count(NOTE) == 2
    assert "before any norm starts some of them anew" in text


def test_nothing_is_told_where_nothing_was_reinitialized() -> None:
    made = records(reinitialized=[])
    assert REINITIALIZED not in frame(made)
    for sheet in (*sheets_of(made), *cost.sheets(study_of(made))):
        assert not any("anew" in note for note in sheet.notes)
    study = Study(frame(made), Question(), {record.id: record.curves for record in made})
    assert "anew" not in page(PageContent(experiment="small_batch", study=study, sheets=sheets_of(made)))


def test_runs_of_one_arm_that_differ_are_counted_from_the_fewest_to_the_most() -> None:
    made = [*records(), make_record(norm="fixup", batch_size=8, reinitialized=["classifier.weight"])]
    (sheet,) = sheets_of(made)
    assert any("fixup (1 to 5 trunk parameters: blocks.0.conv1.weight, " in note for note in sheet.notes)
    (sheet,) = sheets_of([make_record(norm="fixup", reinitialized=["classifier.weight"])])
    assert any("fixup (1 trunk parameter: classifier.weight). All" in note for note in sheet.notes)


def test_the_column_holds_every_name_and_is_no_setting() -> None:
    table = frame(records())
    assert [names if isinstance(names, str) else None for names in table[REINITIALIZED]] == [
        None,
        json.dumps(NAMES),
        None,
    ]
    assert REINITIALIZED not in settings(table)
