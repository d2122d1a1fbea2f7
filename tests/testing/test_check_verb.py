"""`normlib check`: the contract from the command line, on norms, arms and a file of a user's own, with its exit codes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from normlib.cli import main
from normlib.help import VERBS
from normlib.testing import CHECKS
from tests.testing.few_checks import only

MINE = '''
from normlib.norms import register
from normlib.norms.base import Norm

@register("{name}")
class Mine(Norm):
    """Divides by the root of the mean of squares."""

    depends_on_batch = {depends}

    def normalize(self, x):
        self.require_several_values(x[0].numel(), x, "a sample", "give it more channels")
        axes = list(range(1, x.dim()))
        return x / (x.square().mean(axes, keepdim=True) + self.eps).sqrt()
'''


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of its own, a wide terminal, and the checks that take most of the time left out."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    with only(set(CHECKS) - {"compile", "inductor", "export", "gradients", "second_gradients", "precision", "resume"}):
        yield tmp_path


def test_a_norm_with_settings(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "group", "norm.num_groups=4"]) == 0
    shown = capsys.readouterr().out
    count = len(CHECKS)
    assert shown.startswith(
        f"group norm.num_groups=4: {count} promises, {count} kept, 0 declared as not kept, 0 broken"
    )
    for name in CHECKS:
        assert re.search(rf"^ {name} +ok +\w", shown, re.MULTILINE)
    assert list(place.iterdir()) == []


def test_several_norms_and_settings_and_arms(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "group", "layer_position", "norm.affine=true,false"]) == 0
    headed = re.findall(r"^(\S.*): \d+ promises", capsys.readouterr().out, re.MULTILINE)
    assert headed == [f"{arm} norm.affine={affine}" for arm in ("group", "layer_position") for affine in (True, False)]


def test_a_norm_of_ones_own(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "my_norm.py").write_text(MINE.format(name="rms_of_mine", depends=False))
    assert main(["check", "plugins=[my_norm.py]", "rms_of_mine"]) == 0
    assert main(["check", "norm=rms_of_mine", "plugins=[my_norm.py]"]) == 0
    assert capsys.readouterr().out.count("rms_of_mine: ") == 2


def test_a_broken_promise(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "my_leak.py").write_text(MINE.format(name="my_leak", depends=True))
    assert main(["check", "my_leak", "plugins=[my_leak.py]"]) == 1
    shown = capsys.readouterr().out
    assert "1 broken" in shown
    assert re.search(r" breaks: dependence$", shown.rstrip()), "what is broken stands below the table, which is long"
    assert re.search(r"dependence +FAILED +In training, a sample's output depends", shown)
    assert "declares depends_on_batch=True, but a sample's output does not change with its batch" in shown


def test_a_declared_exception_is_shown_with_its_reason(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "weight_norm"]) == 0
    shown = capsys.readouterr().out
    assert "1 declared as not kept, 0 broken" in shown
    assert re.search(r"pickle +declared +A norm from a pickle continues .*\n.*state_dict alone", shown)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("check", r"name the norms to check first, as in `normlib check group`.*checks all of batch"),
        ("check group norm=layer", "name the norms to check once"),
        ("check grup", "no norm is named 'grup'; did you mean 'group'"),
        ("check my_norm.py", r"my_norm\.py is a file; load it with plugins=\[my_norm\.py\] and name the norm"),
        ("check group seed=3", r"takes norms by name, their settings .* got seed="),
        ("check group norm.num_group=3", "norm.num_group: no setting is named 'num_group'; did you mean 'num_groups'"),
        ("check group norm.num_groups=11", "norm=group: num_groups has to divide num_features, but 512 channels"),
        ("check group_ws", "norm.weights=weight_standardization: the contract is one norm's"),
    ],
)
def test_bad_input(words: str, message: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words.split()) == 2
    captured = capsys.readouterr()
    assert re.search(message, captured.err), captured.err
    assert captured.out == ""


@pytest.mark.parametrize("example", VERBS["check"].examples)
def test_every_example_of_the_help(example: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "my_norm.py").write_text(MINE.format(name="my_norm", depends=False))
    with only({"shapes"}):
        assert main(shlex.split(example, comments=True)[1:]) == 0
    assert "1 promises, 1 kept" in capsys.readouterr().out


PLAIN = """
import normlib

def plain(x, eps=1e-5):
    return x / (x.abs().mean() + eps)

normlib.register("my_plain", wraps=plain)
"""


def test_a_plain_function_is_told_what_it_has_not_promised(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "plain.py").write_text(PLAIN)
    assert main(["check", "my_plain", "plugins=[plain.py]"]) == 0
    shown = capsys.readouterr().out
    assert re.match(
        rf"my_plain: {len(CHECKS)} promises, \d+ kept, 0 declared as not kept, \d+ not promised by a plain module, 0 broken",
        shown,
    )
    assert re.search(r"modes\s+unpromised .*\n.*samples alone against together in eval mode: off by", shown)
    assert "it declares nothing" in shown
