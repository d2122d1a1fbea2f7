"""One run, from spec to record: one Lightning fit. Writes nothing but what a logger writes."""

from __future__ import annotations

import logging
import traceback
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from pytorch_lightning.plugins.precision import Precision

from normlib.results.record import DIVERGED, DONE, FAILED, Record, finite_or_none
from normlib.training.batches import BatchPlan
from normlib.training.datamodule import SplitData
from normlib.training.environment import PeakMemory, describe
from normlib.training.inputs import make_dataset
from normlib.training.module import Classifier
from normlib.training.network import Network, build_network
from normlib.training.outcome import now, origin, unfinished
from normlib.training.schedule import learning_rate_factors, shape_hash
from normlib.training.seeding import global_stream
from normlib.training.spec import Run, scaled_learning_rate
from normlib.training.surroundings import standard_surroundings

STEPS_PER_CHUNK = 50  # optimizer steps in one Lightning batch: enough to make Lightning's own cost per batch vanish

EXPECTED_WARNINGS = (
    ".*does not have many workers.*",  # the data lie in memory; there are no loader workers
    ".*`training_step` returned `None`.*",  # optimization is ours
    ".*GPU available but not used.*",  # as the spec says
    ".*smaller than the logging interval.*",  # logging is ours too, by optimizer steps
    ".*treespec, LeafSpec.*",  # Lightning's use of torch's internals
)


@dataclass(frozen=True)
class Trained:
    """The record of a run, and the network's final state, None where the run failed."""

    record: Record
    weights: Mapping[str, torch.Tensor] | None


def train_run(
    run: Run, data_dir: Path, logger: Mapping[str, Any] | None = None, steps_per_chunk: int = STEPS_PER_CHUNK
) -> Trained:
    """Train one run; an exception becomes a record with status "failed" and its traceback.

    `logger` holds the settings of a Lightning logger; `steps_per_chunk` changes the speed and nothing in the record.
    KeyboardInterrupt passes through. Whatever state of torch or of the environment the caller has set (autocast, default
    types, precision of products, Lightning's variables) does not reach the run, and is there again afterwards.
    """
    started = now()
    try:
        with standard_surroundings(run.spec["threads"]):
            return _train(run, started, data_dir, logger, steps_per_chunk)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        return Trained(unfinished(run, FAILED, reason, started, traceback.format_exc()), None)


def _train(
    run: Run,
    started: str,
    data_dir: Path,
    logger: Mapping[str, Any] | None,
    steps_per_chunk: int,
) -> Trained:
    spec = run.spec
    data, training = spec["data"], spec["training"]
    device = torch.device(spec["accelerator"])
    dataset = make_dataset(data)
    plan = BatchPlan(
        spec["seed"], dataset.sizes["train"], data["batch_size"], run.planned_steps, data["flip"], data["crop"]
    )
    splits = SplitData(data, plan, data_dir, device, steps_per_chunk)
    memory = PeakMemory(spec["accelerator"])
    network = build_network(spec, tuple(dataset.input_shape), dataset.num_classes, run.planned_steps)
    network.module.to(device)
    network.open_streams(spec["seed"], device)
    factors = learning_rate_factors(spec["schedule"], run.planned_steps)
    peak = scaled_learning_rate(spec["optimizer"]["lr"], data["batch_size"], spec["optimizer"]["lr_rule"])
    onednn = training["onednn"]
    if onednn is None:
        onednn = network.prefers_onednn(data["batch_size"])
    module = Classifier(network, splits.splits, spec, peak, factors, onednn)
    loggers = make_loggers(logger, run)
    with _quiet_lightning():
        trainer = pl.Trainer(
            accelerator={"cuda": "gpu"}.get(device.type, device.type),
            devices=1,
            **({"precision": "bf16-mixed"} if training["precision"] == "bf16-mixed" else {"plugins": [_PlainStep()]}),
            max_epochs=plan.num_epochs,
            deterministic="warn" if device.type == "cuda" else None,
            logger=loggers or False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        with global_stream(spec["seed"], "training"):  # for norms that draw random numbers; nothing else does
            _fit(trainer, module, splits)
            module.to(device)
            metrics = module.evaluate("train", "validation", "test")
    _check_steps(module, run.planned_steps)
    broken = module.diverged_at is not None or any(scores["loss"] is None for scores in metrics.values())
    for each in loggers:
        each.log_metrics(
            {
                f"final/{split}/{key}": value
                for split, scores in metrics.items()
                for key, value in scores.items()
                if value is not None and key != "samples"
            },
            step=module.steps_done,
        )
        each.finalize("success")
    samples = module.steps_done * data["batch_size"]
    seconds = module.seconds_training
    record = Record(
        **origin(run),
        status=DIVERGED if broken else DONE,
        reason=_divergence(module, run.planned_steps) if broken else None,
        hashes={
            "trunk": network.trunk_hash,
            "batches": module.batch_hasher.digests(stopped_early=module.diverged_at is not None),
            "schedule": shape_hash(factors),
            "data": splits.data_hash,
        },
        metrics=metrics,
        norm_report=_mean_report(network),
        steps=module.steps_done,
        samples=samples,
        seconds_training=seconds,
        seconds_per_step=seconds / module.steps_done if module.steps_done else None,
        samples_per_second=samples / seconds if seconds else None,
        peak_memory_bytes=memory.read(),
        parameters=network.count_parameters(),
        reinitialized=list(network.reinitialized),
        state_size=network.state_size,
        environment=describe(spec["accelerator"], spec["threads"]) | {"onednn": onednn},
        started=started,
        ended=now(),
        curves={"train": module.train_curve, "validation": module.validation_curve},
    )
    record.check()  # of what a norm reports of itself, say, that is no number
    return Trained(record, module.network.state_dict())


class _PlainStep(Precision):
    """Full precision, without hooks around a step: nothing here uses them, and they take a twentieth of a small step.

    The closure that Lightning passes does nothing, since the module takes its steps itself.
    """

    def optimizer_step(self, optimizer: Any, model: Any = None, closure: Any = None, **settings: Any) -> Any:
        return optimizer.step(**settings)


def _check_steps(module: Classifier, planned: int) -> None:
    """Refuse a run that is not the one its spec asks for, whatever cut it short."""
    if module.diverged_at is None and module.steps_done != planned:
        raise RuntimeError(
            f"the run took {module.steps_done} of {planned} planned steps, so its figures would not be those of its spec; "
            "something outside of it ended the training early"
        )


def _fit(trainer: pl.Trainer, module: Classifier, splits: SplitData) -> None:
    try:
        trainer.fit(module, datamodule=splits)
    except SystemExit as stopped:
        if isinstance(stopped.__context__, KeyboardInterrupt):  # Lightning makes an exit with code 1 of Ctrl-C
            raise stopped.__context__ from None
        raise


def make_loggers(settings: Mapping[str, Any] | None, run: Run) -> list[Any]:
    """The Lightning logger of a run, with the run's id as its version or name."""
    if not settings:
        return []
    own = {"run_name": run.id} if settings["_target_"].endswith("MLFlowLogger") else {"version": run.id}
    return [instantiate(dict(settings) | own)]


def _divergence(module: Classifier, planned_steps: int) -> str:
    if module.diverged_at is None:
        return f"the loss of the trained network is not finite (after all {planned_steps} steps)"
    return f"the loss was no longer finite at step {module.diverged_at + 1} of {planned_steps}"


def _mean_report(network: Network) -> dict[str, float | None]:
    """What the norms report of themselves, averaged over the sites; None where that is not finite."""
    reports = [norm.report() for site in network.sites.values() for norm in site.norms]
    keys = sorted({key for report in reports for key in report})
    sums = {key: sum(report[key] for report in reports if key in report) for key in keys}
    return {key: finite_or_none(total / len(reports)) for key, total in sums.items()}


@contextmanager
def _quiet_lightning() -> Iterator[None]:
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
