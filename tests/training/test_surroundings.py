"""Checks that a run is a function of its spec: nothing that a caller or the shell has set reaches it, and all of it is put back."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from normlib.training.step_loop import StepLoop
from normlib.training.surroundings import STANDARD_PRECISION, standard_surroundings

RUN = (
    "model=convnet",
    "model.width=8",
    "model.depth=2",
    "data.batch_size=32",
    "training.steps=12",
    "evaluation.points=2",
)


@contextlib.contextmanager
def setting(write: Callable[[Any], Any], value: Any, back: Any) -> Iterator[None]:
    write(value)
    try:
        yield
    finally:
        write(back)


def attribute(owner: Any, name: str, value: Any) -> contextlib.AbstractContextManager[None]:
    return setting(lambda new: setattr(owner, name, new), value, getattr(owner, name))


def variables(**values: str) -> contextlib.AbstractContextManager[None]:
    @contextlib.contextmanager
    def changed() -> Iterator[None]:
        os.environ.update(values)
        try:
            yield
            assert {name: os.environ.get(name) for name in values} == values, "the caller's own are there again"
        finally:
            for name in values:
                os.environ.pop(name, None)

    return changed()


AROUND: dict[str, Callable[[], contextlib.AbstractContextManager[Any]]] = {
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "inference mode": torch.inference_mode,
    "no_grad": torch.no_grad,
    "default device": lambda: torch.device("meta"),
    "default type": lambda: setting(torch.set_default_dtype, torch.float64, torch.float32),
    "medium products": lambda: setting(torch.set_float32_matmul_precision, "medium", "highest"),
    "bf16 products": lambda: setting(lambda new: torch._C._set_fp32_precision_setter("mkldnn", "matmul", new), "bf16", "none"),
    "bf16 convolutions": lambda: setting(lambda new: torch._C._set_fp32_precision_setter("mkldnn", "conv", new), "bf16", "none"),
    "tf32 everywhere": lambda: setting(lambda new: torch._C._set_fp32_precision_setter("generic", "all", new), "tf32", "none"),
    "no oneDNN": lambda: attribute(torch.backends.mkldnn, "enabled", False),
    "cuDNN benchmark": lambda: attribute(torch.backends.cudnn, "benchmark", True),
    "deterministic only": lambda: setting(torch.use_deterministic_algorithms, True, False),
    "flushed denormals": lambda: setting(torch.set_flush_denormal, True, False),
    "anomaly detection": torch.autograd.detect_anomaly,
    "other seeds": lambda: contextlib.nullcontext([torch.manual_seed(5), random.seed(5), np.random.seed(5)]),  # noqa: NPY002
    "max steps": lambda: variables(PL_TRAINER_MAX_STEPS="2"),
    "fewer batches": lambda: variables(PL_TRAINER_LIMIT_TRAIN_BATCHES="0.0"),
    "fast development run": lambda: variables(PL_TRAINER_FAST_DEV_RUN="1"),
    "max time": lambda: variables(PL_TRAINER_MAX_TIME="00:00:00:00"),
    "clipping": lambda: variables(PL_TRAINER_GRADIENT_CLIP_VAL="0.001"),
    "a launcher's ranks": lambda: variables(RANK="3", LOCAL_RANK="3", WORLD_SIZE="4", GROUP_RANK="0"),
    "Slurm": lambda: variables(SLURM_NTASKS="4", SLURM_JOB_NAME="job", SLURM_JOB_ID="1", SLURM_PROCID="2", SLURM_LOCALID="2",
                               SLURM_NODEID="0", SLURM_NTASKS_PER_NODE="4"),
}  # fmt: skip


@pytest.fixture(scope="module")
def plain(train: Callable[..., Any]) -> Any:
    return train(*RUN, steps_per_chunk=2)


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
@pytest.mark.parametrize("what", AROUND)
def test_nothing_around_a_run_reaches_it(what: str, plain: Any, train: Callable[..., Any]) -> None:
    if "bf16" in what or "tf32" in what:
        pytest.importorskip("torch", "2.9", reason="older ones have no such setting")
    with AROUND[what]():
        before = state()
        record = train(*RUN, steps_per_chunk=2)
        assert state() == before, "put back"
    assert record.status == "done", record.traceback
    assert (record.id, record.steps, record.hashes, record.metrics) == (
        plain.id,
        plain.steps,
        plain.hashes,
        plain.metrics,
    )
    assert record.curves["train"] == plain.curves["train"]


def state() -> list[Any]:
    """What of torch's and Python's state the tests here change, as text or numbers."""
    precision = getattr(torch._C, "_get_fp32_precision_getter", lambda *key: "")
    return [
        torch.is_autocast_enabled("cpu"), torch.is_inference_mode_enabled(), torch.is_grad_enabled(),
        str(torch.get_default_device()), torch.get_default_dtype(), [precision(*key) for key in STANDARD_PRECISION],
        torch.backends.mkldnn.enabled, torch.backends.cudnn.benchmark, torch.are_deterministic_algorithms_enabled(),
        torch.is_anomaly_enabled(), torch.get_rng_state().tolist() if torch.get_default_device().type != "meta" else 0,
        random.getstate(), str(np.random.get_state()), dict(os.environ),  # noqa: NPY002
    ]  # fmt: skip


FRESH = """
import json, torch
from normlib.training.surroundings import STANDARD_PRECISION, _flags
new = getattr(torch._C, "_get_fp32_precision_getter", None)
print(json.dumps([
    [flag.read() == flag.standard for flag in _flags()], torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32,
    [new(*key) == value for key, value in STANDARD_PRECISION.items()] if new else [],
]))
"""


def test_the_standard_is_what_a_fresh_process_has() -> None:
    done = subprocess.run([sys.executable, "-c", FRESH], capture_output=True, text=True, check=True)
    flags, products, convolutions, new = json.loads(done.stdout)
    assert all(flags) and all(new) and (products, convolutions) == ("highest", True)


def test_the_environment_is_as_fresh_inside() -> None:
    with torch.autocast("cpu", torch.bfloat16), torch.inference_mode(), standard_surroundings(threads=1):
        assert not torch.is_autocast_enabled("cpu")
        layer = torch.nn.Linear(2, 2)
        layer(torch.randn(3, 2)).sum().backward()
        assert layer.weight.grad is not None and layer.weight.grad.dtype == torch.float32


@pytest.mark.parametrize("taken", [0, 5])
def test_a_run_that_is_cut_short_failed(taken: int, train: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """By whatever means: here a callback of somebody's stops the trainer, and a limit that nobody knows of ends it."""
    take_steps = StepLoop._take_steps

    def stopped(self: StepLoop, chunk: Any) -> None:
        if self.steps_done < taken:
            take_steps(self, chunk)
        else:
            self.trainer.should_stop = True

    monkeypatch.setattr(StepLoop, "_take_steps", stopped)
    record = train(*RUN, steps_per_chunk=5)
    assert record.status == "failed" and f"took {taken} of 12 planned steps" in str(record.reason)


def test_a_norm_that_draws_from_other_generators_is_reproduced(
    train: Callable[..., Any], registered: Callable[..., Any]
) -> None:
    from normlib import Norm
    from normlib.norms import norms

    @registered(norms, "draws_elsewhere")
    class DrawsElsewhere(Norm):
        """Multiplies by chance, with generators that are not torch's."""

        def normalize(self, x: torch.Tensor) -> torch.Tensor:
            return x * (0.5 + random.random() + float(np.random.rand()))  # noqa: NPY002

    first, second = (train(*RUN, "norm=draws_elsewhere") for _ in range(2))
    assert first.status == "done" and first.curves["train"] == second.curves["train"]


def test_lightning_still_reads_its_variables() -> None:
    """Else the cases above would pass for another reason."""
    with variables(PL_TRAINER_MAX_STEPS="2"):
        assert pl.Trainer(logger=False, enable_checkpointing=False, accelerator="cpu").max_steps == 2


def test_saved_in_files(tmp_path: Path) -> None:
    from normlib.training.weights import are_sound, write_weights

    file = tmp_path / "weights" / "a.safetensors"
    write_weights({"weight": torch.randn(100)}, file)
    whole = file.read_bytes()
    assert are_sound(file) and [path.name for path in file.parent.iterdir()] == ["a.safetensors"]
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for broken in (b"", whole[: len(whole) // 2], bytes(flipped)):
        file.write_bytes(broken)
        assert not are_sound(file)
    assert not are_sound(tmp_path) and not are_sound(tmp_path / "none.safetensors")
