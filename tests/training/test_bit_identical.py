"""Checks that the same spec gives the same numbers to the last bit: again, in another process, and however steps are handed over."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning.plugins.precision import MixedPrecision

import normlib
from normlib.training import step_loop

# Two epochs, the second cut short; chunks that do not divide them; evaluations in the middle of chunks.
EVERYTHING = (
    "model=convnet", "model.width=8", "model.depth=2", "data.batch_size=100", "data.flip=true", "data.crop=1",
    "site.dropout=0.2", "training.steps=17", "evaluation.points=5",
)  # fmt: skip
PRECISIONS = ("32", "bf16-mixed")


def figures(record: Any) -> dict[str, Any]:
    """What a record says of the training, without the clock and the machine."""
    assert record.status == "done", record.traceback
    curves = {name: {k: v for k, v in curve.items() if k != "seconds"} for name, curve in record.curves.items()}
    kept = ("id", "metrics", "hashes", "steps", "samples", "norm_report", "parameters", "state_size", "reason")
    values = dataclasses.asdict(record)
    return {"curves": curves} | {key: values[key] for key in kept}


@pytest.fixture(scope="module")
def one_at_a_time(train: Callable[..., Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """The figures of runs whose optimizer steps were handed over one by one, by norm and precision."""
    return {
        (norm, precision): figures(
            train(*EVERYTHING, f"norm={norm}", f"training.precision={precision}", steps_per_chunk=1)
        )
        for norm in ("batch", "batch_renorm", "group")
        for precision in PRECISIONS
    }


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("norm", ["batch", "batch_renorm", "group"])
@pytest.mark.parametrize("steps_per_chunk", [7, 50])
def test_steps_in_chunks_give_the_figures_of_steps_one_by_one(
    steps_per_chunk: int, norm: str, precision: str, one_at_a_time, train
) -> None:
    overrides = (*EVERYTHING, f"norm={norm}", f"training.precision={precision}")
    assert figures(train(*overrides, steps_per_chunk=steps_per_chunk)) == one_at_a_time[norm, precision]


def test_half_precision_is_another_computation(one_at_a_time) -> None:
    for norm in ("batch", "batch_renorm", "group"):
        single, half = (one_at_a_time[norm, precision] for precision in PRECISIONS)
        assert single["metrics"] != half["metrics"]
        assert single["hashes"] == half["hashes"]


@pytest.fixture
def remembering_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Autocast as torch has it by default, with half-precision copies of the weights; newer Lightnings switch them off."""

    def context(_: MixedPrecision) -> torch.autocast:
        return torch.autocast("cpu", torch.bfloat16, cache_enabled=True)

    monkeypatch.setattr(MixedPrecision, "autocast_context_manager", context)


HALF = (*EVERYTHING, "norm=group", "training.precision=bf16-mixed")


@pytest.mark.usefixtures("remembering_autocast")
@pytest.mark.parametrize("steps_per_chunk", [1, 7, 50])
def test_weights_that_autocast_remembers_are_renewed_with_every_step(
    steps_per_chunk: int, one_at_a_time, train
) -> None:
    assert figures(train(*HALF, steps_per_chunk=steps_per_chunk)) == one_at_a_time["group", "bf16-mixed"]


@pytest.mark.usefixtures("remembering_autocast")
def test_planted_stale_weights_of_autocast_are_found(train, monkeypatch: pytest.MonkeyPatch) -> None:
    forgetful = types.SimpleNamespace(**{**vars(torch), "clear_autocast_cache": lambda: None})
    monkeypatch.setattr(step_loop, "torch", forgetful)  # there alone: autocast itself clears at its end
    planted = {steps: figures(train(*HALF, steps_per_chunk=steps)) for steps in (1, 7, 50)}
    for steps in (7, 50):
        assert planted[steps]["hashes"] == planted[1]["hashes"]
        assert planted[steps]["metrics"] != planted[1]["metrics"]
        assert planted[steps]["curves"] != planted[1]["curves"]


def test_the_same_spec_twice_gives_the_same_figures(train) -> None:
    torch.manual_seed(1)
    first = figures(train(*EVERYTHING))
    torch.manual_seed(2)
    torch.rand(7)
    assert figures(train(*EVERYTHING)) == first
    assert figures(train(*EVERYTHING, "seed=1")) != first


def test_another_process_gives_the_same_figures(make_run, train, tmp_path) -> None:
    program = f"""
import json, pathlib
from normlib.experiments.plan import make_run
from normlib.training.run import train_run
record = train_run(make_run({[*EVERYTHING, "accelerator=cpu"]})[0], pathlib.Path("unused")).record
print(json.dumps([record.id, record.metrics, dict(record.hashes), record.curves["train"]]))
"""
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(normlib.__file__).parents[1]),
    }  # the same files, installed or not
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    record = train(*EVERYTHING)
    here = [record.id, record.metrics, dict(record.hashes), record.curves["train"]]
    assert json.loads(done.stdout.splitlines()[-1]) == json.loads(json.dumps(here))
    assert list(tmp_path.iterdir()) == []
