"""Checks `normlib.report` and `normlib report FILE`: every part of a report, what it says of the pairs, and refusals."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import normlib
from normlib.cli import main
from normlib.results.elsewhere.frames import TableError
from normlib.results.elsewhere.own import asked_rows
from normlib.results.elsewhere.read import read_table
from normlib.results.elsewhere.report import files_among
from normlib.results.elsewhere.rows import Asked
from normlib.results.store.record import Record
from normlib.results.store.store import Store
from normlib.results.study.identity import NOT_VERIFIED
from tests.pages import readable
from tests.results.factories import make_record

FLAGS = ["--arm", "norm", "--seed", "seed", "--columns", "batch_size", "--metric", "dice"]


def runs(seeds: int = 8) -> pd.DataFrame:
    """Three arms, of which group is better at batch 2 by far and layer fails there once."""
    rng = np.random.default_rng(1)
    rows = [(norm, size, seed) for norm in ("batch", "group", "layer") for size in (2, 8) for seed in range(seeds)]
    table = pd.DataFrame(rows, columns=["norm", "batch_size", "seed"])
    table["dice"] = rng.normal(0.8, 0.01, len(table)) + 0.1 * ((table["norm"] == "group") & (table["batch_size"] == 2))
    table["State"] = "finished"
    table.loc[2 * 2 * seeds, ["State", "dice"]] = "crashed", np.nan
    return table


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    runs().to_csv("runs.csv", index=False)
    return tmp_path


def text_of(page: Path) -> str:
    return readable(page.read_text(encoding="utf-8"))


def test_every_part_of_a_report_is_there_and_says_that_nothing_is_verified(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", "runs.csv", *FLAGS, "--unit", "%"]) == 0
    shown = capsys.readouterr().out
    folder = place / "runs_report"
    assert {path.name for path in folder.iterdir()} == {
        "report.html", "verdicts.md", "runs.csv", "tables", "figures", "report-files.json",
    }  # fmt: skip
    tables = sorted(path.name for path in (folder / "tables").glob("*.md"))
    assert tables == ["batch_size_effect.md", "dice.md", "differences.md", "paired.md"], (
        "what was not measured has no table"
    )
    for path in [*(folder / "tables").glob("*.md"), folder / "verdicts.md"]:
        assert NOT_VERIFIED in path.read_text(), path.name
    assert {path.name for path in (folder / "figures").glob("*.svg")} == {"dice.svg", "differences.svg"}
    assert "Dice in %" in shown and NOT_VERIFIED in shown and "At batch 2, group (+" in shown
    assert "1 run failed" in shown and "State is crashed" in shown
    effect = pd.read_csv(folder / "tables" / "batch_size_effect.csv").set_index("arm")
    assert effect.loc["group", "slope_per_doubling"] == pytest.approx(-0.05, abs=0.01)
    assert "Effect of the batch size on dice" in (folder / "tables" / "batch_size_effect.md").read_text()
    page = text_of(folder / "report.html")
    assert page.count(NOT_VERIFIED) >= 5 and "on trust" in page and "were held against each" not in page
    assert "normlib report runs.csv --arm norm --seed seed" in page
    assert "environment in common" not in page and "One split of the data" not in page and "48 runs" in page
    table = pd.read_csv(folder / "tables" / "differences.csv")
    expected = normlib.compare_arms(pd.read_csv("runs.csv"), "norm", "seed", "dice", "batch_size", unit="%")
    pd.testing.assert_frame_equal(table[["arm", "column", "difference", "p"]], expected[["arm", "column", "difference", "p"]].astype({"column": int}))  # fmt: skip


def test_a_frame_gives_the_same_report_and_another_metric_replaces_it(place: Path) -> None:
    asked: dict[str, Any] = {"arm": "norm", "seed": "seed", "metric": "dice", "columns": "batch_size"}
    from_file = normlib.report("runs.csv", **asked, to="a")
    from_frame = normlib.report(runs(), **asked, to="a")
    assert [each.tidy for each in from_frame.tables] == [each.tidy for each in from_file.tables]
    assert [each.lines for each in from_frame.tables] == [each.lines for each in from_file.tables]
    assert from_frame.folder == Path("a")
    loss = normlib.report(runs().rename(columns={"dice": "loss"}), **{**asked, "metric": "loss"}, to="a")
    assert not Path("a/tables/dice.md").exists() and Path("a/tables/loss.md").is_file()
    assert {each.verdict for each in loss.studies[0].comparisons if each.arm == "group" and each.column == "2"} == {
        "worse"
    }
    with pytest.raises(TableError, match="name it with to="):
        normlib.report(runs(), **asked)


def test_own_runs_need_no_names_and_their_hashes_verify(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = [
        make_record(norm=norm, batch_size=size, seed=seed, accuracy=0.8 + seed / 100 + 0.05 * (norm == "group"), status=status)
        for norm in ("batch", "group") for size in (2, 32) for seed in range(4)
        for status in ["failed" if (norm, size, seed) == ("batch", 2, 0) else "done"]
    ]  # fmt: skip
    for record in records:
        Store("results", "small_batch").write(record)
    files = [f"own{suffix}" for suffix in (".csv", ".parquet", ".jsonl")]
    assert main(["report"]) == 0
    assert {main(["export", "--to", file]) for file in files} == {0} == {main(["report", files[0]])}
    assert NOT_VERIFIED not in capsys.readouterr().out
    tables = {path.name for path in Path("results/small_batch/tables").glob("*.md")}
    assert {"accuracy.md", "differences.md", "paired.md", "cost.md"} < tables
    for name in tables - {"speed.md"}:  # which needs learning curves
        ours, again = (Path(folder, "tables", name).read_text() for folder in ("results/small_batch", "own_report"))
        assert ours == again, name
    assert "trained runs were compared with another arm" in text_of(Path("own_report/report.html"))
    first, *others = (asked_rows(read_table(Path(file)), Asked(), "own").frame for file in files)
    for other in others:
        assert set(first) == set(other)
        same = ["norm", "data.batch_size", "seed", "status", "test.accuracy", "hashes.trunk", "hashes.batches"]
        pd.testing.assert_frame_equal(first[same], other[same], check_dtype=False)
    assert main(["report", files[1], "--baseline", "group", "--metric", "loss", "--to", "other"]) == 0
    assert pd.read_csv("other/tables/differences.csv")["arm"].tolist() == ["batch", "batch"]


def test_own_runs_that_are_not_paired_are_refused(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = [make_record(norm=norm, seed=seed) for norm in ("batch", "group") for seed in range(2)]
    records[3] = Record(**{**records[3].to_dict(), "hashes": {**records[3].hashes, "data": "0123"}})
    for record in records:
        Store("results", "small_batch").write(record)
    assert main(["export", "--to", "own.csv"]) == 0
    assert main(["report", "own.csv"]) == 2
    assert "differ in the hash 'data'" in capsys.readouterr().err


def test_exports_of_wandb_and_mlflow_are_taken_as_they_come(place: Path) -> None:
    plain = runs()
    asked = Asked(arm="norm", metric="dice", columns=("batch_size",))
    expected = asked_rows(read_table(Path("runs.csv")), asked)
    wandb = [
        {"name": f"run-{number}", "state": row.State, "config": {"norm": row.norm, "batch_size": row.batch_size, "seed": row.seed},
         "summary": {"dice": None if row.State == "crashed" else row.dice, "_runtime": number, "_wandb": {"runtime": number}}}
        for number, row in enumerate(plain.itertuples())
    ]  # fmt: skip
    Path("wandb.json").write_text(json.dumps(wandb))
    pd.DataFrame(wandb).to_csv("wandb.csv")
    mlflow = plain.rename(
        columns={
            "norm": "params.norm",
            "batch_size": "params.batch_size",
            "seed": "params.seed",
            "dice": "metrics.dice",
        }
    )
    mlflow["status"] = mlflow.pop("State").map({"finished": "FINISHED", "crashed": "FAILED"})
    mlflow[["params.seed", "params.batch_size"]] = mlflow[["params.seed", "params.batch_size"]].astype(str)
    mlflow = mlflow.assign(run_id=[f"{number:032x}" for number in range(len(mlflow))], **{"tags.mlflow.user": "me"})
    mlflow.to_csv("mlflow.csv", index=False)
    ui = plain.rename(columns={"dice": "val/dice"}).assign(
        Name=[f"fine-{n}" for n in range(len(plain))], Tags="", Runtime=3
    )
    ui.to_csv("ui.csv", index=False)
    for source in ("wandb.json", "wandb.csv", "mlflow.csv", mlflow, "ui.csv"):
        table = read_table(Path(source)) if isinstance(source, str) else source
        made = asked_rows(table, dataclasses.replace(asked, metric="val/dice" if "val/dice" in table else "dice"))
        same = ["status", "norm", "batch_size", "seed"]
        assert made.frame[same].astype(str).equals(expected.frame[same].astype(str))
        np.testing.assert_allclose(made.frame[made.question.value], expected.frame["measured.dice"])
        assert not any("warning" in message for message in made.messages), "what a tracking tool writes is no setting"


def test_several_workloads_are_summed_up(place: Path) -> None:
    table = pd.concat([runs().assign(model="unet"), runs().assign(model="fcn")], ignore_index=True)
    report = normlib.report(table, arm="norm", metric="dice", columns=["batch_size", "model"], to="a")
    summary = pd.read_csv("a/tables/workloads.csv")
    assert summary["mean"].notna().all() and "workload" in text_of(report.page)


def test_words_as_seeds_diverged_runs_and_no_conditions_make_a_page_too(place: Path) -> None:
    table = runs().query("batch_size == 8").drop(columns="State")
    table["seed"] = [f"fold {letter}" for letter in "abcdefgh"] * 3
    table.iloc[9, table.columns.get_loc("dice")] = np.nan
    report = normlib.report(table, arm="norm", metric="dice", to="a")
    page = text_of(report.page)
    assert "fold b" in page and "dice is not a number" in page and "8 seeds" in page
    assert "in k of n trained runs the figure is no finite number" in Path("a/tables/dice.md").read_text()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["runs.csv"], "add --arm and --metric"),
        (["runs.csv", "--arm", "norm", "--metric", "dise"], "did you mean 'dice'"),
        (["runs.csv", "other.csv", *FLAGS], "belong to one table of runs, such as runs.csv, and runs.csv, other.csv were named"),
        (FLAGS, "belong to one table of runs, such as runs.csv, and none was named"),
        (["runs.csv", *FLAGS, "baseline=group"], "settings are flags, such as --baseline group, and baseline=group is none"),
        (["runs.csv", *FLAGS, "--lower-is-better", "--higher-is-better"], "more of a metric is better or less"),
        (["runs.csv", *FLAGS, "--rope", "some"], "--rope is a number"),
        (["runs.csv", *FLAGS, "--rope", "-1"], "rope is the difference within which arms are equal"),
        (["none.csv", *FLAGS], "there is no file none.csv"),
        (["runs.txt", *FLAGS], "a table of runs is a file that ends in .csv"),
        (["runs.csv", *FLAGS, "--to", "runs.csv"], "a report goes to a folder, and runs.csv is a file"),
        (["runs.csv", *FLAGS, "--to", "."], "runs.csv"),
    ],
)  # fmt: skip
def test_bad_input_is_one_message_and_writes_nothing(
    line: list[str], said: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("runs.txt").write_text(Path("runs.csv").read_text())
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    assert main(["report", *line]) == 2
    complaint = capsys.readouterr().err
    assert complaint.startswith("normlib report: ") and said in complaint and len(complaint.splitlines()) == 1
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before


def test_what_is_a_table_of_runs_on_a_command_line(place: Path) -> None:
    Path("lr=1.csv").write_text("")
    Path("folder.csv").mkdir()
    words = ["runs.csv", "data.file=x.csv", "lr=1.csv", "folder.csv", "results/a", "norm=batch", "gone.parquet"]
    assert files_among(words) == ["runs.csv", "lr=1.csv", "gone.parquet"]
