"""Working through runs: a pool of worker processes, claims so that several sweeps share the work, one record a run."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pebble import ProcessExpired, ProcessPool

from normlib.registry import load_plugin
from normlib.results.record import FAILED, SKIPPED, Record, RecordError
from normlib.results.store import Store
from normlib.training.outcome import unfinished
from normlib.training.spec import Run

ELSEWHERE_SECONDS = 0.5  # how long to wait before asking again for a run that another process is doing
QUEUED_PER_WORKER = 4  # enough that no worker waits for the next run, few enough that a stop is prompt


@dataclass(frozen=True)
class Place:
    """Where runs are done and what they leave beside the record; none of it changes a number."""

    store: Store
    data_dir: Path
    retry_failed: bool = True
    save_weights: bool = False
    logger: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a run: its record, and whether this process trained it just now."""

    run: Run
    record: Record
    fresh: bool


def settled(record: Record | None, retry_failed: bool) -> bool:
    """Whether a run with this record is not to be done again."""
    return record is not None and not (record.status == FAILED and retry_failed)


def do_run(run: Run, place: Place) -> Record | None:
    """Claim a run, train it unless it has a record by now, and write the record. None: another process has it.

    A broken record is set aside first, so that nothing is lost.
    """
    store = place.store
    with store.claim(run.id) as claimed:
        if not claimed:
            return None
        try:
            existing = store.read(run.id)
        except RecordError:
            store.set_aside(run.id)
            existing = None
        if existing is not None and settled(existing, place.retry_failed):
            return existing
        if run.skip_reason is not None:
            record = unfinished(run, SKIPPED, run.skip_reason)
        else:
            from normlib.training.run import train_run  # Lightning takes seconds to import; only workers need it

            weights = store.folder / "weights" / f"{run.id}.pt" if place.save_weights else None
            record = train_run(run, place.data_dir, place.logger, weights)
        store.write(record)
        return record


def work_through(
    runs: Sequence[Run],
    place: Place,
    jobs: int,
    on_outcome: Callable[[Outcome], None],
    on_start: Callable[[Run], None] = lambda run: None,
) -> None:
    """Do all runs in `jobs` processes; call `on_outcome` in this one as they end, in any order.

    A worker that dies costs its one run, recorded as failed. KeyboardInterrupt stops the workers and passes on; every
    finished run keeps its record.
    """
    waiting = list(reversed(runs))
    later: list[tuple[float, Run]] = []
    running: dict[Any, Run] = {}
    with _pool(jobs, [plugin for run in runs[:1] for plugin in run.plugins]) as pool:
        while waiting or later or running:
            now = time.monotonic()
            waiting += [run for due, run in later if due <= now]
            later = [(due, run) for due, run in later if due > now]
            while waiting and len(running) < jobs * QUEUED_PER_WORKER:
                run = waiting.pop()
                running[pool.schedule(do_run, args=[run, place])] = run
                on_start(run)
            done, _ = wait(running, timeout=ELSEWHERE_SECONDS, return_when=FIRST_COMPLETED)
            for future in done:
                run = running.pop(future)
                record = _result(future, run, place.store)
                if record is None:
                    later.append((time.monotonic() + ELSEWHERE_SECONDS, run))
                else:
                    on_outcome(Outcome(run, record, fresh=True))


def _result(future: Any, run: Run, store: Store) -> Record | None:
    try:
        return future.result()
    except CancelledError:
        return None
    except ProcessExpired as error:
        record = unfinished(
            run,
            FAILED,
            f"the worker process died (exit code {error.exitcode}); it may have been killed, or out of memory",
        )
    store.write(record)
    return record


def warm_up() -> None:
    """Let the server that workers fork from import torch and Lightning in the background, while the plan is made."""
    context = _context()
    if context.get_start_method() == "forkserver":
        from multiprocessing.forkserver import ensure_running

        ensure_running()


def _context() -> Any:
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["normlib.training.run", "sklearn.datasets"])
    return context


@contextmanager
def _pool(jobs: int, plugins: Sequence[str]) -> Iterator[ProcessPool]:
    """A pebble pool whose processes fork from a server that has imported torch once (where the system can fork)."""
    pool = ProcessPool(jobs, context=_context(), initializer=_start_worker, initargs=[list(plugins), list(sys.path)])
    try:
        yield pool
        pool.close()
    except BaseException:
        pool.stop()
        raise
    finally:
        pool.join()


def _start_worker(plugins: Sequence[str], path: Sequence[str]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle: it stops the pool
    sys.path[:] = path
    os.environ["OMP_NUM_THREADS"] = "1"
    for plugin in plugins:
        load_plugin(plugin)
