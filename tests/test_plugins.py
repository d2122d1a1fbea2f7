"""Checks norms, models and datasets of a user's own, in files, modules and other people's packages, on every verb."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest
import torch

import normlib
from normlib.cli import main
from normlib.experiments import resolve
from normlib.experiments.plan import make_plan, make_run
from normlib.norms import norms
from normlib.registry import RegistryError
from tests.experiments.tiny_sweeps import TINY, statuses, write_plugin

MINE = '''
"""A model and a dataset for tests."""
import torch
from torch import nn
from normlib import register_dataset, register_model
from normlib.data.dataset import Dataset, Samples

@register_model("my_model")
class Model(nn.Module):
    """One layer."""
    def __init__(self, sites, input_shape, num_outputs, width: int = 4):
        super().__init__()
        self.layer = nn.Linear(input_shape[0], width, bias=False)
        self.site = sites(width, ahead=self.layer)
        self.classifier = nn.Linear(width, num_outputs)

    def forward(self, x):
        return self.classifier(self.site(self.layer(x)))

@register_dataset("my_data")
class Data(Dataset):
    """Two classes."""
    input_shape, num_classes, version = (3,), 2, "1"
    sizes = {"train": 16, "validation": 8, "test": 8}
    def load(self, data_dir):
        targets = torch.arange(32) % 2
        return {"all": Samples(targets[:, None] + torch.arange(96.0).reshape(32, 3) / 96, targets)}
'''


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_plugin(tmp_path, "plain", "my_norm")
    return tmp_path


def make(*overrides: str, plugin: str = "my_plain.py") -> str:
    return make_run([*TINY, f"plugins=[{plugin}]", "norm=my_norm", *overrides])[0].id


def test_by_path_and_by_module_name_it_is_the_same_run(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(place)
    by_relative_path = make()
    assert make(plugin=str(place / "my_plain.py")) == by_relative_path
    assert make(plugin="./my_plain.py") == by_relative_path
    assert make(plugin="my_plain") == by_relative_path


def test_an_edit_makes_new_runs_and_a_comment_does_not(place: Path) -> None:
    file = place / "my_plain.py"
    text = file.read_text()
    before = make()
    file.write_text(text.replace("return x", "return x  # as it came"))
    assert make() == before
    file.write_text(text.replace("return x", "return 2 * x"))
    assert make() != before


def test_a_name_that_is_taken_is_an_error(place: Path) -> None:
    write_plugin(place, "counting", "batch")
    with pytest.raises(RegistryError, match=r"'batch' is taken by normlib\.norms\.batch\.BatchNorm.*another name"):
        make_plan([*TINY, "plugins=[my_counting.py]", "norm=batch"])
    assert norms["batch"].cls.__module__ == "normlib.norms.batch"


def test_settings_of_a_plugin_are_checked(place: Path) -> None:
    with pytest.raises(ValueError, match=r"norm\.num_groups"):
        make("norm.num_groups=2")


@pytest.mark.parametrize("verb", ["list", "plan", "train", "train -m", "compare", "report"])
def test_on_every_verb(verb: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    overrides = [*TINY, "plugins=[my_plain.py]", "norm=my_norm", "seed=0"]
    if verb == "report":
        assert main(["train", *overrides, "experiment=small_batch"]) == 0
        overrides = ["plugins=[my_plain.py]", "norm=my_norm"]
    assert main([*verb.split(), *([overrides[-3]] if verb == "list" else overrides)]) == 0
    assert "my_norm" in capsys.readouterr().out


def test_models_and_datasets(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "mine.py").write_text(MINE)
    overrides = [
        "plugins=[mine.py]",
        "model=my_model",
        "model.width=5",
        "data=my_data",
        "data.batch_size=4",
        "training.steps=2",
    ]
    assert main(["compare", *overrides, "norm=batch,layer", "seed=0", "jobs=1", "accelerator=cpu"]) == 0
    assert set(statuses(Path("results")).values()) == {"done"}
    assert main(["list", "plugins=[mine.py]"]) == 0
    assert "my_model" in capsys.readouterr().out


def test_an_installed_package(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(place)
    point = importlib.metadata.EntryPoint("my_norm", "my_plain", "normlib.norms")
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [point] if group == point.group else [])
    monkeypatch.setattr(norms, "_loaded", False)
    run = make_plan([*TINY, "norm=glob(my_*)", "seed=0"]).runs[0]
    assert run.labels["norm"] == "my_norm" and run.plugins == ()


def test_an_edited_dataset_is_trained_on_in_the_same_process(place: Path) -> None:
    file = place / "my_data.py"
    overrides = [
        "plugins=[my_data.py]",
        "data=my_data",
        "model=mlp",
        "norm=none",
        "data.batch_size=8",
        "training.steps=2",
    ]
    hashes = []
    for version, divisor in enumerate((96, 48)):
        file.write_text(MINE.replace("/ 96", f"/ {divisor}").replace('"1"', f'"{version}"'))
        hashes.append(normlib.train(*overrides).hashes["data"])
    assert hashes[0] != hashes[1]


def test_an_edit_that_is_taken_back_is_the_first_run_again(place: Path) -> None:
    file = place / "my_plain.py"
    first, text = make(), file.read_text()
    file.write_text(text.replace("return x", "return 2 * x"))
    second = make()
    file.write_text(text)
    assert (make(), second != first) == (first, True)
    assert norms["my_norm"].cls(4).normalize(torch.ones(1, 4)).max() == 1, (
        "the class behind the id is the first one too"
    )


def test_an_edit_deep_in_a_package_makes_new_runs(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(place)
    (place / "my_package" / "numbers").mkdir(parents=True)
    factor = place / "my_package" / "numbers" / "factors.py"
    factor.write_text("FACTOR = 1.0\n")
    text = "from my_package.numbers.factors import FACTOR\n" + (place / "my_plain.py").read_text().replace(
        "x\n", "x * FACTOR\n"
    )
    (place / "my_package" / "norm.py").write_text(text)
    before = make(plugin="my_package.norm")
    resolve._code.cache_clear()  # as in another process
    factor.write_text("FACTOR = 2.0\n")
    assert make(plugin="my_package.norm") != before


def test_a_norm_without_a_file_is_told_to_get_one() -> None:
    code = "import normlib\n@normlib.register('my_typed')\nclass Typed(normlib.Norm):\n    def normalize(self, x): return x\n"
    exec(compile(code, "<stdin>", "exec"), {"__name__": "my_session"})
    with pytest.raises(RegistryError, match="put the class into a file"):
        make_run([*TINY, "norm=my_typed"])
