"""Checks that a network which was typed into a notebook travels to worker processes and has its source in the run's id."""

from __future__ import annotations

import pickle
from types import SimpleNamespace
from typing import Any

from normlib.experiments.shipping import pack, unpack
from normlib.models import models, register_network
from normlib.models.site import Sites
from normlib.training.source import class_hash
from tests.test_cells import Typing, notebook

__all__ = ["notebook"]

NETWORK = """
    def typed_network(num_outputs: int, width: int = 4):
        return nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.BatchNorm1d(width), nn.Linear(width, num_outputs))
"""


def test_a_typed_network_travels(notebook: tuple[Typing, dict[str, Any]]) -> None:
    run, names = notebook
    run("from torch import nn")
    run(NETWORK)
    register_network(names["typed_network"])
    before = class_hash(models["typed_network"].cls)
    spec: dict[str, Any] = {
        "norm": {"name": "batch", "weights": None},
        "model": {"name": "typed_network"},
        "data": {"name": "digits"},
        "task": {"name": "classification"},
    }
    parcels = pack([SimpleNamespace(spec=spec, sources={})])  # type: ignore[list-item]
    assert [(parcel.group, parcel.name, parcel.attribute) for parcel in parcels] == [
        ("model", "typed_network", "typed_network")
    ]
    models._entries.pop("typed_network")
    unpack(pickle.loads(pickle.dumps(parcels)))
    network = models["typed_network"].cls(Sites(), (1, 8, 8), 3, None, width=5)
    assert network.network[1].out_features == 5
    run(NETWORK.replace("BatchNorm1d", "LayerNorm"))
    models._entries.pop("typed_network")
    register_network(names["typed_network"])
    assert class_hash(models["typed_network"].cls) != before
