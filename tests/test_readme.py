"""Checks that the README is true: every command and every piece of code runs, its files exist, its table is the gallery's."""

from __future__ import annotations

import re
import shlex
import shutil
import webbrowser
from pathlib import Path

import pandas as pd
import pytest

from normlib.cli import main
from results.update_readme import documents
from tests.pages import ROOT, blocks, page
from tests.pages import commands as lines_of

README = page("README.md")
# A sweep of the README is run for real, but with as little training as a run can have. Later settings win.
TINY = ["training.steps=3", "data.batch_size=32", "seed=0", "model.width=8", "jobs=1"]
TINY_MODULE = ["trainer.max_epochs=1", "datamodule.args.samples=16", "data.batch_size=8", "seed=0", "jobs=1"]
TINY_BENCH = [
    "bench.shapes=[4x8x16x16]", "bench.blocks=2", "bench.rounds=2", "bench.compile=false", "bench.threads=[1]", "bench.passes=[forward]",
]  # fmt: skip
FIRST_COMMAND = "pip install -e . && normlib compare"
TEST_COMMAND = 'pip install -e ".[test]" && pytest -n 2'


def commands() -> list[str]:
    """Every `normlib` command of the README, each once, in its order."""
    lines = lines_of(README)
    inline = [text.replace("\n", " ") for text in re.findall(r"`(normlib [a-z]+\s[^`]+)`", README)]
    found = {tuple(shlex.split(line, comments=True)): line for line in reversed([*lines, *inline])}
    return [line for line in reversed(found.values()) if line.startswith("normlib ")]


def tiny_for(command: str) -> list[str]:
    """The settings of TINY that a command's network and data can have."""
    left_out = {"norm=batch,l1_layer": ("model.width",), "experiment=language": ("data.batch_size",)}
    without = [key for words, keys in left_out.items() if words in command for key in keys]
    few = (
        ["norm=layer,none", "control=false"]
        if re.search("experiment=(regression|segmentation|language)", command)
        else []
    )
    few += ["model.norm_placement=pre"] if "experiment=language" in command else []
    return [setting for setting in TINY if setting.partition("=")[0] not in without] + few


def reads_records(command: str) -> bool:
    """Whether a command needs records that others make."""
    return shlex.split(command)[1] in ("report", "export")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the README tells to write, and records to report on."""
    monkeypatch.chdir(tmp_path)
    own_norm = next(block for block in blocks(README, "python") if block.startswith("# my_norm.py"))
    (tmp_path / "my_norm.py").write_text(own_norm)
    (tmp_path / "examples").mkdir()
    for name in ("made_elsewhere.csv", "my_lit.py"):
        shutil.copy(ROOT / "examples" / name, tmp_path / "examples")
    return tmp_path


def test_the_two_commands_stand_in_the_first_screen() -> None:
    assert blocks(README, "bash")[0].strip() == FIRST_COMMAND
    assert blocks(README, "bash")[1].strip() == TEST_COMMAND


def test_every_command_runs(project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", lambda page: bool(opened.append(page)) or True)
    found = commands()
    assert len(found) >= 15
    for command in sorted(found, key=reads_records):
        if "results/other" in command:  # the folder of another machine
            shutil.copytree("results/small_batch", "results/other", dirs_exist_ok=True)
        arguments = shlex.split(command, comments=True)[1:]
        if arguments[0] == "bench":
            arguments += TINY_BENCH
        if arguments[0] in ("compare", "train"):
            arguments += TINY_MODULE if "module=" in command else tiny_for(command)
        assert main(arguments) == 0, f"{command}: {capsys.readouterr().err}"
    assert len(opened) == 1


def test_the_python_of_the_readme_runs(project: Path) -> None:
    names: dict[str, object] = {"__name__": "__main__"}
    for block in blocks(README, "python"):
        tiny = block.replace('"seed=range(3)"', '"seed=0"').replace('"data.batch_size=2,32"', '"data.batch_size=32"')
        if not block.startswith("# my_norm.py"):  # a file of its own, run by the commands
            exec(compile(tiny, "README.md", "exec"), names)
    assert isinstance(names["runs"], pd.DataFrame)
    assert set(names["runs"]["norm"]) == {"batch", "batch_control", "group"}
    assert isinstance(names["table"], pd.DataFrame)
    assert set(names["table"]["arm"]) == {"batch_control", "group"}


def test_links_name_what_is_there() -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        assert link.startswith("https:") or (ROOT / link).exists(), link


def test_it_is_read_in_three_minutes() -> None:
    """Wide tables, and whatever only some readers need, stand in docs/."""
    assert len(README.split()) < 1500 and max(map(len, README.splitlines())) < 260


def test_the_results_are_the_gallerys() -> None:
    for path, text in documents().items():
        assert path.read_text(encoding="utf-8") == text, "run: python results/update_readme.py"
