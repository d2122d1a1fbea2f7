"""Ctrl-C, SIGTERM and SIGHUP each stop the work once, and what has begun is cleaned up.

This is for a process of normlib's own, as on the command line. A notebook keeps its own handlers.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Collection, Iterator
from types import FrameType

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Stopped(BaseException):
    """The process was asked to end by the signal with the number `signal`. No `except Exception` catches it."""

    def __init__(self, number: int) -> None:
        self.signal = number
        super().__init__(f"stopped by {signal.Signals(number).name}")


@contextlib.contextmanager
def signals_held(numbers: Collection[int] = SIGNALS) -> Iterator[None]:
    """Signals that arrive inside the block wait for its end. A process that is started there never gets them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def ignore_signals() -> None:
    """From now on only SIGKILL ends the process early. It is about to end anyway."""
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)


def stop_on_signals() -> None:
    """From now on the first such signal raises Stopped (Ctrl-C: KeyboardInterrupt) in the main thread.

    Later ones are ignored: cleaning up takes seconds at most, and an exception in the middle would leave files behind.
    A signal that is already ignored, as under nohup, stays ignored.
    """

    begun = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal begun
        ignore_signals()
        if not begun:  # others may restore this handler, as Lightning does when it ends
            begun = True
            raise KeyboardInterrupt if number == signal.SIGINT else Stopped(number)

    for each in SIGNALS:
        if signal.getsignal(each) is not signal.SIG_IGN:
            signal.signal(each, stop)
