"""Checks the completion in a shell: every kind of word, from where the settings are described, without torch where it can be."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from normlib.arguments import make_parser
from normlib.cli import main
from normlib.completion import completions
from normlib.experiments.settings import settings_without_classes
from normlib.help import VERBS


def complete(line: str) -> list[str]:
    return completions(line, make_parser(""))


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("normlib com", ["compare"]),
        ("normlib --v", ["--version"]),
        ("normlib compare --ov", ["--overwrite"]),
        ("normlib list --j", ["--json"]),
        ("normlib compare opt", ["optimizer.", "optimizer="]),
        ("normlib compare optimizer.lr", ["optimizer.lr=", "optimizer.lr_rule="]),
        ("normlib train optimizer.lr_rule=", [f"optimizer.lr_rule={rule}" for rule in ("constant", "linear", "sqrt")]),
        ("normlib train optimizer.lr_rule=linear,s", ["optimizer.lr_rule=linear,sqrt"]),
        ("normlib train data.flip=", ["data.flip=false", "data.flip=true"]),
        ("normlib plan norm=batch,gr", ["norm=batch,grn", "norm=batch,group", "norm=batch,group_ws"]),
        ("normlib train norm=group norm.n", ["norm.num_groups="]),
        ("normlib train norm=layer norm.scope=", ["norm.scope=position", "norm.scope=sample"]),
        ("normlib train norm=group_ws norm.group", ["norm.group_size="]),
        ("normlib report tar", ["target="]),
        ("normlib report training.st", ["training.steps="]),
        ("normlib train tar", []),
        ("normlib bench bench.ca", ["bench.caches="]),
        ("normlib bench training", []),
        ("normlib check weight_s", ["weight_standardization"]),
        ("normlib list sch", ["schedule", "schedule.", "schedule="]),
        ("normlib list optimizer.lr_", ["optimizer.lr_rule"]),
        ("normlib nonsense se", []),
    ],
)
def test_words_of_every_kind(line: str, found: list[str]) -> None:
    assert complete(line) == found


def test_all_verbs_and_settings_complete() -> None:
    assert set(VERBS) < set(complete("normlib "))
    for described in settings_without_classes():
        key = described.key if described.key == "name" else described.key[:-1]
        assert f"{described.key}=" in complete(f"normlib compare {key}")


def test_plugins_and_folders_of_the_line_count(tmp_path: Path) -> None:
    (tmp_path / "completed_norm.py").write_text(
        "import normlib\n\n\n@normlib.register('completed_norm')\nclass Completed(normlib.Norm):\n"
        "    def normalize(self, x):\n        return x\n"
    )
    (tmp_path / "norm").mkdir()
    (tmp_path / "norm" / "completed_arm.yaml").write_text("defaults: [group]\nnum_groups: 8\n")
    line = f"normlib train plugins=[{tmp_path}/completed_norm.py] --config-dir {tmp_path} norm=completed_"
    assert complete(line) == ["norm=completed_arm", "norm=completed_norm"]


def test_a_line_that_is_not_finished_says_nothing_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COMP_LINE", "normlib train plugins=[nowhere.py] norm=")
    assert main(["-sc", "query=bash"]) == 0
    assert capsys.readouterr() == ("", "")


def test_settings_complete_without_torch() -> None:
    code = (
        "import sys\nfrom normlib.arguments import make_parser\nfrom normlib.completion import completions\n"
        "for line in ('normlib ', 'normlib compare o', 'normlib train optimizer.lr_rule=', 'normlib train norm=', 'normlib list s'):\n"
        "    assert completions(line, make_parser(''))\n"
        "print('torch' in sys.modules, 'hydra' in sys.modules)"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "False False\n"
    )
