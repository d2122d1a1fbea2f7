"""Fits a LightningModule of the user's by Lightning's Trainer, with the user's settings.

In: a run whose spec names a module. Out: its result. A stopped run continues from its last checkpoint.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.utilities.model_helpers import is_overridden

from normlib.plugins import load_named
from normlib.results.store.record import finite_or_none
from normlib.tasks.metric import Metric, column_name, known_metric
from normlib.training.budget import batch_sizes
from normlib.training.environment import PeakMemory
from normlib.training.fitted import Fitted
from normlib.training.loaders import combine_digests, seed_loaders
from normlib.training.network import Network
from normlib.training.recorder import Recorder, numbers
from normlib.training.seeding import global_stream
from normlib.training.spec import Run
from normlib.training.trainer import fit, make_trainer, quiet_lightning
from normlib.training.user_module import UserModule, UserModuleError, build_user_module

ONE_BATCH = {
    "max_epochs": 1, "max_steps": -1, "limit_train_batches": 1, "limit_val_batches": 1, "limit_test_batches": 1,
    "check_val_every_n_epoch": 1, "val_check_interval": 1.0, "accumulate_grad_batches": 1,
}  # fmt: skip


def fit_module(run: Run, loggers: Sequence[Any], checkpoints: Path | None = None) -> tuple[Network, Fitted, PeakMemory]:
    """Train and evaluate.

    With a folder for `checkpoints`, each epoch saves one there, and the next fit continues from the last. Raises
    UserModuleError if the module cannot be compared as it is.
    """
    spec = run.spec
    user = build_user_module(run)
    memory = PeakMemory(spec["accelerator"])
    recorder, digests = _record(run, user)
    callbacks: list[pl.Callback] = [*_own_callbacks(spec["trainer"]), recorder]
    if checkpoints is not None:
        callbacks.append(
            ModelCheckpoint(
                checkpoints,
                "epoch={epoch}",
                auto_insert_metric_name=False,
                save_on_train_epoch_end=True,
                enable_version_counter=False,
            )
        )
    logged, found, steps = _fit(run, user, loggers, callbacks, {}, checkpoints)
    metrics = _by_split(logged, found, recorder)
    facts = _facts(metrics)
    network = user.network
    return (
        network,
        Fitted(
            metrics=metrics,
            metric_facts=facts,
            train_curve=recorder.train_curve,
            validation_curve=recorder.validation_curve(name for name in metrics["validation"] if name != "samples"),
            hashes={
                "trunk": network.trunk_hash,
                "batches": recorder.epochs,
                "schedule": recorder.schedule_hash(),
                "data": _hash_of_evaluation(digests),
            },
            batch_sizes=batch_sizes(recorder.batch_size, _accumulated(spec["trainer"]), spec["site"]),
            environment={},
            planned_steps=recorder.planned_steps,
            steps=steps,
            samples=recorder.samples,
            seconds=recorder.seconds,
            broken=recorder.diverged,
            state=user.module.state_dict(),
        ),
        memory,
    )


def try_module(run: Run) -> tuple[str, ...]:
    """Fit one batch of a run on its device, and evaluate one. Returns the names of the figures that the module logs.

    Raises UserModuleError if the module fails, with its own error in the message.
    """
    user = build_user_module(run)
    recorder, _ = _record(run, user)
    try:
        logged, found, _ = _fit(run, user, [], [*_own_callbacks(run.spec["trainer"]), recorder], ONE_BATCH, None)
    except (KeyboardInterrupt, UserModuleError):
        raise
    except Exception as error:
        raise UserModuleError(
            f"{run.sources['module']} does not train on one batch with norm={run.labels['norm']}: {type(error).__name__}: {error}. "
            "Set NORMLIB_DEBUG=1 for the traceback"
        ) from error
    return tuple(dict.fromkeys([*found["test"], *found["validation"], *logged]))


def _record(run: Run, user: UserModule) -> tuple[Recorder, dict[str, dict[str, dict[int, str]]]]:
    """The recorder of a fit, and the digests that the seeded loaders fill."""
    norms = [norm for site in user.network.sites.values() for norm in site.norms]
    digests = seed_loaders(user.data_source, run.spec["seed"], lambda: user.module.trainer.current_epoch)
    return Recorder(run.spec["seed"], norms, digests), digests


def _fit(
    run: Run,
    user: UserModule,
    loggers: Sequence[Any],
    callbacks: Sequence[pl.Callback],
    instead: Mapping[str, Any],
    checkpoints: Path | None,
) -> tuple[dict[str, float], dict[str, dict[str, float]], int]:
    """Fit from the last checkpoint and evaluate.

    Returns what was logged during the fit, what was logged at the end by split, and the number of steps. `instead` are
    settings of the Trainer that replace the user's.
    """
    settings = {key: value for key, value in run.spec["trainer"].items() if key != "callbacks"} | dict(instead)
    precision = str(settings.pop("precision", "32-true"))
    last = None
    if checkpoints is not None:
        settings["default_root_dir"] = checkpoints
        last = max(checkpoints.glob("*.ckpt"), key=lambda file: file.stat().st_mtime_ns, default=None)
    with quiet_lightning(), global_stream(run.spec["seed"], "training"):
        trainer = make_trainer(
            torch.device(run.spec["accelerator"]), precision, logger=list(loggers) or False, callbacks=list(callbacks),
            enable_checkpointing=any(isinstance(each, ModelCheckpoint) for each in callbacks), **settings,
        )  # fmt: skip
        fit(trainer, user.module, datamodule=user.datamodule, ckpt_path=last, weights_only=False if last else None)
        logged, steps = numbers(trainer.callback_metrics), trainer.global_step
        return logged, _evaluated(trainer, user), steps


def _own_callbacks(trainer: Mapping[str, Any]) -> list[pl.Callback]:
    """The user's callbacks. Each is named as my_file.py:MyCallback."""
    return [load_named(path, "trainer.callbacks")() for path in trainer.get("callbacks") or ()]


def _evaluated(trainer: pl.Trainer, user: UserModule) -> dict[str, dict[str, float]]:
    """What the module logs in validation and in testing, with its present weights."""
    found: dict[str, dict[str, float]] = {"validation": {}, "test": {}}
    kind = pl.LightningModule if user.datamodule is None else pl.LightningDataModule
    stages = (
        ("validation", "validation_step", "val_dataloader", trainer.validate),
        ("test", "test_step", "test_dataloader", trainer.test),
    )
    for split, step, loader, evaluate in stages:
        own = is_overridden(step, user.module) and is_overridden(loader, user.data_source, kind)
        if own:
            for figures in evaluate(user.module, datamodule=user.datamodule, verbose=False):
                found[split] |= figures
    return found


def _by_split(
    logged: Mapping[str, float], found: Mapping[str, Mapping[str, float]], recorder: Recorder
) -> dict[str, dict[str, float | None]]:
    """The figures of each split, None if not finite.

    Validation and test have what was evaluated at the end, and training has everything else that was logged.
    """
    evaluated = {**found["validation"], **found["test"]}
    figures = {"train": {name: value for name, value in logged.items() if name not in evaluated}, **found}
    samples = {"train": recorder.samples, **recorder.evaluated}
    return {
        split: {column_name(name): finite_or_none(value) for name, value in own.items()} | {"samples": samples[split]}
        if own
        else {}
        for split, own in figures.items()
    }


def _facts(metrics: Mapping[str, Mapping[str, float | None]]) -> tuple[Metric, ...]:
    """The metrics whose names say their direction: those of testing first, the loss last."""
    names = dict.fromkeys(
        name for split in ("test", "validation", "train") for name in metrics[split] if name != "samples"
    )
    known = [metric for name in names if (metric := known_metric(name)) is not None]
    return tuple(sorted(known, key=lambda metric: "loss" in metric.name))


def _hash_of_evaluation(digests: Mapping[str, Mapping[str, dict[int, str]]]) -> str:
    parts = [combine_digests(digests[split], 0) for split in ("validation", "test")]
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _accumulated(trainer: Mapping[str, Any]) -> int:
    """Batches per update. 1 if the user's Trainer has a schedule for them."""
    batches = trainer.get("accumulate_grad_batches", 1)
    return batches if isinstance(batches, int) else 1
