"""Checks the page on adding a model: its code runs, its tables name every argument, its packages are registered as it says."""

from __future__ import annotations

import inspect
import re
import shlex
from pathlib import Path

import pytest
import torch

from normlib.cli import main
from normlib.models import models
from normlib.models.site import ACTIVATIONS, Sites
from normlib.plugins import load_plugin
from tests.pages import ROOT, blocks, commands, page

PAGE = page("docs/adding_a_model.md")
# A comparison of the page is run for real, but with as little training as a run can have. Later settings win.
TINY = ["training.steps=3", "data.batch_size=32", "seed=0", "model.width=8", "jobs=1"]


def named_blocks(language: str) -> dict[str, str]:
    """The page's code blocks in one language, by their first comment where they have one."""
    return {block.split()[1]: block for block in blocks(PAGE, language)}


def rows(heading: str) -> set[str]:
    """What stands in the first column of the table with such a heading."""
    table = PAGE[PAGE.index(f"| {heading} |") :].partition("\n\n")[0]
    return set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The page's files, written where the commands look for them."""
    monkeypatch.chdir(tmp_path)
    for name, block in named_blocks("python").items():
        (tmp_path / name).write_text(block)
    return list(named_blocks("python"))


def test_the_commands_of_the_page_run(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    lines = commands(PAGE)
    assert len(lines) >= 3
    for command in lines:
        arguments = shlex.split(command)[1:]
        assert main(arguments + (TINY if arguments[0] == "compare" else [])) == 0, f"{command}: {capsys.readouterr()}"
        shown = capsys.readouterr().out
        assert "skipped" not in shown.replace("0 skipped", ""), f"{command} leaves out an arm: {shown}"
        assert arguments[0] != "list" or "residual_mlp" in shown


def test_a_model_for_tokens_takes_them_and_refuses_numbers(files: list[str]) -> None:
    for name in files:
        load_plugin(name)
    bag = models["bag_of_tokens"].cls
    assert bag(Sites(), (6,), 3, 11)(torch.randint(11, (2, 6))).shape == (2, 3)
    with pytest.raises(ValueError, match="needs token ids"):
        bag(Sites(), (1, 8, 8), 3, None)


def test_the_tables_name_every_argument() -> None:
    assert rows("argument") == models.supplied
    assert rows("of `sites(...)`") == set(inspect.signature(Sites.__call__).parameters) - {"self"}
    assert all(f'"{name}"' in PAGE for name in ACTIVATIONS)


def test_links_of_the_page_lead_somewhere() -> None:
    for link in re.findall(r"\]\(([^)#]+)", PAGE):
        assert (ROOT / "docs" / link).resolve().exists(), link


def test_a_package_registers_its_models_in_the_group_that_the_page_names() -> None:
    assert f'[project.entry-points."{models.entry_points}"]' in PAGE
