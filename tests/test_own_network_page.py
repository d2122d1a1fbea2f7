"""Checks the page on a network that one has: its files and commands run, and its table names what a constructor gets."""

from __future__ import annotations

import re
import runpy
import shlex
from pathlib import Path

import pytest
import torch

from normlib.cli import main
from normlib.models.own_network import SUPPLIED
from normlib.plugins import load_named
from normlib.results.store.reading import read_regular
from normlib.results.store.record import Record
from tests.pages import blocks, commands, page

PAGE = page("docs/own_network.md")
# A comparison of the page is run for real, but with as little training as a run can have. Later settings win.
TINY = ["training.steps=2", "data.batch_size=32", "seed=0", "jobs=1"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The page's files, written where the commands look for them, and weights of the network."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "norm").mkdir()
    for block in (*blocks(PAGE, "python"), *blocks(PAGE, "yaml")):
        (tmp_path / block.split()[1]).write_text(block)
    torch.save(load_named("my_net.py:Net", "model.path")(1, 10).state_dict(), "weights.pt")
    return tmp_path


def test_the_commands_of_the_page_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = commands(PAGE)
    assert len(lines) == 4
    for command in lines:
        arguments = shlex.split(command)[1:]
        tiny = TINY if arguments[0] == "compare" else []
        assert main(arguments + tiny) == 0, f"{command}: {capsys.readouterr()}"
        shown = capsys.readouterr().out
        assert "skipped" not in shown or "skipped    0" in shown or "0 skipped" in shown, shown
        if tiny and "weights.pt" in command:
            records = [Record.from_json(read_regular(path)) for path in folder.glob("results/*/runs/*.json")]
            started = {r.labels["norm"]: r for r in records if r.start}
            assert started.keys() >= {"as_it_was", "frozen_batch", "converted", "fitted"}
            assert len({r.hashes["trunk"] for r in started.values()}) == 1
            assert [bool(started[arm].start["kept_norms"]) for arm in ("as_it_was", "frozen_batch", "converted")] == [
                True,
                True,
                False,
            ]


def test_the_network_is_loaded_as_the_page_loads_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not runpy.run_path("load.py")["network"].training


def test_the_table_names_what_a_constructor_gets() -> None:
    table = PAGE[PAGE.index("| argument |") :].partition("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", table)) == set(SUPPLIED)
