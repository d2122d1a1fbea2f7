"""A whole comparison: plan, do what is missing, report. The command line and notebooks both call this."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from normlib.experiments.complaints import ConfigError
from normlib.experiments.data_check import check_data
from normlib.experiments.execute import Outcome, RunDestination, do_run, work_through
from normlib.experiments.plan import Plan
from normlib.experiments.state import State, progress_of
from normlib.experiments.user_code import try_metrics
from normlib.results.store.columns import LOOKS
from normlib.results.store.record import FAILED, Record
from normlib.results.store.store import Store
from normlib.results.study.tuning import FIXED, STAGE, TRIAL, TUNED, TUNING
from normlib.training.inputs import make_dataset
from normlib.training.spec import Run


class Display(Protocol):
    """Shows the progress of a sweep."""

    def start(self, state: State) -> None: ...
    def running(self, run: Run) -> None: ...
    def ended(self, outcome: Outcome) -> None: ...
    def stop(self) -> None: ...


def destination_of(runs: Sequence[Run], settings: Mapping[str, Any]) -> RunDestination:
    """Where runs are done, with everything in place that they need before the first one starts.

    Raises StoreError if the results folder cannot be written. Raises DataError if data are not available, do not suit
    the task, or were edited under an old version.
    """
    store = Store(settings["results_dir"], runs[0].experiment)
    store.prepare()
    data_dir = Path(settings["data_dir"])
    for data in {
        json.dumps(run.spec["data"] | {"batch_size": 1, "split_seed": 0}, sort_keys=True)
        for run in runs
        if not run.sources
    }:
        make_dataset(json.loads(data)).prepare(data_dir)
    check_data(runs, store, data_dir)
    return RunDestination(store, data_dir, settings["retry_failed"], settings["save_weights"], settings["logger"])


def number_of_jobs(jobs: int | None) -> int:
    """Worker processes: `jobs`, or as many as this process may use cores."""
    if jobs is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return jobs


@dataclass(frozen=True)
class Swept:
    """What a sweep leaves: all records of the plan by id, and what failed besides them."""

    records: dict[str, Record]
    problems: tuple[str, ...] = ()

    @property
    def failed(self) -> bool:
        """Whether anything that was asked for is missing."""
        return bool(self.problems) or any(record.status == FAILED for record in self.records.values())


def run_missing(plan: Plan, display: Display) -> Swept:
    """Do every run of a plan that has no record, and return all its records.

    If the experiment tunes, trials come first and choose, and evaluation follows. With seed=auto, evaluation has a
    round for each look, until nothing is left to decide.
    """
    jobs = number_of_jobs(plan.settings["jobs"])
    destination = destination_of(plan.runs, plan.settings)
    at_start = progress_of(plan)
    if at_start.missing and "module" in at_start.missing[0].sources:
        try_metrics(at_start.missing, plan.settings["metric"])
    records, problems, tried = dict[str, Record](), list[str](), set[str]()
    for stages in [(TRIAL,), (FIXED, TUNED)] if plan.tuning is not None else [()]:
        state = (progress_of(plan, tried) if tried else at_start).for_stages(*stages)
        while True:
            swept = _work(state, destination, jobs, display)
            records, problems = records | swept.records, [*problems, *swept.problems]
            tried.update(run.id for run in state.missing)
            if not plan.looks or TRIAL in stages:
                break
            state = progress_of(plan, tried).for_stages(*stages)
            if not state.missing:
                break
    return Swept(records, tuple(problems))


def _work(state: State, destination: RunDestination, jobs: int, display: Display) -> Swept:
    """Do what is missing in one stage, and give every record the labels of the plan."""
    records = dict(state.records)
    problems: list[str] = []
    for run in state.plan.runs:
        if run.id in records:
            records[run.id] = _relabelled(run, records[run.id], destination.store)
        elif run.skip_reason is not None and (outcome := do_run(run, destination)) is not None:
            records[run.id] = outcome.record

    def ended(outcome: Outcome) -> None:
        records[outcome.run.id] = outcome.record
        if outcome.problem is not None:
            problems.append(outcome.problem)
        display.ended(outcome)

    display.start(state)
    try:
        if state.missing:
            work_through(state.missing, destination, min(jobs, len(state.missing)), ended, display.running)
    finally:
        display.stop()
        destination.store.clean()
    return Swept(records, tuple(problems))


def _relabelled(run: Run, seen: Record, store: Store) -> Record:
    """The record of a run with the labels of the plan, e.g. if a chosen value has become the fixed one.

    `seen` may be outdated by now, so only the labels of the record that stands are changed.
    """
    if seen.labels == _labels(run, seen):
        return seen
    with store.claim(run.id) as claimed:
        standing = claimed.read() if claimed is not None else None
        if claimed is None or standing is None:  # another process makes it again, with its own labels
            return seen
        return claimed.write(replace(standing, labels=_labels(run, standing)))


def _labels(run: Run, record: Record) -> dict[str, str]:
    return {**_labels_that_stay(record), **run.labels}


def _labels_that_stay(record: Record) -> dict[str, str]:
    """The labels that a plan with tuning or looks gave a record.

    A plan without these keeps them. They say what a run was made for, and so how it may be judged.
    """
    return {name: label for name, label in record.labels.items() if name in (STAGE, TUNING, LOOKS)}


def run_one(run: Run, settings: Mapping[str, Any]) -> Outcome:
    """Do one run in this process, or return its record if it has one. Raises ConfigError for a run that makes no sense."""
    if run.skip_reason is not None:
        raise ConfigError(run.skip_reason)
    destination = destination_of([run], settings)
    outcome = do_run(run, destination)
    if outcome is None:
        raise ConfigError(
            f"run {run.id} is being trained by another process right now; wait for its record in {destination.store.runs}"
        )
    return outcome
