"""normlib's own fit, for data whose batches normlib makes.

In: a run that is set up. Out: its result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from normlib.data.dataset import SPLITS
from normlib.training.budget import batch_sizes
from normlib.training.fitted import Fitted
from normlib.training.schedule import shape_hash
from normlib.training.seeding import global_stream
from normlib.training.setup import Setup
from normlib.training.step_loop import StepLoop
from normlib.training.trainer import fit, make_trainer, quiet_lightning

STEPS_PER_CHUNK = 50  # optimizer steps in one Lightning batch: enough to make Lightning's cost per batch negligible


def fit_loop(setup: Setup, loggers: Sequence[Any], steps_per_chunk: int = STEPS_PER_CHUNK) -> Fitted:
    """Train and evaluate. `steps_per_chunk` changes the speed and no figure.

    Raises RuntimeError if something outside the run ended the training early.
    """
    module, spec = StepLoop(setup, steps_per_chunk), setup.spec
    precision = spec["training"]["precision"]
    with quiet_lightning():
        trainer = make_trainer(setup.device, precision, max_epochs=setup.plan.num_epochs, logger=list(loggers) or False)
        with global_stream(spec["seed"], "training"):  # for norms that draw random numbers; nothing else does
            fit(trainer, module)
            module.to(setup.device)
            metrics = module.evaluate(*SPLITS)
    planned = setup.run.planned_steps
    if module.diverged_at is None and module.steps_done != planned:
        raise RuntimeError(
            f"the run took {module.steps_done} of {planned} planned steps, so its figures do not belong to its spec; "
            "something outside the run ended the training early"
        )
    return Fitted(
        metrics=metrics,
        metric_facts=setup.task.metrics_on(setup.dataset),
        train_curve=module.train_curve,
        validation_curve=module.validation_curve,
        hashes={
            "trunk": setup.network.trunk_hash,
            "batches": module.batch_hasher.digests(stopped_early=module.diverged_at is not None),
            "schedule": shape_hash(setup.factors),
            "data": setup.data_hash,
        },
        batch_sizes=batch_sizes(spec["data"]["batch_size"], spec["training"]["accumulate"], spec["site"]),
        environment={"onednn": setup.onednn},
        planned_steps=planned,
        steps=module.steps_done,
        samples=module.steps_done * setup.plan.batch_size,
        seconds=module.seconds_training,
        broken=_broken(module, metrics, planned),
        state=module.network.state_dict(),
    )


def _broken(module: StepLoop, metrics: Mapping[str, Mapping[str, float | None]], planned: int) -> str | None:
    """Why a run counts as diverged, or None."""
    if module.diverged_at is not None:
        return f"the loss was no longer finite at step {module.diverged_at + 1} of {planned}"
    if any(scores["loss"] is None for scores in metrics.values()):
        return f"the loss of the trained network is not finite (after all {planned} steps)"
    return None
