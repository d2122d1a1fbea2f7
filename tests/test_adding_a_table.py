"""Checks the page on adding a table: its code and commands run, and every form of the table follows from the one file."""

from __future__ import annotations

import inspect
import re
import shlex
from pathlib import Path

import pandas as pd
import pytest

import normlib
from normlib.cli import main
from normlib.results.render import FILES
from normlib.results.study.study import Condition, Study
from tests.pages import blocks, commands, page

PAGE = page("docs/adding_a_table.md")
# A comparison of the page is run for real, but with as little training as a run can have. Later settings win.
TINY = ["training.steps=2", "data.batch_size=32", "seed=0,1", "model.width=8", "jobs=1", "control=false"]


def test_the_code_and_the_commands_of_the_page_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_table.py").write_text("\n".join(blocks(PAGE, "python")))
    folder = Path("results/worst")
    for command in commands(PAGE):
        arguments = shlex.split(command)[1:]
        assert main(arguments + (TINY if arguments[0] == "compare" else [])) == 0, f"{command}: {capsys.readouterr()}"
        worst = pd.read_csv(folder / "tables" / "worst_seed.csv")
        for ending in FILES:
            (folder / "tables" / f"worst_seed{ending}").unlink()  # the next command makes it again
        text = (folder / "report.html").read_text()
        assert '<h2 id="worst_seed-heading">Worst seed</h2>' in text and "How badly a single" in text
        assert "One run each: no interval, no verdict." in text
    assert list(worst) == ["section", "arm", "column", "seed", "value"] and list(worst["arm"]) == ["batch", "layer"]
    assert 'data-plot="seeds"' in text and (folder / "figures" / "seeds.pdf").is_file()
    runs = pd.read_csv(folder / "runs.csv")
    assert worst["value"].tolist() == runs.groupby("norm")["test.accuracy"].min().tolist()


def test_the_table_names_what_is_there() -> None:
    named = re.findall(r"^\| `([^`]+)`", PAGE, re.MULTILINE)
    for part in named:
        name, _, arguments = part.partition("(")
        if name.startswith("study."):
            attribute = name.removeprefix("study.")
            assert attribute in dir(Study) or attribute in Study.__dataclass_fields__
        elif hasattr(normlib, name):
            wanted = {each.partition("=")[0].strip() for each in arguments.rstrip(")").split(",")}
            assert wanted <= set(inspect.signature(getattr(normlib, name)).parameters), part
    assert {"array", "column", "replicates"} <= {*dir(Condition), *Condition.__dataclass_fields__}
