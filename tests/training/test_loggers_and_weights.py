"""Checks what a run leaves on disk where asked: loggers that count optimizer steps, and the final weights."""

from __future__ import annotations

import csv
import importlib.util
import warnings
from pathlib import Path

import pytest
import torch

from normlib.training.network import NetworkShape, build_network
from normlib.training.weights import read_weights

# 15 steps, handed over in chunks of 4: were chunks counted, no logged step would be beyond 4.
RUN = ("model.width=8", "model.depth=2", "data.batch_size=100", "training.steps=15", "evaluation.points=3")


def logged(record) -> dict[str, dict[int, float]]:
    """What a logger is to be told: the curves and the final figures, by name and optimizer step."""
    train, validation = record.curves["train"], record.curves["validation"]
    expected = {"train/loss": dict(zip(train["step"], train["loss"]))}
    for key in ("loss", "accuracy"):
        expected[f"validation/{key}"] = dict(zip(validation["step"], validation[key]))
        for split, scores in record.metrics.items():
            expected[f"final/{split}/{key}"] = {record.steps: scores[key]}
    return expected


def test_csv_logs_optimizer_steps(make_run, train, tmp_path: Path) -> None:
    settings = {"_target_": "pytorch_lightning.loggers.CSVLogger", "save_dir": str(tmp_path), "name": ""}
    record = train(*RUN, logger=settings, steps_per_chunk=4)
    assert record.status == "done", record.traceback
    found: dict[str, dict[int, float]] = {}
    with (tmp_path / make_run(*RUN).id / "metrics.csv").open() as file:
        for row in csv.DictReader(file):
            for key, value in row.items():
                if value and key not in ("step", "epoch"):
                    found.setdefault(key, {})[int(row["step"])] = float(value)
    expected = logged(record)
    assert {key: found[key] for key in expected} == expected
    assert max(step for values in found.values() for step in values) == 15


@pytest.mark.skipif(importlib.util.find_spec("tensorboard") is None, reason="tensorboard, an extra, is not installed")
def test_tensorboard_logs_optimizer_steps(make_run, train, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    settings = {"_target_": "pytorch_lightning.loggers.TensorBoardLogger", "save_dir": str(tmp_path), "name": ""}
    record = train(*RUN, logger=settings, steps_per_chunk=4)
    assert record.status == "done", record.traceback
    found: dict[str, dict[int, float]] = {}
    for file in sorted((tmp_path / make_run(*RUN).id).glob("events*")):
        events = EventAccumulator(str(file)).Reload()
        for key in events.Tags()["scalars"]:
            found.setdefault(key, {}).update({event.step: event.value for event in events.Scalars(key)})
    expected = logged(record)
    assert max(step for values in found.values() for step in values) == 15
    for key, values in expected.items():
        assert found[key] == pytest.approx(values, rel=1e-6)  # TensorBoard keeps float32


def test_a_logger_changes_no_number(train, tmp_path: Path) -> None:
    settings = {"_target_": "pytorch_lightning.loggers.CSVLogger", "save_dir": str(tmp_path), "name": ""}
    plain = train(*RUN)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it warns of nothing either
        with_logger = train(*RUN, logger=settings)
    assert (plain.id, plain.metrics, plain.hashes) == (with_logger.id, with_logger.metrics, with_logger.hashes)


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_saved_weights_are_the_state_of_the_trained_network(norm: str, make_run, train, tmp_path: Path) -> None:
    overrides = (*RUN, f"norm={norm}")
    file = tmp_path / "weights" / "run.safetensors"
    record = train(*overrides, weights_file=file)
    run = make_run(*overrides)
    network = build_network(run.spec, NetworkShape((1, 8, 8), 10), run.planned_steps).module
    start = network.state_dict()["layers.0.weight"].clone()
    network.load_state_dict(read_weights(file), strict=True)
    assert not torch.equal(network.layers[0].weight, start)
    from normlib.training.inputs import splits_on_device

    test = splits_on_device(run.spec["data"], run.spec["task"], tmp_path, torch.device("cpu"))[0]["test"]
    with torch.no_grad():
        correct = (network.eval()(test.inputs).argmax(1) == test.targets).sum()
    assert int(correct) / len(test) == record.metrics["test"]["accuracy"]
