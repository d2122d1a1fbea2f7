"""The last part of a run: what was set up and what came of it, as a record."""

from __future__ import annotations

from normlib.results.record import DIVERGED, DONE, Record, finite_or_none
from normlib.training.environment import PeakMemory, describe
from normlib.training.fitted import Fitted
from normlib.training.network import Network
from normlib.training.outcome import now, origin
from normlib.training.spec import Run


def record_of(run: Run, network: Network, fitted: Fitted, memory: PeakMemory, started: str) -> Record:
    """The record of a trained run. RecordError where a norm reports of itself what is no number."""
    spec, seconds = run.spec, fitted.seconds
    record = Record(
        **origin(run) | {"planned_steps": fitted.planned_steps},
        status=DONE if fitted.broken is None else DIVERGED,
        reason=fitted.broken,
        hashes={
            "trunk": network.trunk_hash,
            "batches": fitted.batch_digests,
            "schedule": fitted.schedule_hash,
            "data": fitted.data_hash,
        },
        metric_facts=[metric.facts() for metric in fitted.metric_facts],
        metrics=fitted.metrics,
        norm_report=_mean_report(network),
        batch_sizes=fitted.batch_sizes,
        changes=list(network.changes),
        steps=fitted.steps,
        samples=fitted.samples,
        seconds_training=seconds,
        seconds_per_step=seconds / fitted.steps if fitted.steps else None,
        samples_per_second=fitted.samples / seconds if seconds else None,
        peak_memory_bytes=memory.read(),
        parameters=network.count_parameters(),
        reinitialized=list(network.reinitialized),
        state_size=network.state_size,
        environment=describe(spec["accelerator"], spec["threads"]) | dict(fitted.environment),
        started=started,
        ended=now(),
        curves={"train": fitted.train_curve, "validation": fitted.validation_curve},
    )
    record.check()
    return record


def _mean_report(network: Network) -> dict[str, float | None]:
    """What the norms report of themselves, averaged over the sites; None where that is not finite."""
    reports = [norm.report() for site in network.sites.values() for norm in site.norms]
    keys = sorted({key for report in reports for key in report})
    sums = {key: sum(report[key] for report in reports if key in report) for key in keys}
    return {key: finite_or_none(total / len(reports)) for key, total in sums.items()}
