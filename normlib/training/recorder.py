"""A callback that reads a user's LightningModule during the fit: curves, rates, time, batches, divergence.

It changes one thing in the training: at the start of each batch it sets the random state from (seed, epoch, batch). So
dropout is the same in every arm, and a run that continues after a stop equals a run without one.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch

from normlib.training.loaders import combine_digests, samples_of
from normlib.training.seeding import start_global


class Recorder(pl.Callback):
    """The facts of a fit. `state_dict` holds all that has to survive a stop."""

    def __init__(self, seed: int, norms: Iterable[Any], digests: Mapping[str, Mapping[str, dict[int, str]]]) -> None:
        self.seed, self.norms, self.digests = seed, tuple(norms), digests
        self.planned_steps = 0
        self.samples = 0
        self.batch_size = 0
        self.seconds = 0.0
        self.evaluated: dict[str, int] = {}
        self.diverged: str | None = None
        self.rates: list[list[float]] = []
        self.train_curve: dict[str, list[float | None]] = {"step": [], "loss": []}
        self.validation: list[dict[str, float]] = []
        self.epochs: list[str] = []
        self._losses: list[float] = []
        self._started = 0.0

    def state_dict(self) -> dict[str, Any]:
        names = ("samples", "batch_size", "seconds", "diverged", "rates", "train_curve", "validation", "epochs")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for name, value in state_dict.items():
            setattr(self, name, value)

    def on_train_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        total = trainer.estimated_stepping_batches
        self.planned_steps = int(total) if math.isfinite(total) and total > 0 else 0
        if self.planned_steps:
            for norm in self.norms:
                norm.set_total_steps(self.planned_steps)

    def on_train_batch_start(self, trainer: pl.Trainer, module: pl.LightningModule, batch: Any, batch_idx: int) -> None:
        start_global(self.seed, "training", trainer.current_epoch, batch_idx)
        count = samples_of(batch)
        self.samples += count
        self.batch_size = max(self.batch_size, count)
        self._started = time.perf_counter()

    def on_before_optimizer_step(self, trainer: pl.Trainer, module: pl.LightningModule, optimizer: Any) -> None:
        self.rates.append([float(group["lr"]) for group in optimizer.param_groups])

    def on_train_batch_end(
        self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
        if isinstance(loss, torch.Tensor):
            value = float(loss)
            self._losses.append(value)
            if not math.isfinite(value) and self.diverged is None:
                self.diverged = f"the loss was no longer finite at step {trainer.global_step}"
                trainer.should_stop = True
        self.seconds += time.perf_counter() - self._started

    def on_train_epoch_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        finite = [loss for loss in self._losses if math.isfinite(loss)]
        if finite:
            self.train_curve["step"].append(trainer.global_step)
            self.train_curve["loss"].append(math.fsum(finite) / len(finite))
        self._losses.clear()
        digest = combine_digests(self.digests["train"], trainer.current_epoch)
        if digest is not None and self.diverged is None:
            self.epochs.append(digest)

    def on_validation_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.evaluated["validation"] = 0

    def on_validation_batch_end(self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, *where: Any) -> None:
        self.evaluated["validation"] += samples_of(batch)

    def on_validation_end(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            figures = numbers(trainer.callback_metrics)
            point = {"step": trainer.global_step, "samples": self.samples, "seconds": self.seconds}
            self.validation.append({**figures, **point})

    def on_test_start(self, trainer: pl.Trainer, module: pl.LightningModule) -> None:
        self.evaluated["test"] = 0

    def on_test_batch_end(self, trainer: pl.Trainer, module: Any, outputs: Any, batch: Any, *where: Any) -> None:
        self.evaluated["test"] += samples_of(batch)

    def schedule_hash(self) -> str:
        """16 hexadecimal digits for the shape of the rates really used, as shares of the largest."""
        rates = np.asarray([rate for step in self.rates for rate in step], dtype="<f8")
        largest = rates.max(initial=0.0)
        shape = np.round(rates / largest, 12) if largest > 0 else rates
        return hashlib.sha256(shape.tobytes() + str([len(step) for step in self.rates]).encode()).hexdigest()[:16]

    def validation_curve(self, names: Iterable[str]) -> dict[str, list[float | None]]:
        """The curves of the named metrics, one list each. None at points without a finite value."""
        keys = ("step", "samples", "seconds", *names)
        return {key: [_finite(point.get(key)) for point in self.validation] for key in keys}


def numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Logged figures as numbers. What is not a single number is left out."""
    return {
        name: float(value)
        for name, value in metrics.items()
        if isinstance(value, int | float) or (isinstance(value, torch.Tensor) and value.numel() == 1)
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
