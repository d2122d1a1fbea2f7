"""Checks that docs/results_from_elsewhere.md is true: its commands and its code run, and its flags are those of the command line."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from normlib.cli import TABLE_FLAGS, main
from tests.pages import ROOT, blocks, commands, page

PAGE = page("docs/results_from_elsewhere.md")
TABLE = Path("examples/made_elsewhere.csv")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    TABLE.parent.mkdir()
    shutil.copy(ROOT / TABLE, TABLE)
    return tmp_path


def test_the_command_and_the_code_run(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (command,) = commands(PAGE)
    assert main(shlex.split(command)[1:]) == 0
    assert "pairing not verified" in capsys.readouterr().out.lower()
    assert (place / "examples" / "made_elsewhere_report" / "report.html").is_file()
    (code,) = blocks(PAGE, "python")
    exec(compile(code, "results_from_elsewhere.md", "exec"), {})
    assert (place / "my_report" / "tables" / "paired.md").is_file()


def test_the_table_on_the_page_is_the_examples() -> None:
    (shown,) = re.findall(r"^```\n(norm.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    assert (ROOT / TABLE).read_text().startswith(shown)


def test_every_flag_is_explained_and_every_link_leads_somewhere() -> None:
    explained = set(re.findall(r"`--([a-z-]+)", PAGE)) - {"to", "open"}
    assert explained == {name.replace("_", "-") for name in TABLE_FLAGS}
    for link in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (ROOT / "docs" / link).exists(), link


def test_help_shows_the_flags(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["report", "--help"])
    shown = capsys.readouterr().out
    assert ended.value.code == 0 and "with % its numbers are fractions" in shown
    assert all(f"--{name.replace('_', '-')}" in shown for name in TABLE_FLAGS)
