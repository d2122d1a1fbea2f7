"""Checks what a sweep shows: a live picture in a terminal, plain lines anywhere else, failures with their reasons."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from normlib.experiments.display import SweepDisplay, duration
from normlib.experiments.execute import Outcome
from normlib.experiments.plan import make_plan
from normlib.experiments.state import State, progress_of
from normlib.results.store.record import DIVERGED, DONE, FAILED
from tests.experiments.tiny_sweeps import TINY
from tests.results.factories import make_record


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> State:
    results: Path = tmp_path_factory.mktemp("results")
    axes = ["norm=layer,none,instance", "data.batch_size=8,16", "seed=0", "jobs=2", f"results_dir={results}"]
    return progress_of(make_plan([*TINY, *axes]))


def sweep(state: State, terminal: bool) -> str:
    """What is shown of a sweep in which the first run fails, the second diverges and the others are done."""
    console = Console(file=io.StringIO(), force_terminal=terminal, width=120)
    display = SweepDisplay(console)
    display.start(state)
    for number, run in enumerate(state.missing):
        display.running(run)
        record = make_record(
            id=run.id, labels=run.labels, spec=dict(run.spec), status=[FAILED, DIVERGED, DONE, DONE][number],
            reason="boom" if number == 0 else None, accuracy=0.875,
        )  # fmt: skip
        display.ended(Outcome(run, record))
        if display.live is not None:
            display.live.refresh()
    display.stop()
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_plain_lines_when_not_a_terminal(state: State) -> None:
    shown = sweep(state, terminal=False)
    assert "\x1b" not in shown and "\r" not in shown
    lines = shown.splitlines()
    assert lines[0] == "comparison: 6 runs: 0 done before, 4 to do in 2 processes, 2 skipped"
    failed = next(line for line in lines if "boom" in line)
    assert failed.startswith("1/4 done, 2 running, 1 failed") and "seed=0: failed: boom" in failed
    assert lines[-2].startswith("4/4 done, 0 running, 1 failed, 1 diverged") and "accuracy 87.50 % on test" in lines[-2]
    assert "data.batch_size=" in lines[-2], "an axis that varies is named"
    assert lines[-1].startswith("4 runs in ")
    assert len(lines) == 4, "not a line for each run"


def test_a_live_picture_in_a_terminal(state: State) -> None:
    shown = sweep(state, terminal=True)
    assert "\x1b[?25l" in shown and "\x1b[?25h" in shown, "the cursor is hidden, and shown again in the end"
    assert "3/4" in shown and "left" in shown and "boom" in shown and "(diverged)" in shown


def test_a_sweep_without_runs_shows_no_picture(state: State) -> None:
    nothing = State(state.plan, state.scan, {}, (), state.skipped)
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    display = SweepDisplay(console)
    display.start(nothing)
    display.stop()
    assert "0 to do" in console.file.getvalue() and display.live is None  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0 s"), (59.4, "59 s"), (59.6, "1 min 0 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")]
)
def test_time_spans(seconds: float, text: str) -> None:
    assert duration(seconds) == text
