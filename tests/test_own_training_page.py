"""Checks the page on trainings that one has: its files and commands run, and its table names settings that there are."""

from __future__ import annotations

import re
import runpy
import shlex
import shutil
from pathlib import Path

import pytest

from normlib.cli import main
from tests.pages import ROOT, blocks, commands, page

PAGE = page("docs/own_training.md")
# Run for real, but with as little training as a run can have. Later settings win.
TINY = {
    "module": ["data.batch_size=8", "seed=0", "trainer.max_epochs=1", "datamodule.args.samples=16", "jobs=1", "control=false"],
    "function": ["seed=0", "jobs=1", "control=false"],
}  # fmt: skip


def test_the_code_and_the_commands_of_the_page_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    shutil.copy(ROOT / "examples" / "my_lit.py", tmp_path)
    for block in blocks(PAGE, "python"):
        (tmp_path / block.split()[1]).write_text(block.replace("range(3)", "range(1)").replace("[0.1, 0.3]", "[0.1]"))
    lines = commands(PAGE)
    assert len(lines) == 3
    for command in lines:
        program, *arguments = shlex.split(command)
        if program == "python":
            runpy.run_path(str(tmp_path / arguments[0]), run_name="__main__")
        else:
            kind = "module" if "module=" in command else "function"
            assert main(arguments + TINY[kind]) == 0, f"{command}: {capsys.readouterr()}"
        shown = capsys.readouterr().out
        assert ("pairing not verified" in shown.lower()) == ("module=" not in command), shown
        assert "failed" not in shown.replace("0 failed", "")
    assert "import normlib" not in (tmp_path / "my_lit.py").read_text()


def test_the_table_names_settings_that_there_are() -> None:
    import dataclasses

    from normlib.experiments.settings import Root
    from normlib.experiments.user_settings import SHORT

    table = PAGE[PAGE.index("| you write |") :].partition("\n\n")[0]
    known = {*SHORT, *(field.name for field in dataclasses.fields(Root))}
    for key in re.findall(r"^\| `([\w.]+)=", table, re.MULTILINE):
        assert key in known or key.partition(".")[0] in known, key
