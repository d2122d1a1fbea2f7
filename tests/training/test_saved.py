"""Checks `normlib.load_network`: the network of a record scores what the record says, and what cannot be loaded is refused."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import nn

import normlib
from normlib.models import register_network
from normlib.results.store.record import Record
from normlib.training.inputs import splits_on_device
from normlib.training.saved import SavedWeightsError
from normlib.training.weights import read_weights, write_weights

SMALL = ("model.width=8", "model.depth=2", "training.steps=4", "accelerator=cpu", "save_weights=true")


class Own(nn.Module):
    """Has a bias ahead of its norm, which weights to start from bring along, and two layers that share their weights."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6)
        self.one, self.two = nn.Linear(6, 6, bias=False), nn.Linear(6, 6, bias=False)
        self.two.weight = self.one.weight
        self.head = nn.Linear(6, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.two(self.one(self.norm(self.conv(x)).relu().mean((2, 3)))))


def trained(folder: Path, *overrides: str) -> Record:
    return normlib.train(f"results_dir={folder}", *overrides)


def accuracy(network: nn.Module, record: Record, folder: Path) -> float:
    samples = splits_on_device(record.spec["data"], record.spec["task"], folder, torch.device("cpu"))[0]["test"]
    with torch.no_grad():
        return float((network(samples.inputs).argmax(1) == samples.targets).double().mean())


@pytest.mark.parametrize("overrides", [("norm=batch",), ("norm=weight_norm",), ("norm=group", "site.dropout=0.5")])
def test_a_networks_record_and_its_weights_are_one(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    record = trained(tmp_path, *SMALL, "model=convnet", *overrides)
    by_record = normlib.load_network(record, tmp_path)
    by_path = normlib.load_network(tmp_path / record.experiment / "runs" / f"{record.id}.json")
    assert not by_record.training
    assert accuracy(by_record, record, tmp_path) == record.metrics["test"]["accuracy"]
    assert all(torch.equal(value, by_path.state_dict()[name]) for name, value in by_record.state_dict().items())


def test_a_pretrained_network_is_built_as_it_was(tmp_path: Path) -> None:
    register_network("own_net")(Own)
    torch.save(Own().state_dict(), tmp_path / "w.pt")
    overrides = (
        "model=own_net",
        "training.steps=2",
        "accelerator=cpu",
        "save_weights=true",
        f"model.weights={tmp_path / 'w.pt'}",
    )
    record = trained(tmp_path, *overrides, "norm=batch", "norm.frozen=all")
    (tmp_path / "w.pt").unlink()
    network = normlib.load_network(record, tmp_path)
    assert network.network.conv.bias is not None
    assert network.network.one.weight is network.network.two.weight
    assert accuracy(network, record, tmp_path) == record.metrics["test"]["accuracy"]


def test_a_runs_weights_are_a_start_for_another(tmp_path: Path) -> None:
    record = trained(tmp_path, *SMALL, "model=convnet", "norm=group")
    file = tmp_path / record.experiment / "weights" / f"{record.id}.safetensors"
    with safe_open(file, framework="pt") as opened:
        assert json.loads(opened.metadata()["normlib"])["run"] == record.id
    again = [
        trained(tmp_path, *SMALL, "model=convnet", f"model.weights={file}", f"norm={norm}")
        for norm in ("group", "batch")
    ]
    kept, converted = (each.start["kept_norms"] for each in again)
    assert kept == ["sites.0", "sites.1"]
    assert converted == []
    assert again[0].hashes["trunk"] == again[1].hashes["trunk"] != record.hashes["trunk"]


def test_what_cannot_be_loaded_is_refused(tmp_path: Path) -> None:
    record = trained(tmp_path, *SMALL, "model=convnet")
    file = tmp_path / record.experiment / "weights" / f"{record.id}.safetensors"
    with pytest.raises(SavedWeightsError, match="no whole weights.*train the run with save_weights=true"):
        normlib.load_network(record, tmp_path / "elsewhere")
    with pytest.raises(SavedWeightsError, match="there is no record"):
        normlib.load_network(tmp_path / "none.json")
    with pytest.warns(UserWarning, match="the code of the norm has changed since run"):
        normlib.load_network(dataclasses.replace(record, code={**record.code, "norm": "0" * 16}), tmp_path)
    state = read_weights(file)
    write_weights({**state, "more": torch.zeros(2)}, file)
    with pytest.raises(SavedWeightsError, match="does not fit the network that its record describes"):
        normlib.load_network(record, tmp_path)
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(SavedWeightsError, match="no whole weights"):
        normlib.load_network(record, tmp_path)
