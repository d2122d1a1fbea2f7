"""Lightning's Trainer for every run: quiet, without files of its own, and with Ctrl-C passing through."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from pytorch_lightning.plugins.precision import Precision

from normlib.training.spec import Run

EXPECTED_WARNINGS = (
    ".*does not have many workers.*",  # the data are in memory; there are no loader workers
    ".*`training_step` returned `None`.*",  # normlib takes the optimizer steps
    ".*GPU available but not used.*",  # as the spec says
    ".*smaller than the logging interval.*",  # normlib logs, too, by optimizer steps
    ".*Checkpoint directory .* exists and is not empty.*",  # a stopped run continues from there
    ".*treespec, LeafSpec.*",  # Lightning's use of torch's internals
)


def make_trainer(device: torch.device, precision: str, **settings: Any) -> pl.Trainer:
    """A Trainer on one device that prints nothing and writes nothing of its own."""
    plain = {"plugins": [_PlainStep()]} if precision == "32" else {"precision": precision}
    quiet: dict[str, Any] = {
        "deterministic": "warn" if device.type == "cuda" else None,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
    }
    accelerator = {"cuda": "gpu"}.get(device.type, device.type)
    return pl.Trainer(accelerator=accelerator, devices=1, **plain, **quiet | settings)


def fit(trainer: pl.Trainer, module: pl.LightningModule, **settings: Any) -> None:
    """Fit a module. KeyboardInterrupt passes through, which Lightning turns into an exit with code 1."""
    try:
        trainer.fit(module, **settings)
    except SystemExit as stopped:
        if isinstance(stopped.__context__, KeyboardInterrupt):
            raise stopped.__context__ from None
        raise


def make_loggers(settings: Mapping[str, Any] | None, run: Run) -> list[Any]:
    """The Lightning logger of a run. The run's id is its version or name."""
    if not settings:
        return []
    own = {"run_name": run.id} if settings["_target_"].endswith("MLFlowLogger") else {"version": run.id}
    return [instantiate(dict(settings) | own)]


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Inside the block, Lightning's hints and irrelevant warnings are silent."""
    logger = logging.getLogger("pytorch_lightning")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        for message in EXPECTED_WARNINGS:
            warnings.filterwarnings("ignore", message)
        try:
            yield
        finally:
            logger.setLevel(level)


class _PlainStep(Precision):
    """Full precision without hooks around a step. Nothing here uses them, and they take a twentieth of a small step.

    Lightning's closure does nothing, since the module takes its steps itself.
    """

    def optimizer_step(self, optimizer: Any, model: Any = None, closure: Any = None, **settings: Any) -> Any:
        return optimizer.step(**settings)
