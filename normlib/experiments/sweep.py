"""A whole comparison: plan, work through what is missing, report. What the command line and notebooks both call."""

from __future__ import annotations

import importlib.util
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from normlib.experiments.config import ConfigError
from normlib.experiments.estimate import Estimate, estimate
from normlib.experiments.execute import Outcome, Place, do_run, settled, work_through
from normlib.experiments.plan import Plan
from normlib.results.record import SKIPPED, Record
from normlib.results.store import Scan, Store
from normlib.training.inputs import make_dataset
from normlib.training.outcome import unfinished
from normlib.training.spec import Run

if TYPE_CHECKING:
    from normlib.results.report import Report

LOGGER_PACKAGES = {"TensorBoardLogger": "tensorboard", "WandbLogger": "wandb", "MLFlowLogger": "mlflow"}


class Display(Protocol):
    """What shows a sweep as it goes on."""

    def start(self, state: State) -> None: ...
    def running(self, run: Run) -> None: ...
    def ended(self, outcome: Outcome) -> None: ...
    def stop(self) -> None: ...


@dataclass(frozen=True)
class State:
    """How far a plan has come: its runs with what the store holds of them."""

    plan: Plan
    scan: Scan
    records: Mapping[str, Record]
    missing: tuple[Run, ...]
    skipped: tuple[Run, ...]

    @property
    def counts(self) -> Counter[str]:
        """Runs by status: those of records, "skipped" by the plan, and "missing"."""
        counts = Counter(record.status for record in self.records.values() if record.status != SKIPPED)
        return counts + Counter(
            {SKIPPED: len(self.skipped), "missing": len([r for r in self.missing if r.id not in self.records])}
        )

    def estimate(self) -> Estimate:
        """The work that is left."""
        return estimate(self.missing, self.scan.records)


def look(plan: Plan) -> State:
    """Hold a plan against the store; changes nothing."""
    store = Store(plan.settings["results_dir"], plan.experiment)
    scan = store.scan()
    planned = {run.id for run in plan.runs}
    records = {record.id: record for record in scan.records if record.id in planned}
    place = Place(store, Path(), plan.settings["retry_failed"], plan.settings["save_weights"])
    skipped = tuple(run for run in plan.runs if run.skip_reason is not None)
    missing = tuple(run for run in plan.runs if run.skip_reason is None and not settled(records.get(run.id), place))
    return State(plan, scan, records, missing, skipped)


def place_of(runs: Sequence[Run], settings: Mapping[str, Any]) -> Place:
    """Where runs are done, with everything they need in place before the first one starts.

    Raises StoreError when the results folder cannot be written, DataError when data cannot be had, ConfigError when the
    logger's package is not installed.
    """
    store = Store(settings["results_dir"], runs[0].experiment)
    store.prepare()
    data_dir = Path(settings["data_dir"]).expanduser()
    for data in {json.dumps(run.spec["data"] | {"batch_size": 1}, sort_keys=True) for run in runs}:
        make_dataset(json.loads(data)).prepare(data_dir)
    logger = settings["logger"]
    package = LOGGER_PACKAGES.get(logger["_target_"].rpartition(".")[2]) if logger else None
    if package is not None and importlib.util.find_spec(package) is None:
        raise ConfigError(
            f"this logger needs the package {package}, which is not installed: pip install 'normlib[{package}]'"
        )
    return Place(store, data_dir, settings["retry_failed"], settings["save_weights"], logger)


def number_of_jobs(jobs: int | None) -> int:
    """Worker processes: `jobs`, or as many as this process may use cores. Raises ConfigError below 1."""
    if jobs is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if jobs < 1:
        raise ConfigError(f"jobs is the number of worker processes, at least 1, got {jobs}")
    return jobs


def run_missing(plan: Plan, display: Display) -> dict[str, Record]:
    """Do every run of a plan that has no record, and return all its records by id."""
    jobs = number_of_jobs(plan.settings["jobs"])
    place = place_of(plan.runs, plan.settings)
    state = look(plan)
    for run in state.skipped:
        if run.id not in state.records:
            place.store.write(unfinished(run, SKIPPED, str(run.skip_reason)))
    records = dict(state.records)

    def ended(outcome: Outcome) -> None:
        records[outcome.run.id] = outcome.record
        display.ended(outcome)

    display.start(state)
    try:
        if state.missing:
            work_through(state.missing, place, min(jobs, len(state.missing)), ended, display.running)
    finally:
        display.stop()
        place.store.clean()
    return records


def run_one(run: Run, settings: Mapping[str, Any]) -> Record:
    """Do one run in this process, or return its record if it has one. ConfigError for a run that cannot make sense."""
    if run.skip_reason is not None:
        raise ConfigError(run.skip_reason)
    place = place_of([run], settings)
    record = do_run(run, place)
    if record is None:
        raise ConfigError(
            f"run {run.id} is being trained by another process right now; wait for its record in {place.store.runs}"
        )
    return record


def report_on(plan: Plan) -> Report:
    """Write the tables and the figure of a plan's runs, as far as they have records."""
    from normlib.results.report import write_report
    from normlib.results.study import Question

    settings = plan.settings
    store = Store(settings["results_dir"], plan.experiment)
    scan = store.scan()
    asked = {name: settings[name] for name in ("rows", "columns", "baseline", "rope", "target")}
    return write_report(
        store.folder,
        scan.records,
        scan.problems,
        Question(**asked, order=plan.order),
        ids={run.id for run in plan.runs},
    )
