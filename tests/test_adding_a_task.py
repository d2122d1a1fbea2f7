"""Checks the page on adding a task: its code and commands run, and its table names what a task is made of."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from normlib.cli import main
from normlib.results.store.reading import read_regular
from normlib.results.store.record import Record
from normlib.tasks import names, tasks
from normlib.tasks.task import Task
from tests.pages import blocks, commands, page

PAGE = page("docs/adding_a_task.md")
# A comparison of the page is run for real, but with as little training as a run can have. Later settings win.
TINY = ["training.steps=2", "data.batch_size=32", "seed=0", "model.width=8", "jobs=1", "control=false"]


def test_the_code_and_the_commands_of_the_page_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_ordinal.py").write_text(blocks(PAGE, "python")[0])
    for command in commands(PAGE):
        arguments = shlex.split(command)[1:]
        assert main(arguments + (TINY if arguments[0] == "compare" else [])) == 0, f"{command}: {capsys.readouterr()}"
        shown = capsys.readouterr().out
        if arguments[0] == "list":
            assert "ordinal" in shown and "sharpness=1.0" in shown
        else:
            assert ("within one" if "metric=within_one" in command else "mean error") in shown
    records = [Record.from_json(read_regular(path)) for path in tmp_path.glob("results/*/runs/*.json")]
    assert {record.spec["task"]["name"] for record in records} == {"ordinal"}
    assert {record.spec["task"]["sharpness"] for record in records} == {0.5, 1.0, 2.0}
    assert set(tasks["ordinal"].settings) == {"sharpness"}


def test_the_table_names_every_part_of_a_task() -> None:
    table = PAGE[PAGE.index("| part |") :].partition("\n\n")[0]
    own = {name for name, thing in vars(Task).items() if not name.startswith("_") and callable(thing)}
    rare = {"metrics_on", "padding_target"}  # of language modeling and of segmentation
    assert set(re.findall(r"^\| `(\w+)", table, re.MULTILINE)) == {"metrics", *own} - rare


def test_the_page_names_every_task() -> None:
    assert all(f"`{name}`" in PAGE.partition("## One file")[0] for name in names())
