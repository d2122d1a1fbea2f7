"""`normlib.load_network`: the network of a record with its final weights.

In: a record, or the path of its file. Out: the network at the end of the run, in evaluation mode on the CPU. This file
trains and writes nothing.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

from normlib.errors import NormlibError
from normlib.models import models, registered_name
from normlib.norms import norms
from normlib.results.store.record import Record
from normlib.results.store.store import Store
from normlib.training.inputs import NetworkShape, make_dataset, make_task
from normlib.training.network import build_network
from normlib.training.source import class_hash
from normlib.training.surroundings import standard_surroundings
from normlib.training.weights import SUFFIX, are_sound, read_weights


class SavedWeightsError(NormlibError, ValueError):
    """The network of a record cannot be loaded. The message says why and what to do."""


def load_network(record: Record | str | os.PathLike[str], results_dir: str | os.PathLike[str] = "results") -> nn.Module:
    """The network at the end of a run that had `save_weights=true`: an ``nn.Module`` in evaluation mode on the CPU.

    `record` is a record, whose weights are in `results_dir`, or the path of its file, whose weights are beside it.
    Inputs are as in the run: standardized, if its data are. Norms normalize with their running statistics, and nothing
    is frozen. First load the plugins that registered the run's norm, model or data. Warns if the code of norm or model
    has changed since. Raises SavedWeightsError if there are no such weights.
    """
    if isinstance(record, Record):
        folder = Store(Path(results_dir), record.experiment).weights
    else:
        path = Path(record)
        if not path.is_file():
            raise SavedWeightsError(f"there is no record {path}; give a Record, or the path of its .json file")
        record = Record.from_json(path.read_bytes(), path)
        folder = path.resolve().parent.parent / "weights"
    file, spec = folder / f"{record.id}{SUFFIX}", dict(record.spec)
    if not are_sound(file):
        raise SavedWeightsError(
            f"there are no whole weights {file}: train the run with save_weights=true, as in {record.command} save_weights=true"
        )
    if not {"norm", "model", "data", "task"} <= spec.keys() or "module" in spec or "function" in spec:
        raise SavedWeightsError(
            f"run {record.id} trained a module of your own, which normlib cannot build from its record: build it, and load {file} with "
            "safetensors.torch.load_file"
        )
    _warn_of_other_code(record)
    spec["norm"] = {**spec["norm"], "frozen": None, "fit_on_batches": 0}
    spec["model"] = {**spec["model"], "weights": None}
    shape = NetworkShape.for_task(make_dataset(spec["data"]), make_task(spec["task"]))
    state = read_weights(file)
    with standard_surroundings(torch.get_num_threads()):
        network = build_network(spec, shape, max(record.planned_steps, 1), stored=state.keys()).module
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise SavedWeightsError(
            f"{file} does not fit the network that its record describes; the code has changed since: {error}"
        ) from error
    return network.eval()


def _warn_of_other_code(record: Record) -> None:
    spec: Any = record.spec
    now = {"norm": norms[spec["norm"]["name"]].cls, "model": models[registered_name(spec["model"])].cls}
    changed = [kind for kind, cls in now.items() if record.code.get(kind) not in (None, class_hash(cls))]
    if changed:
        warnings.warn(
            f"the code of the {' and the '.join(changed)} has changed since run {record.id} was trained, so the network may compute "
            "something else than it did",
            stacklevel=3,
        )
