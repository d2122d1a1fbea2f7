"""The Lightning module of normlib's own loop: several optimizer steps per Lightning batch.

In: a run that is set up. loop.py fits it. Keeps curves, hashes and a clock. Budgets and logs count optimizer steps.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn

from normlib.data.dataset import Samples
from normlib.training.batches import BatchHasher, Chunk, EpochChunks, augment
from normlib.training.evaluation import evaluation_statistics, precise_batches, score
from normlib.training.optimizer import make_optimizer
from normlib.training.setup import Setup
from normlib.training.surroundings import onednn

TRAIN_CURVE_POINTS = 20


class StepLoop(pl.LightningModule):
    """Trains a network on chunks of optimizer steps. Keeps the curves, the batch hashes and the clock."""

    def __init__(self, setup: Setup, steps_per_chunk: int) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.setup_ = setup
        self.network = setup.network.module
        self.task, self.feed = setup.task, setup.feed
        self.norms = tuple(norm for site in setup.network.sites.values() for norm in site.norms)
        self.spec = setup.spec
        self.steps_per_chunk = steps_per_chunk
        self.mixed = self.spec["training"]["precision"] == "bf16-mixed"
        total = len(setup.factors)
        self.evaluation_steps = milestones(total, self.spec["evaluation"]["points"])
        self.curve_steps = milestones(total, TRAIN_CURVE_POINTS)
        self.batch_hasher = BatchHasher()
        self.steps_done = 0
        self.seconds_training = 0.0
        self.diverged_at: int | None = None
        self.metric_names = tuple(metric.name for metric in self.task.metrics_on(setup.dataset))
        self.train_curve: dict[str, list[float | None]] = {"step": [], "loss": []}
        self.validation_curve: dict[str, list[float | None]] = {
            key: [] for key in ("step", "samples", "seconds", *self.metric_names)
        }
        self._window: list[float] = []

    def configure_optimizers(self) -> torch.optim.Optimizer:
        names = self.setup_.network.norm_parameter_names
        return make_optimizer(self.network, names, self.spec["optimizer"], self.setup_.peak_learning_rate)

    def train_dataloader(self) -> _Epochs:
        return _Epochs(self)

    def transfer_batch_to_device(self, batch: Chunk, device: torch.device, dataloader_idx: int) -> Chunk:
        return batch  # moved after hashing what was fed

    def on_train_epoch_start(self) -> None:
        self.batch_hasher.start_epoch()

    def training_step(self, chunk: Chunk, chunk_number: int) -> None:
        with onednn(self.setup_.onednn):
            self._take_steps(chunk)

    def _take_steps(self, chunk: Chunk) -> None:
        optimizer = self.optimizers()  # Lightning's, so that its count of steps is right too
        assert not isinstance(optimizer, list)
        groups = optimizer.param_groups
        parameters = [parameter for group in groups for parameter in group["params"]]
        peak, factors = self.setup_.peak_learning_rate, self.setup_.factors
        clip = self.spec["training"]["gradient_clip"]
        device = self.device
        started = time.perf_counter()
        on_device = chunk.to(device)
        for fed, step in zip(chunk.steps(), on_device.steps(), strict=True):
            if self.diverged_at is not None:
                break
            self.batch_hasher.feed(fed)
            for parameter in parameters:  # what zero_grad does, without its hooks
                parameter.grad = None
            value = self._pass(step)
            if not math.isfinite(value):
                self.diverged_at = self.steps_done
                self.trainer.should_stop = True
                break
            for group in groups:
                group["lr"] = peak * factors[self.steps_done]
            with _outside_autocast(device, self.mixed):
                if clip is not None:
                    nn.utils.clip_grad_norm_(parameters, clip)
                optimizer.step()
            if self.mixed:
                torch.clear_autocast_cache()  # it holds casts of the weights from before this step
            self.steps_done += 1
            self._window.append(value)
            if self.steps_done in self.curve_steps or self.steps_done in self.evaluation_steps:
                self.seconds_training += time.perf_counter() - started
                self._reach_milestone()
                started = time.perf_counter()
        self.seconds_training += time.perf_counter() - started

    def _pass(self, step: Chunk) -> float:
        """Forward and backward for one optimizer step, in as many parts as it accumulates. Returns the mean loss.

        A loss that is not finite is returned at once, without a backward pass.
        """
        accumulate = self.spec["training"]["accumulate"]
        total = 0.0
        for part in step.split(self.spec["data"]["batch_size"]) if accumulate > 1 else (step,):
            samples = self._augmented(self.feed.batch(part.indices), part)
            loss = self.task.loss(self.network(samples.inputs), samples.targets)
            value = loss.item()
            if not math.isfinite(value):
                return value
            with _outside_autocast(self.device, self.mixed):
                (loss if accumulate == 1 else loss / accumulate).backward()
            total += value / accumulate
        return total

    def _augmented(self, samples: Samples, part: Chunk) -> Samples:
        if part.flips is None and part.shifts is None:
            return samples
        crop = self.spec["data"]["crop"]
        targets = samples.targets
        if self.task.targets_are_positions:
            fill = self.task.padding_target() if crop else 0
            targets = augment(targets.unsqueeze(1), part.flips, part.shifts, crop, fill).squeeze(1)  # (B, H, W)
        return Samples(augment(samples.inputs, part.flips, part.shifts, crop), targets)

    def _reach_milestone(self) -> None:
        step = self.steps_done
        figures: dict[str, float] = {}
        if step in self.curve_steps:
            loss = figures["train/loss"] = math.fsum(self._window) / len(self._window)
            self.train_curve["step"].append(step)
            self.train_curve["loss"].append(loss)
            self._window.clear()
        if step in self.evaluation_steps:
            scores = self.evaluate("validation")["validation"]
            samples = step * self.setup_.plan.batch_size
            point = {"step": step, "samples": samples, "seconds": self.seconds_training}
            for key, value in (point | {name: scores[name] for name in self.metric_names}).items():
                self.validation_curve[key].append(value)
            figures |= {f"validation/{key}": value for key, value in scores.items() if value is not None}
        for logger in self.loggers:
            logger.log_metrics(figures, step=step)

    def evaluate(self, *splits: str) -> dict[str, dict[str, float | None]]:
        """The metrics of each split (None if not finite) and its number of samples, in evaluation mode.

        The norms use the statistics of `evaluation.statistics`. Training is not affected.
        """
        was_training, settings = self.network.training, self.spec["evaluation"]
        seed, batch_size = self.spec["seed"], self.spec["data"]["batch_size"]
        self.network.eval()
        with (
            torch.no_grad(),
            onednn(True),
            torch.autocast(self.setup_.device.type, torch.bfloat16, enabled=self.mixed),
            evaluation_statistics(
                self.network,
                self.norms,
                settings,
                precise_batches(self.feed, seed, batch_size, settings["precise_samples"]),
            ),
        ):
            scores = {
                split: score(self.network, self.task, self.feed.parts(split, settings["batch_size"]))
                for split in splits
            }
        self.network.train(was_training)
        return scores


class _Epochs:
    """Lightning iterates over this once per epoch: the chunks of the trainer's current epoch."""

    def __init__(self, loop: StepLoop) -> None:
        self.loop = loop

    def __len__(self) -> int:
        return -(-self.loop.setup_.plan.steps_per_epoch // self.loop.steps_per_chunk)

    def __iter__(self) -> Iterator[Chunk]:
        loop, plan = self.loop, self.loop.setup_.plan
        epoch = loop.trainer.current_epoch
        chunks = EpochChunks(plan, epoch, loop.steps_per_chunk)
        size = loop.spec["data"]["batch_size"]
        loop.feed.start_epoch(epoch, (batch for chunk in chunks for batch in chunk.indices.view(-1, size)))
        return iter(chunks)


def milestones(total_steps: int, points: int) -> frozenset[int]:
    """`points` step numbers, evenly spaced over the run, the last at its end."""
    return frozenset(-(-total_steps * point // points) for point in range(1, points + 1)) - {0}


def _outside_autocast(device: torch.device, mixed: bool) -> AbstractContextManager[Any]:
    """Backward pass and update in full precision, as torch's autocast requires."""
    return torch.autocast(device.type, enabled=False) if mixed else nullcontext()
