"""Checks the look at data before training: bad ones and ones edited under an old version are refused, normlib's own not loaded."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import normlib
from normlib.cli import main
from normlib.data.digits import Digits

PLUGIN = '''
from pathlib import Path
import torch
from normlib import register_dataset
from normlib.data.dataset import Dataset, Samples

@register_dataset("my_table")
class Table(Dataset):
    """Numbers from a file that is not part of the code."""
    input_shape, num_classes, version = (3,), 2, "{version}"
    sizes = {{"train": 16, "validation": 8, "test": 8}}
    def load(self, data_dir):
        factor = float(Path("my_table.txt").read_text())
        source = torch.Generator().manual_seed(0)
        return {{"all": Samples(torch.randn(32, 3, generator=source) ** factor, torch.arange(32) % 2)}}
'''
SETTINGS = [
    "plugins=[my_table.py]",
    "data=my_table",
    "model=mlp",
    "model.width=4",
    "data.batch_size=4",
    "training.steps=2",
    "accelerator=cpu",
]


@pytest.fixture
def edit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    """``edit(factor=..., version=...)`` writes the data and the plugin that reads them."""
    monkeypatch.chdir(tmp_path)

    def write(factor: int, version: str) -> None:
        Path("my_table.txt").write_text(str(factor))
        Path("my_table.py").write_text(PLUGIN.format(version=version))

    return write


def test_data_edited_between_two_calls_are_refused_before_training(edit, capsys: pytest.CaptureFixture[str]) -> None:
    edit(factor=1, version="1")
    assert normlib.train(*SETTINGS, "norm=layer").status == "done"
    records = {path: path.read_bytes() for path in Path("results").rglob("*.json")}
    edit(factor=2, version="1")
    for seed in ("seed=0", "seed=1"):  # a run that has a record, and one that has none
        assert main(["train", *SETTINGS, "norm=layer", seed]) == 2
        message = capsys.readouterr().err
        assert "data=my_table was edited under its old version '1'" in message and "Change version" in message
        assert "Traceback" not in message
    assert {path: path.read_bytes() for path in Path("results").rglob("*.json")} == records
    edit(factor=2, version="2")
    assert normlib.train(*SETTINGS, "norm=layer").data_version == "2"
    edit(factor=1, version="1")
    assert normlib.train(*SETTINGS, "norm=layer", "seed=1").status == "done", "the first data are those of version 1"


def test_other_settings_and_other_splits_are_other_data(edit) -> None:
    edit(factor=1, version="1")
    for settings in ([], ["data.split_seed=1"], ["data.batch_size=8"]):
        assert normlib.train(*SETTINGS, *settings, "norm=layer").status == "done"


def test_data_that_come_with_normlib_are_not_loaded_for_the_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = ["model.width=4", "training.steps=2", "accelerator=cpu"]
    first = normlib.train(*settings)
    monkeypatch.setattr(Digits, "load", lambda *_: pytest.fail("loaded"))
    assert normlib.train(*settings) == first


def test_an_edited_file_of_arrays_is_another_version_in_the_same_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = [
        "data=arrays",
        "data.file=my.npz",
        "model=mlp",
        "model.width=4",
        "data.batch_size=4",
        "training.steps=2",
        "accelerator=cpu",
    ]
    records = []
    for features in (3, 5):
        inputs = np.random.default_rng(0).normal(size=(40, features))
        np.savez("my.npz", inputs=inputs, targets=np.arange(40) % 2)
        records.append(normlib.train(*settings))
    assert [record.status for record in records] == ["done", "done"]
    assert records[0].id != records[1].id and records[0].parameters["trunk"] < records[1].parameters["trunk"]


BAD = """
import torch
from normlib import register_dataset
from normlib.data.dataset import Dataset, Samples

INPUTS, CLASSES = torch.rand(32, 3, generator=torch.Generator().manual_seed(0)), torch.arange(32) % 2

@register_dataset("my_bad")
class Bad(Dataset):
    \"\"\"Data with a mistake.\"\"\"
    input_shape, num_classes, version = (3,), 2, "1"
    sizes = {"train": 16, "validation": 8, "test": 8}
    def load(self, data_dir):
        return {"all": Samples(INPUTS, CLASSES)}
"""
MISTAKES = {
    "real targets": ("CLASSES)}", "CLASSES / 2)}", "targets are class numbers, int64, got float32; real targets are for task=regression"),
    "one-hot targets": ("CLASSES)}", "torch.eye(2)[CLASSES])}", r"one-hot targets become class numbers with targets\.argmax"),
    "class numbers from 1": ("CLASSES)}", "1 + CLASSES)}", "class numbers go from 0 to num_classes - 1 = 1, got 1 to 2"),
    "arrays": ('{"all": Samples(INPUTS, CLASSES)}', "INPUTS.numpy(), CLASSES.numpy()", "returns a dictionary .* got a tuple"),
    "no sizes": ('sizes = {"train": 16, "validation": 8, "test": 8}', "pass", "Bad has no sizes: set sizes = "),
    "sizes": ('"train": 16', '"train": 60', "together need 76 samples, but the data have 32"),
    "channels last": ("(3,)", "(1, 3)", r"declared input_shape is \(1, 3\), but the inputs have the shape \(3,\)"),
    "bytes": ("Samples(INPUTS", "Samples(INPUTS.byte()", r"inputs are floats unless .* got torch\.uint8"),
    "no classes": ("num_classes, version = (3,), 2,", "version = (3,),", "needs to know num_classes"),
    "no load": ("def load", "def lode", "Bad has no method load"),
    "an error of its own": ("        return", "        raise ValueError('the disk is full')\n        return", "the disk is full"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_bad_data_are_one_message_and_nothing_is_trained(
    mistake: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    right, wrong, message = MISTAKES[mistake]
    assert BAD.count(right) == 1
    Path("my_bad.py").write_text(BAD.replace(right, wrong))
    settings = ["plugins=[my_bad.py]", "data=my_bad", "model=mlp", "data.batch_size=4", "seed=0"]
    assert main(["train", *settings]) == 2
    said = capsys.readouterr().err
    assert re.search(message, said) and "Traceback" not in said, said
    assert not list(Path("results").rglob("*.json"))
