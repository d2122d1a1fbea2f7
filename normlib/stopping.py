"""The end that a signal asks for: Ctrl-C, SIGTERM and SIGHUP each stop the work once, and what is begun is wound up.

For a process that normlib has to itself, as the command line does; a notebook keeps its own handlers.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Collection, Iterator
from types import FrameType

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Stopped(BaseException):
    """The process was asked to end by the signal with the number `signal`; no `except Exception` holds it up."""

    def __init__(self, number: int) -> None:
        self.signal = number
        super().__init__(f"stopped by {signal.Signals(number).name}")


@contextlib.contextmanager
def signals_held(numbers: Collection[int] = SIGNALS) -> Iterator[None]:
    """Signals that come inside the block wait for its end; a process that is started there never hears of them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def ignore_signals() -> None:
    """From now on nothing but SIGKILL ends the process early: it is about to end by itself."""
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)


def stop_on_signals() -> None:
    """From now on the first such signal raises Stopped (Ctrl-C: KeyboardInterrupt) in the main thread.

    Later ones are ignored: winding up takes seconds at most, and an exception in the midst of it would leave its files.
    A signal that is ignored already, as under nohup, stays so.
    """

    begun = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal begun
        ignore_signals()
        if not begun:  # others may put this handler back, as Lightning does when it ends
            begun = True
            raise KeyboardInterrupt if number == signal.SIGINT else Stopped(number)

    for each in SIGNALS:
        if signal.getsignal(each) is not signal.SIG_IGN:
            signal.signal(each, stop)
