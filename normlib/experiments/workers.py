"""The processes that do runs: forked, if the system can, from one server that has imported torch once."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pebble import CONSTS, ProcessPool

from normlib.plugins import load_plugin, safe_path
from normlib.stopping import signals_held

if TYPE_CHECKING:
    from normlib.experiments.shipping import Parcel

LOCK_SECONDS = 3  # a worker holds the pool's pipe for milliseconds; one that is killed meanwhile holds it forever


def warm_up() -> None:
    """Let the server that workers fork from import torch and Lightning in the background, while the plan is made.

    The server and its workers do not import from the caller's folder. They ignore Ctrl-C: the parent stops them.
    """
    context = _context()
    if context.get_start_method() == "forkserver":
        from multiprocessing import resource_tracker
        from multiprocessing.forkserver import ensure_running

        with safe_path():
            resource_tracker.ensure_running()  # otherwise it starts with the server, and unblocks the signal
            with signals_held([signal.SIGINT]):
                ensure_running()


def _context() -> Any:
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["normlib.training.run", "sklearn.datasets"])
    return context


@contextmanager
def worker_pool(jobs: int, plugins: Sequence[str], typed: Sequence[Parcel]) -> Iterator[ProcessPool]:
    """A pebble pool whose processes fork from a server that has imported torch once (where the system can fork)."""
    warm_up()
    pool = ProcessPool(
        jobs,
        context=_context(),
        initializer=_start_worker,
        initargs=[list(plugins), list(sys.path), os.getcwd(), typed],
    )
    try:
        with signals_held():  # a stop during a start would leave a worker that complains
            _ = pool.active  # reading it starts the pool
        yield pool
        pool.close()
    except BaseException:
        pool.stop()
        raise
    finally:
        pool.join()


def _start_worker(plugins: Sequence[str], path: Sequence[str], folder: str, typed: Sequence[Parcel]) -> None:
    sys.path[:] = path
    os.chdir(folder)  # the server may have started elsewhere, and the user's files are named from here
    os.environ["OMP_NUM_THREADS"] = "1"
    CONSTS.channel_lock_timeout = LOCK_SECONDS  # then the workers give up, and a new pool continues
    for plugin in plugins:
        load_plugin(plugin)
    if typed:
        from normlib.experiments.shipping import unpack

        unpack(typed)
