"""Checks the pages on using the layers and on converting a model: their Python runs, and their commands are taken."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch

from normlib.cli import main
from normlib.norms import norms
from tests.pages import blocks, commands, page

LAYERS, MODELS = page("docs/using_norms.md"), page("docs/converting.md")
TINY = {"train": ["training.steps=2", "model.width=8"], "list": []}
TINY_BENCH = [
    "bench.shapes=[4x8x16x16]", "bench.blocks=2", "bench.rounds=2", "bench.compile=false", "bench.threads=[1]", "bench.passes=[forward]",
]  # fmt: skip


@pytest.mark.parametrize("text", [LAYERS, MODELS], ids=["using_norms", "converting"])
def test_the_python_of_a_page_runs(text: str) -> None:
    names: dict[str, Any] = {}
    for block in blocks(text, "python"):
        exec(compile(block, "page", "exec"), names)
    if "plain" in names:
        assert isinstance(names["plain"][1], torch.nn.GroupNorm) and isinstance(names["small"][1], torch.nn.Identity)
    else:
        before = names["model"][1].running_mean.clone()
        names["model"].train()(torch.randn(4, 8) + 5)
        assert torch.equal(names["model"][1].running_mean, before), "frozen, train() notwithstanding"


def test_the_commands_of_a_page_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [shlex.split(line)[1:] for line in commands(LAYERS) if "bench" not in line or "norm=group" in line]
    assert [verb for verb, *_ in lines] == ["list", "train", "train", "bench"]
    for verb, *arguments in lines:
        assert main([verb, *arguments, *TINY.get(verb, TINY_BENCH)]) == 0, f"{arguments}: {capsys.readouterr().err}"


def test_every_norm_stands_in_the_table() -> None:
    table = LAYERS[LAYERS.index("| takes its statistics over") :].partition("\n\n")[0]
    own = {name for name in norms.names() if norms[name].cls.__module__.startswith("normlib.")}
    assert set(re.findall(r"`(\w+)`", table)) == own
