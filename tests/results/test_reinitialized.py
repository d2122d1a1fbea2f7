"""Checks that trunk parameters reinitialized by a norm are named below the tables, on the page and in runs.csv, and nowhere else."""

from __future__ import annotations

import json

from normlib.results.page import PageContent, page
from normlib.results.store.columns import REINITIALIZED
from normlib.results.store.frame import frame, settings
from normlib.results.store.record import Record
from normlib.results.tables.table import make_tables
from tests.results.factories import main_tables, make_record, study_of

NAMES = [f"blocks.{index}.conv{layer}.weight" for index in range(2) for layer in (1, 2)] + ["classifier.weight"]
NOTE = (
    "Reinitialized by the norm: fixup (5 trunk parameters: blocks.0.conv1.weight, blocks.0.conv2.weight, "
    "blocks.1.conv1.weight, …). All other trunk parameters start from the seed, alike in every row."
)


def records(**fixup: object) -> list[Record]:
    own = {"reinitialized": NAMES, **fixup}
    return [make_record(), make_record(norm="fixup", **own), make_record(norm="none", status="skipped", reason="why")]


def test_the_main_table_and_the_costs_tell_which_arm_reinitializes_what() -> None:
    told = {table.name for table in make_tables(study_of(records())) if NOTE in table.notes}
    assert {"accuracy", "loss", "cost"} <= told


def test_the_page_tells_it_beside_the_parameters_and_beside_the_hash_of_the_trunk() -> None:
    study = study_of(records())
    text = page(PageContent(experiment="small_batch", study=study, tables=make_tables(study)))
    assert text.count(NOTE) == 3
    assert "Some norms reinitialize a few of them after that." in text


def test_nothing_is_told_where_nothing_was_reinitialized() -> None:
    made = records(reinitialized=[])
    assert REINITIALIZED not in frame(made)
    study = study_of(made)
    text = page(PageContent(experiment="small_batch", study=study, tables=make_tables(study)))
    assert "einitialize" not in text


def test_runs_of_one_arm_that_differ_are_counted_from_the_fewest_to_the_most() -> None:
    made = [*records(), make_record(norm="fixup", batch_size=8, reinitialized=["classifier.weight"])]
    (table,) = main_tables(made)
    assert any("fixup (1 to 5 trunk parameters: blocks.0.conv1.weight, " in note for note in table.notes)
    (table,) = main_tables([make_record(norm="fixup", reinitialized=["classifier.weight"])])
    assert any("fixup (1 trunk parameter: classifier.weight). All" in note for note in table.notes)


def test_the_column_holds_every_name_and_is_no_setting() -> None:
    table = frame(records())
    assert [names if isinstance(names, str) else None for names in table[REINITIALIZED]] == [
        None,
        json.dumps(NAMES),
        None,
    ]
    assert REINITIALIZED not in settings(table)
