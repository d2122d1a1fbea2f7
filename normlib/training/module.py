"""The LightningModule: several optimizer steps in one Lightning batch, with budgets and logs counted in steps."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn
from torch.nn import functional as F

from normlib.data.dataset import Samples
from normlib.training.batches import BatchHasher, Chunk, augment
from normlib.training.evaluation import evaluation_statistics, precise_batches, score
from normlib.training.network import Network

TRAIN_CURVE_POINTS = 20


class Classifier(pl.LightningModule):
    """Trains a network on chunks of optimizer steps and keeps the curves, the batch hashes and the clock.

    `factors` has one learning-rate factor for each optimizer step of the run; `splits` lie on the device;
    `onednn` says whether convolutions on the CPU go through oneDNN.
    """

    def __init__(
        self,
        network: Network,
        splits: Mapping[str, Samples],
        spec: Mapping[str, Any],
        peak_learning_rate: float,
        factors: tuple[float, ...],
        onednn: bool = True,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.network = network.module
        self.norms = tuple(norm for site in network.sites.values() for norm in site.norms)
        self.norm_parameter_names = network.norm_parameter_names
        self.splits = splits
        self.spec = spec
        self.mixed = spec["training"]["precision"] == "bf16-mixed"
        self.peak_learning_rate = peak_learning_rate
        self.factors = factors
        self.onednn = onednn
        total = len(factors)
        self.evaluation_steps = milestones(total, spec["evaluation"]["points"])
        self.curve_steps = milestones(total, TRAIN_CURVE_POINTS)
        self.batch_hasher = BatchHasher()
        self.steps_done = 0
        self.seconds_training = 0.0
        self.diverged_at: int | None = None
        self.train_curve: dict[str, list[float | None]] = {"step": [], "loss": []}
        self.validation_curve: dict[str, list[float | None]] = {
            key: [] for key in ("step", "samples", "seconds", "loss", "accuracy")
        }
        self._window: list[float] = []

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return make_optimizer(self.network, self.norm_parameter_names, self.spec["optimizer"], self.peak_learning_rate)

    def on_train_epoch_start(self) -> None:
        self.batch_hasher.start_epoch()

    def training_step(self, chunk: Chunk, chunk_number: int) -> None:
        with _onednn(self.onednn):
            self._take_steps(chunk)

    def _take_steps(self, chunk: Chunk) -> None:
        optimizer = self.optimizers()  # Lightning's, so that its count of steps is right too
        assert not isinstance(optimizer, list)
        groups = optimizer.param_groups
        parameters = [parameter for group in groups for parameter in group["params"]]
        train, device, crop = self.splits["train"], self.device, self.spec["data"]["crop"]
        started = time.perf_counter()
        on_device = chunk.to(device)
        for fed, (indices, flips, shifts) in zip(_steps(chunk), _steps(on_device), strict=True):
            if self.diverged_at is not None:
                break
            self.batch_hasher.feed(fed)
            inputs = augment(train.inputs[indices], flips, shifts, crop)
            loss = F.cross_entropy(self.network(inputs), train.targets[indices])
            value = loss.item()
            if not math.isfinite(value):
                self.diverged_at = self.steps_done
                self.trainer.should_stop = True
                break
            for group in groups:
                group["lr"] = self.peak_learning_rate * self.factors[self.steps_done]
            for parameter in parameters:  # what zero_grad does, without its hooks
                parameter.grad = None
            with _outside_autocast(device, self.mixed):
                loss.backward()
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
            samples = step * self.spec["data"]["batch_size"]
            point = {"step": step, "samples": samples, "seconds": self.seconds_training}
            point |= {key: scores[key] for key in ("loss", "accuracy")}
            for key, value in point.items():
                self.validation_curve[key].append(value)
            figures |= {f"validation/{key}": value for key, value in scores.items() if value is not None}
        for logger in self.loggers:
            logger.log_metrics(figures, step=step)

    def evaluate(self, *splits: str) -> dict[str, dict[str, float | None]]:
        """Of each split mean cross-entropy (None if it is not finite), accuracy and number of samples, in evaluation mode.

        The norms normalize with the statistics of `evaluation.statistics`; training does not notice.
        """
        was_training, settings = self.network.training, self.spec["evaluation"]
        inputs, seed, batch_size = self.splits["train"].inputs, self.spec["seed"], self.spec["data"]["batch_size"]
        self.network.eval()
        with (
            torch.no_grad(),
            _onednn(True),
            torch.autocast(inputs.device.type, torch.bfloat16, enabled=self.mixed),
            evaluation_statistics(
                self.network,
                self.norms,
                settings,
                precise_batches(inputs, seed, batch_size, settings["precise_samples"]),
            ),
        ):
            scores = {split: score(self.network, self.splits[split], settings["batch_size"]) for split in splits}
        self.network.train(was_training)
        return scores


def _steps(chunk: Chunk) -> Iterator[Chunk]:
    """The steps of a chunk one by one: sample numbers (B,), flips (B,), shifts (B, 2)."""
    return map(Chunk, *(part if part is not None else itertools.repeat(None) for part in chunk))


def milestones(total_steps: int, points: int) -> frozenset[int]:
    """`points` step numbers evenly spaced along the run, the last at its end."""
    return frozenset(-(-total_steps * point // points) for point in range(1, points + 1)) - {0}


def make_optimizer(
    network: nn.Module, norm_parameter_names: frozenset[str], settings: Mapping[str, Any], learning_rate: float
) -> torch.optim.Optimizer:
    """SGD or AdamW in torch's fused form; norm parameters decay only where `decay_norm` says so."""
    parameters = dict(network.named_parameters())
    decayed = [p for name, p in parameters.items() if settings["decay_norm"] or name not in norm_parameter_names]
    exempt = [p for name, p in parameters.items() if not settings["decay_norm"] and name in norm_parameter_names]
    if not settings["weight_decay"]:
        groups: list[dict[str, Any]] = [{"params": list(parameters.values())}]
    else:
        groups = [{"params": decayed}, {"params": exempt, "weight_decay": 0.0}]
        groups = [group for group in groups if group["params"]]
    common = {"lr": learning_rate, "weight_decay": settings["weight_decay"], "fused": True}
    if settings["name"] == "sgd":
        return torch.optim.SGD(groups, momentum=settings["momentum"], nesterov=settings["nesterov"], **common)
    return torch.optim.AdamW(groups, betas=(settings["beta1"], settings["beta2"]), eps=settings["eps"], **common)


@contextmanager
def _onednn(enabled: bool) -> Iterator[None]:
    """Convolutions on the CPU through oneDNN, or through torch's own kernels."""
    before = torch.backends.mkldnn.enabled
    torch.backends.mkldnn.enabled = enabled  # type: ignore[assignment]
    try:
        yield
    finally:
        torch.backends.mkldnn.enabled = before


def _outside_autocast(device: torch.device, mixed: bool) -> AbstractContextManager[Any]:
    """Backward pass and update in full precision, as torch's autocast asks for."""
    return torch.autocast(device.type, enabled=False) if mixed else nullcontext()
