"""Checks that what one test registers, by the program or by a decorator, is gone in the next test of the same process."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from hydra.core.config_store import ConfigStore

from normlib.cli import main
from normlib.norms import norms
from normlib.norms.none import NoNorm

FILE = """
import normlib

@normlib.register("left_behind", statistics_over="nothing", paper="")
class LeftBehind(normlib.Norm):
    def normalize(self, x):
        return x
"""


@pytest.mark.parametrize("time", ["first", "second"])
def test_a_registration_ends_with_its_test(
    time: str, tmp_path: Path, registered: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not any(
        "left_behind" in name for name in [*norms.names(), *ConfigStore.instance().repo["norm"], *sys.modules]
    )
    (tmp_path / "my_left_behind.py").write_text(FILE)
    assert main(["list", f"plugins=[{tmp_path}/my_left_behind.py]"]) == 0
    assert "left_behind" in capsys.readouterr().out
    registered(norms, "also_left_behind", statistics_over="nothing", paper="")(type("Also", (NoNorm,), {}))
    assert {"left_behind", "also_left_behind"} <= set(norms.names())
