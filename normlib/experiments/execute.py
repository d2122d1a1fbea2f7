"""Works through runs in worker processes, with one record per run. Claims let several sweeps share the work."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pebble import ProcessExpired, ProcessPool

from normlib.errors import NormlibError
from normlib.experiments.workers import worker_pool
from normlib.results.store.record import FAILED, SKIPPED, Record
from normlib.results.store.store import Store, StoreError
from normlib.training.outcome import unfinished
from normlib.training.spec import Run
from normlib.training.weights import SUFFIX, are_sound, write_weights

if TYPE_CHECKING:
    from normlib.training.run import Trained

ELSEWHERE_SECONDS = 0.5  # time before asking again for a run that another process is doing
MOST_STARTS_IN_VAIN = 3  # pools whose workers all died before one of them finished a run
QUEUED_PER_WORKER = 4  # enough to keep workers busy, few enough for a prompt stop


class WorkersError(NormlibError, ValueError):
    """Worker processes die before they do anything. The message names the usual causes."""


@dataclass(frozen=True)
class RunDestination:
    """Where runs are done, and what they leave besides the record. None of it changes a number."""

    store: Store
    data_dir: Path
    retry_failed: bool = True
    save_weights: bool = False
    logger: Mapping[str, Any] | None = None

    def weights_file(self, run_id: str) -> Path:
        """Where the final weights of a run are kept, if asked for."""
        return self.store.weights / f"{run_id}{SUFFIX}"


@dataclass(frozen=True)
class Outcome:
    """The result of a run: the record that stands, and what failed besides it, if anything."""

    run: Run
    record: Record
    problem: str | None = None


def is_final(record: Record | None, destination: RunDestination) -> bool:
    """True if the record is final. It is not if the run failed, or if its weights are asked for and missing."""
    if record is None or (record.status == FAILED and destination.retry_failed):
        return False
    return not (destination.save_weights and record.trained and not are_sound(destination.weights_file(record.id)))


def do_run(run: Run, destination: RunDestination) -> Outcome | None:
    """Claim a run, train it unless it has a record by now, and write the record. None if another process has it."""
    if run.skip_reason is None:  # before the claim, because imports take seconds; a skipped run does not need them
        from normlib.training.run import train_run

    with destination.store.claim(run.id) as claimed:
        if claimed is None:
            return None
        existing = claimed.read()
        if existing is not None and is_final(existing, destination):
            return Outcome(run, existing)
        if run.skip_reason is not None:
            return Outcome(run, claimed.write(unfinished(run, SKIPPED, run.skip_reason)))
        checkpoints = destination.store.checkpoints / run.id if run.sources else None
        trained = train_run(run, destination.data_dir, destination.logger, checkpoints=checkpoints)
        record = claimed.write(trained.record)
        if checkpoints is not None:
            shutil.rmtree(checkpoints, ignore_errors=True)
            with contextlib.suppress(OSError):  # others are still needed
                checkpoints.parent.rmdir()
        return Outcome(run, record, _keep_weights(trained, record, destination) if destination.save_weights else None)


def _keep_weights(trained: Trained, record: Record, destination: RunDestination) -> str | None:
    """Write the weights beside the record that stands. Returns why that failed, or None. The record stays in any case."""
    path = destination.weights_file(record.id)
    if trained.weights is None:
        return None if record is trained.record else f"{path} is not there: {trained.record.reason}"
    if differing := record.differing(trained.record):
        return (
            f"{path} is not written: trained here, the run disagrees with its record on the {' and '.join(differing)}; "
            "weights belong to a record, so choose another results_dir"
        )
    try:
        write_weights(trained.weights, path, {"run": record.id, "norm": json.dumps(record.spec["norm"])})
    except StoreError as error:
        return str(error)
    return None


def work_through(
    runs: Sequence[Run],
    destination: RunDestination,
    jobs: int,
    on_outcome: Callable[[Outcome], None],
    on_start: Callable[[Run], None] = lambda run: None,
) -> None:
    """Do all runs in `jobs` processes. Calls `on_outcome` in this process as they end, in any order.

    If a worker dies, only its run is lost, and recorded as failed. KeyboardInterrupt stops the workers and is passed
    on. Every finished run keeps its record.
    """
    from normlib.experiments.shipping import pack  # imports torch, which must not delay `warm_up`

    work = _Work(list(reversed(runs)))
    typed = pack(runs)
    starts_in_vain = 0
    while work.is_unfinished:
        before = work.done
        try:
            with worker_pool(jobs, [plugin for run in runs[:1] for plugin in run.plugins], typed) as pool:
                _work_in_pool(pool, work, destination, jobs * QUEUED_PER_WORKER, on_outcome, on_start)
        except BrokenProcessPool as error:  # every worker died, between two runs or at its start
            work.waiting += work.running.values()
            work.running.clear()
            starts_in_vain = starts_in_vain + 1 if work.done == before else 0
            if starts_in_vain == MOST_STARTS_IN_VAIN:
                raise WorkersError(
                    f"the worker processes died {MOST_STARTS_IN_VAIN} times before they finished a run; {work.done} runs are kept. "
                    "There may be too little memory for jobs="
                    + str(jobs)
                    + ", or a plugin ends the process; and a script has to "
                    'call normlib.compare under `if __name__ == "__main__":`, because worker processes import it'
                ) from error


@dataclass
class _Work:
    """The remaining runs: waiting (the last one is next), held by another sweep (to ask for again), or running."""

    waiting: list[Run]
    later: list[tuple[float, Run]] = field(default_factory=list)
    running: dict[Any, Run] = field(default_factory=dict)
    done: int = 0

    @property
    def is_unfinished(self) -> bool:
        return bool(self.waiting or self.later or self.running)


def _work_in_pool(
    pool: ProcessPool,
    work: _Work,
    destination: RunDestination,
    most_queued: int,
    on_outcome: Callable[[Outcome], None],
    on_start: Callable[[Run], None],
) -> None:
    while work.is_unfinished:
        now = time.monotonic()
        work.waiting += [run for due, run in work.later if due <= now]
        work.later = [(due, run) for due, run in work.later if due > now]
        while work.waiting and len(work.running) < most_queued:
            scheduled = pool.schedule(do_run, args=[work.waiting[-1], destination])
            work.running[scheduled] = work.waiting.pop()
            on_start(work.running[scheduled])
        if not work.running:  # another sweep holds all that is left
            time.sleep(ELSEWHERE_SECONDS)
            continue
        done, _ = wait(work.running, timeout=ELSEWHERE_SECONDS, return_when=FIRST_COMPLETED)
        for future in done:
            outcome = _outcome(future, work.running[future], destination.store)
            run = work.running.pop(future)
            if outcome is None:
                work.later.append((time.monotonic() + ELSEWHERE_SECONDS, run))
            else:
                work.done += 1
                on_outcome(outcome)


def _outcome(future: Any, run: Run, store: Store) -> Outcome | None:
    """The result of a run that a worker did. None if another process has the run.

    This process may have slept since the worker died. If another sweep has done the run meanwhile, its record stands.
    """
    try:
        return future.result()
    except CancelledError:
        return None
    except ProcessExpired as error:
        reason = f"the worker process died (exit code {error.exitcode}); it may have been killed, or out of memory"
    with store.claim(run.id) as claimed:
        return None if claimed is None else Outcome(run, claimed.write(unfinished(run, FAILED, reason)))
