"""Checks every registered table, whichever there are: on ordinary, poor and tuned results, and in every renderer.

The tables come from the registry: a new one is checked here without being named.
"""

from __future__ import annotations

import ast
import csv
import functools
import io
import math
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

import normlib
from normlib.results.render import FILES
from normlib.results.render.csv import tidy_csv
from normlib.results.render.html import html_table
from normlib.results.render.latex import latex
from normlib.results.render.markdown import markdown
from normlib.results.render.terminal import terminal
from normlib.results.store.frame import frame
from normlib.results.store.record import Record
from normlib.results.study.question import Question
from normlib.results.study.study import Study
from normlib.results.study.tuning import Choices, choices
from normlib.results.tables.table import Table, flat, make_tables, registered_tables
from tests.results.factories import ACCURACY, make_record, study_of
from tests.results.record_parts import curves_of
from tests.results.tuned_records import RATE, tuned_records

ORDINARY = [
    make_record(norm=norm, control=control, model=model, batch_size=size, seed=seed, curves=curves_of([0.5, 0.9]))
    for norm, control in (("batch", False), ("batch", True), ("group", False))
    for model in ("mlp", "convnet")
    for size in (2, 32)
    for seed in range(3)
]
POOR = {
    "one run": ORDINARY[:1],
    "no run": [],
    "no baseline": [record for record in ORDINARY if record.labels["norm"] == "group"],
    "all failed": [make_record(seed=seed, status="failed", reason="killed") for seed in range(3)],
    "all diverged": [make_record(seed=seed, status="diverged", accuracy=0.1) for seed in range(3)],
    "unequal n": ORDINARY[:-4],
}
DIVERGED = [
    make_record(norm="none", model=model, batch_size=size, status="diverged" if size == 2 else "done")
    for model in ("mlp", "convnet")
    for size in (2, 32)
]


@functools.cache
def everything() -> tuple[Table, ...]:
    """The tables of a study that has everything, and of what its trials chose."""
    found = Choices(RATE, choices(frame(tuned_records()), RATE), ACCURACY)
    chosen = Study(frame([]), Question(), choices=found)
    return (*make_tables(study_of(ORDINARY + DIVERGED)), *make_tables(chosen))


def _printed(tables: list[Table], width: int) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(terminal(tables, styled=False))
    return console.file.getvalue()


def test_a_study_that_has_everything_has_every_registered_table() -> None:
    parts = {table.part for table in everything()}
    assert {name for name in registered_tables() if name not in parts} == {"paired"}, "it stands in the part of another"
    assert "paired" in {table.name for table in everything()}


@pytest.mark.parametrize("table", everything(), ids=lambda table: f"{table.name}, {table.title}")
def test_every_table_renders_everywhere(table: Table) -> None:
    cells = [cell.text for line in table.lines for cell in line.cells]
    assert cells and markdown([table]).count("### ") == 1
    rows = list(csv.DictReader(io.StringIO(tidy_csv([table]))))
    fields = {name for row in table.rows for name in flat(row)}
    assert len(rows) == len(table.tidy) and fields == set(rows[0])
    set_in_latex = latex([table])
    assert set_in_latex.count(r"\caption") == 1 and set_in_latex.count("{") == set_in_latex.count("}")
    reader = _Cells()
    reader.feed(html_table(table))
    assert reader.texts == [*table.header, *cells]
    for width in (80, 120):
        printed = _printed([table], width)
        assert max(map(len, printed.splitlines())) <= width
        words = {
            word for text in (*table.header, *cells) for word in text.replace("± ", "±").split() if len(word) <= 24
        }
        missing = {word for word in words if word.strip("(),") not in printed}
        assert missing <= {"updates)"}, "a broken word"


class _Cells(HTMLParser):
    """The texts of the cells of a table."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.inside = False

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag in ("td", "th"):
            self.inside = True
            self.texts.append("")

    def handle_endtag(self, tag: str) -> None:
        self.inside = self.inside and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.texts[-1] += data


@pytest.mark.parametrize("records", [ORDINARY, *POOR.values()], ids=["ordinary", *POOR])
def test_every_table_is_whole_whatever_the_results(records: list[Record]) -> None:
    tables = make_tables(study_of(records))
    for table in tables:
        assert {len(line.cells) for line in table.lines} <= {len(table.header)}
        assert len(set(table.header)) == len(table.header)
        assert all(cell.text and "nan" not in cell.text for line in table.lines for cell in line.cells)
        assert table.notes and not any("nan" in note for note in table.notes)
    for render in FILES.values():
        assert "nan" not in render(tables).replace("ordinary", "")


def test_every_table_of_an_analysis_counts_the_runs_that_diverged() -> None:
    silent = {
        table.name for table in everything() if not any("iverged" in text for text in (*table.notes, *_texts(table)))
    }
    assert silent <= {"tuning"}, "those of trials are told in the table of runs"


def _texts(table: Table) -> list[str]:
    return [cell.text for line in table.lines for cell in line.cells]


def test_a_csv_is_flat() -> None:
    """Fields of a nested row follow its name; booleans are true and false, texts are joined."""
    rows = {table.name: table.tidy for table in make_tables(study_of(ORDINARY))}
    effect, speed, summary = rows["batch_size_effect"][-1], rows["speed"][0], rows["workloads"][0]
    assert (effect["arm"], effect["slope_against_n"], effect["slope_against_too_few"]) == ("group", 3, "true")
    assert speed["steps_median"] == 20 and math.isnan(speed["steps_low"]) and "steps" not in speed
    assert summary["workloads"] == "model=convnet; model=mlp"


def test_no_list_of_table_names_stands_beside_the_registry() -> None:
    names, lists = set(registered_tables()), []
    for path in Path(normlib.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Tuple | ast.List | ast.Set):
                named = {each.value for each in node.elts if isinstance(each, ast.Constant) and each.value in names}
                lists += [f"{path.name}: {sorted(named)}"] if len(named) > 2 else []
    assert not lists
