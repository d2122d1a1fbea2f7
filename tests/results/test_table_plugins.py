"""Checks tables of a user's own: in reports of records, of a frame and after tuning; and every way in which one can be wrong."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import normlib
from normlib.cli import main
from normlib.plugins import load_plugin
from normlib.registry import RegistryError
from normlib.results.report import write_report
from normlib.results.store.store import Store
from normlib.results.study.axes import ReportError
from normlib.results.tables import table as tables
from normlib.results.tables.table import Column, Table, make_tables, registered_tables
from tests.results.factories import make_record, study_of
from tests.results.tuned_records import tuned_records

FILE = """
import normlib

@normlib.register_table("{name}", "A question", "Why it is asked.")
def answer(study):
    {body}
"""
FINE = 'return normlib.Table(columns=(normlib.Column("arm", "arm", label=True),), rows=[{"arm": "batch", "seeds": 2}])'


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the records of a comparison."""
    monkeypatch.chdir(tmp_path)
    for norm in ("batch", "group"):
        for seed in range(2):
            Store("results", "small_batch").write(make_record(norm=norm, seed=seed))
    return tmp_path


def _plugin(body: str, name: str = "mine", file: str = "my_table.py") -> str:
    Path(file).write_text(FILE.format(name=name, body=body))
    return f"plugins=[{file}]"


def test_every_kind_of_report_has_the_table(place: Path) -> None:
    assert main(["report", _plugin(FINE)]) == 0
    folder = Path("results/small_batch")
    assert (folder / "tables/mine.md").read_text().startswith("### A question\n\n| arm |")
    assert (folder / "tables/mine.csv").read_text() == "arm,seeds\nbatch,2\n"
    assert "plugins=" in (folder / "report.html").read_text(), "the command that makes it again"
    runs = pd.DataFrame({"norm": ["batch", "group"] * 2, "seed": [0, 0, 1, 1], "accuracy": [0.1, 0.2, 0.3, 0.4]})
    runs.to_csv("runs.csv", index=False)
    asked = ["--arm", "norm", "--seed", "seed", "--metric", "accuracy"]
    assert main(["report", "runs.csv", "plugins=[my_table.py]", *asked, "--to", "elsewhere"]) == 0
    assert normlib.report(runs, arm="norm", seed="seed", metric="accuracy", to="frame").tables[-1].part == "mine"
    for there in ("elsewhere", "frame"):
        assert Path(there, "tables", "mine.tex").is_file()


def test_the_experiments_file_may_name_the_plugin(place: Path) -> None:
    _plugin(FINE)
    Path("my_conf/experiment").mkdir(parents=True)
    Path("my_conf/experiment/asked.yaml").write_text(
        "# @package _global_\nname: small_batch\nplugins: [my_table.py]\nhydra:\n  sweeper:\n    params:\n      norm: batch,group\n"
    )
    assert main(["report", "experiment=asked", "--config-dir", "my_conf"]) == 0
    assert Path("results/small_batch/tables/mine.md").is_file()


def test_a_table_of_a_cell_has_both_views_after_tuning(tmp_path: Path) -> None:
    @normlib.register_table("cells", "Typed into a cell")
    def cells(study: Any) -> list[Table]:
        rows = [{"arm": arm, "runs": len(study.runs)} for arm in study.places.row_labels]
        return [Table(columns=(Column("arm", "arm", label=True), Column("runs", "runs")), rows=rows)]

    report = write_report(tmp_path, tuned_records())
    assert [table.title for table in report.tables if table.name == "cells"] == [
        "Typed into a cell (tuned)", "Typed into a cell (fixed)",
    ]  # fmt: skip
    rows = pd.read_csv(tmp_path / "tables" / "cells.csv")
    assert list(rows) == ["view", "arm", "runs"] and rows["view"].tolist() == ["tuned"] * 2 + ["fixed"] * 2
    normlib.register_table("cells")(cells)  # a cell that runs again


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return 1 / 0", "raised ZeroDivisionError: division by zero (line 6 of "),
        ("return None", "it returned 'None' (NoneType); return a normlib.Table, or a list of them"),
        ("return ['a table']", "it returned 'a table' (str)"),
        ("return normlib.Table(name='other', notes=('a',))", "its table is named 'other'"),
        ("return normlib.Table(rows=[{'arm': 1}])", "it has rows, but no columns"),
        ("return normlib.Table(columns=(normlib.Column('a', 'arn'),), rows=[{'arm': 1}])",
         "the column 'a': no field of its rows is named 'arn'; did you mean 'arm'?"),
        ("return normlib.Table(columns=(normlib.Column('a', 'arm'),), rows=[3])", "a row is a dataclass or a mapping, got '3' (int)"),
        ("return normlib.Table(columns=(normlib.Column('a', 'arm', '{:.1f}'),), rows=[{'arm': 'x'}])", "raised ValueError"),
        ("return normlib.Table(columns=(normlib.Column('a', 'arm', lambda row: 3),), rows=[{'arm': 'x'}])",
         "titles, headings, cells and notes are text, and one of them is '3' (int)"),
        ("return normlib.Table(columns=(normlib.Column('a', 'arm'), normlib.Column('a', 'arm')), rows=[{'arm': 'x'}])",
         "two columns are called 'a'"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_is_one_message_that_names_the_file_and_no_record_is_lost(
    body: str, said: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = {path: path.read_bytes() for path in place.glob("results/small_batch/runs/*")}
    assert main(["report", _plugin(body)]) == 2
    complaint = capsys.readouterr().err
    assert complaint.startswith("normlib report: the table 'mine' of my_table.py") and said in complaint
    assert "Every record is kept: correct my_table.py" in complaint and len(complaint.splitlines()) == 1
    assert {path: path.read_bytes() for path in place.glob("results/small_batch/runs/*")} == records
    assert len(pd.read_csv("results/small_batch/runs.csv")) == 4


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "gap",
            r"the table name 'gap' is taken by gap_tables \(gap\.py\); register answer \(my_table\.py\) under another name",
        ),
        ("Cost", "the table name 'Cost' is taken"),
        ("../mine", "letters, digits and underscores, a letter first; got '../mine'"),
        ("", "letters, digits and underscores"),
    ],
)
def test_a_name_that_is_taken_or_no_file_name_is_refused_when_the_file_is_loaded(
    name: str, said: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(RegistryError, match=said):
        normlib.compare(_plugin(FINE, name), "norm=batch", "seed=0", quiet=True)
    assert main(["report", "plugins=[my_table.py]"]) == 2
    assert "my_table.py" in capsys.readouterr().err
    assert set(registered_tables()) & {name} <= {"gap"}


def test_an_edited_file_replaces_its_table_and_another_file_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    study = study_of([make_record()])
    for seeds in (2, 3):
        _plugin(FINE.replace('"seeds": 2', f'"seeds": {seeds}'))
        load_plugin("my_table.py")
        assert make_tables(study)[-1].tidy == ({"arm": "batch", "seeds": seeds},)
    _plugin(FINE, file="another.py")
    with pytest.raises(RegistryError, match=r"taken by answer \(my_table\.py\); register answer \(another\.py\)"):
        load_plugin("another.py")


def test_entry_points_add_tables_and_one_that_does_not_import_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def declared(load: Callable[[], Any]) -> None:
        class Point:
            name, value = "theirs", "their_package.tables"

            def load(self) -> Any:
                return load()

        monkeypatch.setattr(
            importlib.metadata, "entry_points", lambda group: [Point()] if group == "normlib.tables" else []
        )
        tables._load_others.cache_clear()

    declared(lambda: normlib.register_table("theirs")(lambda study: []))
    assert "theirs" in registered_tables()
    declared(lambda: 1 / 0)
    with pytest.raises(
        RegistryError, match="'theirs' = 'their_package.tables' of group 'normlib.tables' does not import"
    ):
        registered_tables()
    monkeypatch.undo()
    tables._load_others.cache_clear()


def test_a_function_that_fails_is_named_where_records_are_reported_in_python_too(tmp_path: Path) -> None:
    @normlib.register_table("fails")
    def fails(study: Any) -> list[Table]:
        raise KeyError("norm")

    with pytest.raises(ReportError, match=r"the table 'fails' of test_table_plugins\.py raised KeyError: 'norm'"):
        write_report(tmp_path, [make_record()])
    assert (tmp_path / "runs.csv").is_file()
