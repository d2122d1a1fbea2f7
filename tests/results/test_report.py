"""Checks the report from records to files: all there, whole, the same again; refusals; and every poor set of runs."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from base64 import b64decode
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from normlib.results.plots.static import KINDS
from normlib.results.render import FILES
from normlib.results.report import Report, write_report
from normlib.results.store.files import StoreError
from normlib.results.store.frame import frame
from normlib.results.store.manifest import MANIFEST
from normlib.results.store.record import Record
from normlib.results.store.store import Store
from normlib.results.study.axes import ReportError
from normlib.results.study.identity import IdentityError
from normlib.results.study.question import Question
from normlib.results.study.views import shown
from tests.results.factories import make_record

FIGURES = [f"figures/{name}.{end}" for name in ("accuracy", "differences", "gap", "cost") for end in KINDS]


def _records() -> list[Record]:
    return [
        make_record(norm=norm, batch_size=size, seed=seed, accuracy=0.8 + seed / 100)
        for norm in ("batch", "group")
        for size in (2, 32)
        for seed in range(2)
    ]


def _printed(report: Report) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    report.render(console)
    return console.export_text()


def _names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_every_file_is_written_and_nothing_else(tmp_path: Path) -> None:
    report = write_report(tmp_path, _records())
    tables = [f"tables/{name}{end}" for name in {table.name for table in report.tables} for end in FILES]
    files = sorted([*FIGURES, "report.html", "runs.csv", *tables, "verdicts.md"])
    assert {"tables/accuracy.md", "tables/paired.csv", "tables/loss.tex"} < set(files)
    assert _names(tmp_path) == sorted([*files, MANIFEST])
    assert sorted(str(path.relative_to(tmp_path)) for path in report.files) == files
    assert len(pd.read_csv(tmp_path / "runs.csv")) == len(report.frame) == 8
    assert "80.5 ± 6.4" in (tmp_path / "tables" / "accuracy.md").read_text()
    assert report.messages == ()
    printed = _printed(report)
    for words in ("80.5 ±6.4", "difference to batch", "too few seeds", "report.html"):
        assert words in printed
    in_notebook = report._repr_html_()
    assert in_notebook.count("<table") == 2 and "Verdicts" in in_notebook and "too few seeds" in in_notebook
    (picture,) = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)"', in_notebook)
    assert b64decode(picture) == (tmp_path / "figures" / "accuracy.svg").read_bytes() == report.figure
    assert str(tmp_path / "report.html") in in_notebook and len(repr(report)) < 300


def test_the_same_records_give_the_same_files(tmp_path: Path) -> None:
    write_report(tmp_path / "a", _records())
    report = write_report(tmp_path / "b", _records())
    for path in report.files:
        assert (tmp_path / "a" / path.relative_to(tmp_path / "b")).read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([], "no runs to show"),
        ([make_record(status="failed", reason="the worker was killed")], "1 × the worker was killed"),
        ([make_record(status="skipped", reason="no positions")], "no figure"),
        ([make_record()], ""),
        ([make_record(seed=0), make_record(seed=1, status="diverged", accuracy=0.1)], "1 run diverged"),
    ],
)
def test_few_runs_and_broken_runs_still_make_a_report(tmp_path: Path, records: list[Record], message: str) -> None:
    report = write_report(tmp_path, records)
    assert message in _printed(report)
    names = _names(tmp_path)
    assert ("figures/accuracy.png" in names) == any(record.trained for record in records)
    assert ("report.html" in names) == ("tables/accuracy.md" in names) == bool(records)


def test_nothing_of_other_runs_stays(tmp_path: Path) -> None:
    write_report(tmp_path, _records())
    (tmp_path / "tables" / "mine.txt").write_text("a reader's own")
    write_report(tmp_path, [])
    assert _names(tmp_path) == [MANIFEST, "runs.csv", "tables/mine.txt", "verdicts.md"]


def test_unpaired_runs_are_refused_and_the_rows_are_kept(tmp_path: Path) -> None:
    records = _records()
    records[0] = Record(**{**records[0].to_dict(), "hashes": {**records[0].hashes, "trunk": "0123"}})
    with pytest.raises(IdentityError, match="'trunk'"):
        write_report(tmp_path, records)
    assert _names(tmp_path) == [MANIFEST, "runs.csv"] and len(pd.read_csv(tmp_path / "runs.csv")) == 8
    write_report(tmp_path, records, filters={"norm": {"group"}})  # nothing is compared with the odd one


def test_broken_records_are_named_and_the_rest_is_reported(tmp_path: Path) -> None:
    store = Store(tmp_path, "small_batch")
    records = _records()
    for record in records:
        store.write(record)
    store.path(records[0].id).write_text(records[0].to_json()[:300])
    scan = store.scan()
    report = write_report(store.folder, scan.records, scan.problems)
    assert len(report.frame) == 7
    assert f"{records[0].id}.json" in _printed(report) and "cut short" in _printed(report)
    many = [*scan.problems] * 25
    assert "15 more files" in _printed(write_report(store.folder, scan.records, many))


def test_superseded_and_mixed_versions_are_said(tmp_path: Path) -> None:
    records = _records()
    edited = {**records[0].code, "norm": "edited"}
    newer = Record(**{**records[0].to_dict(), "id": "f" * 16, "code": edited, "started": "2026-01-01T00:00:00+00:00"})
    text = _printed(write_report(tmp_path, [*records, newer]))
    assert "1 run left out: newer records" in text and "2 versions of the norm batch" in text


def test_filters_keep_what_was_asked_for(tmp_path: Path) -> None:
    report = write_report(tmp_path, _records(), filters={"norm": {"batch"}, "data.batch_size": {2}, "seed": {0, 1}})
    assert len(report.frame) == 2 and report.tables[0].header[1:] == ("2 (3240 updates)",)
    assert len(pd.read_csv(tmp_path / "runs.csv")) == 8  # every run is a row of the file, whatever is shown
    assert len(shown(frame(_records()), {"data.batch_size": {"32.0"}}).runs) == 4
    assert "none of 8 runs" in _printed(write_report(tmp_path, _records(), filters={"norm": set()}))
    with pytest.raises(ReportError, match="data.batch_size"):
        write_report(tmp_path, _records(), filters={"data.bach_size": {2}})


def test_an_unknown_axis_is_refused_with_the_rows_written(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="optimizer.lr"):
        write_report(tmp_path, _records(), question=Question(columns="optimiser.lr"))
    assert (tmp_path / "runs.csv").exists()


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="results_dir="):
        write_report(tmp_path / "file", _records())


def test_a_report_never_imports_what_trains(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from normlib.results.report import write_report\n"
        "from normlib.results.store.store import Store\n"
        "store = Store(sys.argv[1], 'x'); scan = store.scan()\n"
        "write_report(store.folder, scan.records, scan.problems)\n"
        "print([m for m in ('torch', 'pytorch_lightning', 'hydra', 'omegaconf', 'matplotlib.pyplot', 'scipy.stats')"
        " if m in sys.modules])"
    )
    Store(tmp_path, "x").write(make_record(experiment="x"))
    result = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_a_narrower_plan_keeps_every_run_in_runs_csv(tmp_path: Path) -> None:
    records = _records()
    report = write_report(tmp_path, records, ids={records[0].id})
    assert len(report.frame) == 1
    assert len(pd.read_csv(tmp_path / "runs.csv")) == len(records)
    assert "`normlib report` shows" in _printed(report)


def test_a_baseline_that_is_no_row_is_said_and_the_rest_is_there(tmp_path: Path) -> None:
    report = write_report(tmp_path, _records(), question=Question(baseline="layer"))
    text = (tmp_path / "tables" / "differences.md").read_text()
    assert "'layer', is none of the rows (norm: batch, group)" in text and "Nothing is compared" in _printed(report)
    assert "80.5 ± 6.4" in (tmp_path / "tables" / "accuracy.md").read_text()
    assert not (tmp_path / "tables" / "paired.md").exists()


def test_what_filters_leave_out_is_said_with_what_it_does_to_p(tmp_path: Path) -> None:
    def said(**filters: set[object]) -> list[str]:
        asked = {name.replace("__", "."): values for name, values in filters.items()}
        return [message for message in shown(frame(_records()), asked).messages if "as asked" in message]

    assert said(data__batch_size={2}) == [
        "4 of 8 runs are shown, as asked; p values are corrected for the comparisons shown and for no others"
    ]
    report = write_report(tmp_path, _records(), filters={"data.batch_size": {2}})
    assert "4 of 8 runs are shown, as asked; p values" in report.page.read_text()
    assert said(seed={0}) == ["4 of 8 runs are shown, as asked"], "every comparison is there"
    assert said(norm={"batch", "group"}) == []
