"""Checks the page on adding a norm: its code runs, its table names what there is; and installs the example package as a user would."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import shlex
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from normlib.cli import main
from normlib.norms.base import Norm
from normlib.norms.declarations import Declarations
from normlib.norms.place import Place
from normlib.testing import check_norm
from normlib.testing.plain import PROMISED
from tests.pages import ROOT, blocks, commands, page

PAGE = page("docs/adding_a_norm.md")
EXAMPLE = ROOT / "examples" / "normlib-l1-batch"
# A comparison of the page is run for real, but with as little training as a run can have. Later settings win.
TINY = ["training.steps=3", "data.batch_size=32", "seed=0", "model.width=8", "jobs=1"]


def test_the_code_of_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for block in blocks(PAGE, "python"):
        (tmp_path / block.split()[1]).write_text(block)
    lines = commands(PAGE)
    assert len(lines) >= 3
    for command in lines:
        arguments = shlex.split(command, comments=True)[1:]
        assert main(arguments + (TINY if arguments[0] == "compare" else [])) == 0, f"{command}: {capsys.readouterr()}"


def test_the_table_names_every_attribute_with_its_default() -> None:
    rows = dict(re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|.*\| (.+) \|$", PAGE, re.MULTILINE))
    named = {name: row for names, row in rows.items() for name in re.findall(r"`(\w+)`", names)}
    assert set(named) == set(inspect.get_annotations(Declarations))
    for name, row in named.items():
        default = getattr(Norm, name)
        said = "nothing" if default == frozenset() else repr(default).replace("'", '"')
        assert said in row, name


def test_the_page_names_every_field_of_a_place() -> None:
    table = PAGE[PAGE.index("| of a `normlib.Place`") :].partition("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", table.replace("normlib.Place", ""))) >= {each.name for each in fields(Place)}


def test_the_page_names_what_a_plain_module_has_to_pass() -> None:
    sentence = PAGE[PAGE.index("Seven have to pass") :].partition("Any other")[0]
    assert len(PROMISED) == 7
    assert set(re.findall(r"`(\w+)`", sentence)) == PROMISED


def test_links_of_the_page_lead_somewhere() -> None:
    for link in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (ROOT / "docs" / link).resolve().exists(), link


def test_the_example_package_is_a_plugin_once_it_is_installed(tmp_path: Path) -> None:
    install = "pip install --quiet --no-deps --no-build-isolation --no-index --target"
    subprocess.run([sys.executable, "-m", *install.split(), str(tmp_path), str(EXAMPLE)], check=True, timeout=120)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "normlib", "list"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )  # fmt: skip
    assert done.returncode == 0 and "l1_batch" in done.stdout, done.stdout + done.stderr


def test_the_norm_of_the_example_keeps_the_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLE / "src")
    module = importlib.import_module("normlib_l1_batch")
    check_norm(module.L1BatchNorm)
