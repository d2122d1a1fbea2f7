"""Checks the page on running a comparison: its commands are taken, its files compose, its Python runs."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from normlib.cli import main
from tests.pages import blocks, commands, page

PAGE_NAME = "docs/comparing.md"
PAGE = page(PAGE_NAME)
TINY = ["training.steps=2", "data.batch_size=32", "seed=0", "model=mlp", "model.width=8", "jobs=1"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The page's files, written where the commands look for them; its tuning is a part of the experiment."""
    monkeypatch.chdir(tmp_path)
    experiment, arm, tuning = blocks(PAGE, "yaml")
    for name, text in (("norm/group8", arm), ("experiment/mine", experiment + tuning)):
        path = tmp_path / "my_conf" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_every_command_is_taken(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A comparison is planned; the first is run too, with little training, so that there is something to report on."""
    lines = [shlex.split(line)[1:] for line in commands(PAGE)]
    assert [verb for verb, *_ in lines].count("compare") == 6
    compared = False
    for verb, *arguments in lines:
        if verb == "compare" and not compared:
            compared = main([verb, *arguments, *TINY]) == 0
        assert main(["plan" if verb == "compare" else verb, *arguments]) == 0, f"{arguments}: {capsys.readouterr().err}"
        shown = capsys.readouterr().out
        if "name=groups" in arguments:
            assert "batch has none and is run once" in " ".join(shown.split())
    assert (folder / "results" / "small_batch" / "report.html").is_file()


def test_the_python_runs(folder: Path) -> None:
    (python,) = blocks(PAGE, "python")
    tiny = (
        python.replace("range(3)", "0")
        .replace("=2,32", "=32")
        .replace('"model=mlp"', '"model=mlp", "training.steps=2", "jobs=1"')
    )
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(tiny, PAGE_NAME, "exec"), names)
    assert names["record"].status == "done" and set(names["runs"]["norm"]) == {"batch", "batch_control", "group"}
