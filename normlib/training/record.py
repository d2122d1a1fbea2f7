"""The last part of a run: makes a record of what was set up and how it ended."""

from __future__ import annotations

from typing import Any

from normlib.results.store.record import DIVERGED, DONE, Record, finite_or_none
from normlib.training.environment import PeakMemory, describe
from normlib.training.fitted import Fitted
from normlib.training.network import Network
from normlib.training.outcome import now, origin
from normlib.training.spec import Run


def record_of(run: Run, network: Network | None, fitted: Fitted, memory: PeakMemory | None, started: str) -> Record:
    """The record of a trained run. `network` is None if a function of the user's trained it.

    Raises RecordError if a norm reports something about itself that is not a number.
    """
    spec, seconds = run.spec, fitted.seconds
    of_network: dict[str, Any] = {}
    if network is not None:
        of_network = {
            "norm_report": _mean_report(network),
            "changes": list(network.changes),
            "start": _start_of(run, network),
            "parameters": network.count_parameters(),
            "reinitialized": list(network.reinitialized),
            "state_size": network.state_size,
        }
    record = Record(
        **origin(run) | {"planned_steps": fitted.planned_steps},
        status=DONE if fitted.broken is None else DIVERGED,
        reason=fitted.broken,
        hashes=fitted.hashes,
        metric_facts=[metric.facts() for metric in fitted.metric_facts],
        metrics=fitted.metrics,
        batch_sizes=fitted.batch_sizes,
        steps=fitted.steps,
        samples=fitted.samples,
        seconds_training=seconds,
        seconds_per_step=seconds / fitted.steps if fitted.steps else None,
        samples_per_second=fitted.samples / seconds if seconds and fitted.samples else None,
        peak_memory_bytes=memory.read() if memory is not None else None,
        **of_network,
        environment=describe(spec["accelerator"], spec["threads"]) | dict(fitted.environment),
        started=started,
        ended=now(),
        curves={"train": fitted.train_curve, "validation": fitted.validation_curve},
    )
    record.check()
    return record


def _start_of(run: Run, network: Network) -> dict[str, Any]:
    """What the pretrained start was. Empty without one."""
    start = network.start
    fitted = run.spec["norm"].get("fit_on_batches", 0)
    return {} if start is None else start.facts() | ({"fitted_on_batches": fitted} if fitted else {})


def _mean_report(network: Network) -> dict[str, float | None]:
    """What the norms report about themselves, averaged over the sites. None if not finite."""
    reports = [norm.report() for site in network.sites.values() for norm in site.norms]
    keys = sorted({key for report in reports for key in report})
    sums = {key: sum(report[key] for report in reports if key in report) for key in keys}
    return {key: finite_or_none(total / len(reports)) for key, total in sums.items()}
