"""One run, from spec to record: set up, fit, record. Only a logger writes files."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from normlib.norms.place import CannotEnter
from normlib.results.store.record import FAILED, SKIPPED, Record
from normlib.training.environment import PeakMemory
from normlib.training.fitted import Fitted
from normlib.training.lightning import fit_module
from normlib.training.loop import STEPS_PER_CHUNK, fit_loop
from normlib.training.network import Network
from normlib.training.outcome import now, unfinished
from normlib.training.record import record_of
from normlib.training.setup import set_up
from normlib.training.spec import Run
from normlib.training.surroundings import standard_surroundings
from normlib.training.trainer import make_loggers
from normlib.training.user_function import call_function


@dataclass(frozen=True)
class Trained:
    """The record of a run and the network's final state. The state is None if the run failed."""

    record: Record
    weights: Mapping[str, torch.Tensor] | None


def train_run(
    run: Run,
    data_dir: Path,
    logger: Mapping[str, Any] | None = None,
    steps_per_chunk: int = STEPS_PER_CHUNK,
    checkpoints: Path | None = None,
) -> Trained:
    """Train one run. An exception becomes a record with status "failed" and its traceback.

    `logger` holds the settings of a Lightning logger. `steps_per_chunk` changes the speed and nothing in the record.
    `checkpoints` is the run's own folder, from which a stopped run of a user's module continues. KeyboardInterrupt
    passes through. The caller's state of torch and of the environment does not reach the run (autocast, default types,
    precision of products, Lightning's variables), and is back afterwards.
    """
    started = now()
    try:
        with standard_surroundings(run.spec["threads"]):
            loggers = make_loggers(logger, run)
            network: Network | None = None
            memory: PeakMemory | None = None
            if "function" in run.sources:
                fitted = call_function(run)
            elif "module" in run.sources:
                network, fitted, memory = fit_module(run, loggers, checkpoints)
            else:
                setup = set_up(run, data_dir)
                network, memory = setup.network, setup.memory
                fitted = fit_loop(setup, loggers, steps_per_chunk)
            _log_final(loggers, fitted)
            return Trained(record_of(run, network, fitted, memory, started), fitted.state)
    except Exception as error:
        if isinstance(error, CannotEnter) or ("module" in run.sources and _is_refusal(error)):
            return Trained(unfinished(run, SKIPPED, str(error)), None)
        reason = f"{type(error).__name__}: {error}"
        return Trained(unfinished(run, FAILED, reason, started, traceback.format_exc()), None)


def _is_refusal(error: Exception) -> bool:
    """Whether a norm refused its input in a user's module, which the plan does not build."""
    frames = traceback.walk_tb(error.__traceback__)
    return isinstance(error, ValueError) and [frame.f_globals["__name__"] for frame, _ in frames][-1].startswith(
        "normlib.norms."
    )


def _log_final(loggers: list[Any], fitted: Fitted) -> None:
    figures = {
        f"final/{split}/{name}": value
        for split, scores in fitted.metrics.items()
        for name, value in scores.items()
        if value is not None and name != "samples"
    }
    for logger in loggers:
        logger.log_metrics(figures, step=fitted.steps)
        logger.finalize("success")
