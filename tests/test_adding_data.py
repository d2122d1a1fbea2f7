"""Checks the page on adding data: its code runs, and its tables name what there is."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path

import pytest

from normlib.cli import main
from normlib.data.dataset import Dataset
from normlib.tasks import tasks
from tests.pages import blocks, commands, page

PAGE = page("docs/adding_data.md")
# A comparison of the page is run for real, but with as little training as a run can have. Later settings win.
TINY = ["training.steps=3", "seed=0", "model.width=8", "jobs=1", "accelerator=cpu", "control=false"]


def test_the_code_of_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for block in blocks(PAGE, "python"):
        (tmp_path / block.split()[1]).write_text(block)
    lines = commands(PAGE)
    assert len(lines) >= 7
    for number, command in enumerate(lines):
        program, *arguments = shlex.split(command)
        if program == "python":
            runpy.run_path(arguments[0])
            continue
        tiny = [*TINY, f"results_dir=results{number}"] if arguments[0] == "compare" else []
        assert main(arguments + tiny) == 0, f"{command}: {capsys.readouterr()}"


def test_the_table_names_every_fact_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| .* \| (.+) \|$", PAGE, re.MULTILINE))
    facts = {name: rows[name] for name in rows if name not in tasks.names()}
    assert set(facts) == set(Dataset.__annotations__)
    for name, said in facts.items():
        default = repr(getattr(Dataset, name)).replace("'", '"') if hasattr(Dataset, name) else "has to be given"
        assert said.strip("`") == default, name


def test_the_page_names_every_task() -> None:
    assert set(re.findall(r"^\| `(\w+)` \| (?:float|int64) \(", PAGE, re.MULTILINE)) == set(tasks.names())
