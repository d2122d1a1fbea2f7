"""Checks what `normlib list` knows and prints: every choice and setting, one line each for programs, no broken word, stable keys."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence

import pytest

from normlib.cli import main
from normlib.experiments.schema import GROUPS
from normlib.experiments.settings import GROUPS as CONFIG_GROUPS
from normlib.experiments.settings import choices_of, settings_without_classes
from normlib.listing import listing
from normlib.listing_text import lines, page
from normlib.registry import RegistryError

CHOICE = {"kind", "name", "key", "help", "source", "settings"}
SETTING = {"kind", "key", "type", "choices", "default", "help", "changes_numbers", "of"}
OF_GROUPS = {"norm": {"statistics_over", "depends_on_batch", "place", "paper"}, "data": {"task"}}


def keys(*names: str) -> list[str]:
    return [row["key"] for row in listing(*names)]


def test_everything_is_listed() -> None:
    rows = {row["key"]: row for row in listing()}
    for group in CONFIG_GROUPS:
        assert {f"{group}={name}" for name in choices_of(group)} <= set(rows)
    for described in settings_without_classes():
        assert described.key in rows or described.key in CONFIG_GROUPS
    for group, registry in GROUPS.items():
        for entry in registry.entries():
            own = [each["key"] for each in rows[f"{group}={entry.name}"]["settings"]]
            assert own == [f"{group}.{name}" for name in entry.settings] and set(own) <= set(rows)


def test_the_keys_of_rows_are_stable() -> None:
    for row in listing():
        if row["kind"] == "setting":
            assert set(row) == SETTING
        else:
            of_file = {"values"} if "values" in row else OF_GROUPS.get(row["kind"], set())
            assert set(row) == CHOICE | of_file
            assert all(set(each) == SETTING for each in row["settings"])


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["norm=group"], ["norm=group"]),
        (["norm=group,layer"], ["norm=group", "norm=layer"]),
        (["group_ws"], ["norm=group_ws"]),
        (["optimizer.lr_rule"], ["optimizer.lr_rule"] * 2),
        (["lr_rule"], ["optimizer.lr_rule"] * 2),
        (["norm.num_groups"], ["norm.num_groups"]),
        (["qk_norm"], ["model.qk_norm"]),
        (["init"], ["init.scheme", "init.scale"]),
        (["seed", "model.weights"], ["seed", "model.weights"]),
        (["schedule"], ["schedule=constant", "schedule=cosine", "schedule=one_cycle", "schedule.warmup", "schedule.warmup"]),
    ],
)  # fmt: skip
def test_names_find_choices_settings_and_groups(names: Sequence[str], expected: list[str]) -> None:
    assert keys(*names) == expected


def test_a_group_has_its_choices_and_what_all_of_them_have() -> None:
    found = keys("norm")
    assert "norm=batch" in found and "norm=group_ws" in found and "norm.frozen" in found
    assert "norm.num_groups" not in found, "it stands with the norms that have it"


def test_a_choice_tells_what_it_is() -> None:
    (group,) = listing("norm=group")
    assert group["paper"] == "arXiv:1803.08494" and group["depends_on_batch"] is False
    assert group["settings"][0]["default"] is None and "largest divisor" in group["settings"][0]["help"]
    (arm,) = listing("norm=group_ws")
    assert arm["values"] == {"norm": "group", "norm.weights": "weight_standardization"}
    (experiment,) = listing("experiment=tuned_rate")
    assert (
        experiment["values"]["tuning.axis"] == "optimizer.lr"
        and experiment["values"]["norm"] == "batch,group,layer,none"
    )
    (rule, _) = listing("optimizer.lr_rule")
    assert (
        rule["choices"] == ["linear", "sqrt", "constant"] and rule["of"] == ["sgd"] and rule["changes_numbers"] is True
    )
    assert listing("jobs")[0]["changes_numbers"] is False


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("grup", "group"), ("norm=grup", "group"), ("optimizer.lr_rul", "optimizer.lr_rule"), ("nrom=group", "norm"),
        ("norm.num_group", "norm.num_groups"), ("trainin", "training"), ("epoch", "training.epochs"), ("sed", "seed"),
    ],
)  # fmt: skip
def test_a_wrong_name_gives_the_closest(name: str, meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RegistryError, match=rf"did you mean .*'{re.escape(meant)}'"):
        listing(name)
    assert main(["list", name]) == 2
    assert capsys.readouterr().err.startswith("normlib list: ")


def test_piped_it_is_one_line_for_each_in_the_same_columns(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    found = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert len(found) == len(listing()) and {len(columns) for columns in found} == {5}
    assert {columns[1] for columns in found} == {*CONFIG_GROUPS, "setting"}
    assert [columns[0] for columns in found if columns[0] == "norm=group"] == ["norm=group"]
    assert main(["list", "norm=group"]) == 0
    assert [line.split("\t")[0] for line in capsys.readouterr().out.splitlines()] == [
        "norm=group", *(each["key"] for each in listing("norm=group")[0]["settings"]),
    ]  # fmt: skip


def test_json_is_the_data(capsys: pytest.CaptureFixture[str]) -> None:
    for names in ((), ("norm=group",), ("optimizer.lr_rule",), ("norm",)):
        assert main(["list", *names, "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == listing(*names)


@pytest.mark.parametrize("width", [60, 80, 200])
@pytest.mark.parametrize("names", [(), ("norm=batch_renorm",), ("evaluation",)])
def test_no_word_is_broken_on_a_terminal(
    names: Sequence[str], width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """All words of the rows are on the screen as they are, and lines are as long as the terminal, or have one word too long for it."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(width))
    assert main(["list", *names]) == 0
    shown = capsys.readouterr().out
    assert set(" ".join(row["help"] for row in listing(*names) if row["kind"] == "setting").split()) <= {
        word.strip("()") for word in shown.split()
    } | set(shown.split())
    for line in shown.splitlines():
        assert len(line) <= width or len(line.split()) <= 2, line


def test_a_class_of_the_users_own_has_its_help_from_its_docstring(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "listed_norm.py").write_text(
        "import normlib\n\n\n@normlib.register('listed_norm')\nclass Listed(normlib.Norm):\n"
        '    """Multiplies.\n\n    Args:\n        strength (float): how much\n            it multiplies\n        num_features: channels\n\n'
        '    More words.\n    """\n\n'
        "    def __init__(self, num_features: int, strength: float = 2.0, eps: float = 1e-5) -> None:\n"
        "        super().__init__(num_features, eps=eps)\n\n    def normalize(self, x):\n        return 2 * x\n"
    )
    assert main(["list", "norm=listed_norm", f"plugins=[{tmp_path}/listed_norm.py]"]) == 0
    _, strength, eps = capsys.readouterr().out.splitlines()
    assert strength == "norm.strength\tsetting\t2.0\tfloat, changes numbers\thow much it multiplies"
    assert "against division by zero" in eps, "from the base class"


def test_lines_and_pages_take_any_rows() -> None:
    assert list(lines([], True)) == [] == list(page([], 80, True))
