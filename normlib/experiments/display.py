"""A sweep as it goes on: live in a terminal, a bar in a notebook, plain lines anywhere else. Trains and writes nothing."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from normlib.experiments.execute import Outcome
from normlib.experiments.state import State, setting_of
from normlib.experiments.sweep import number_of_jobs
from normlib.notebook import Bar, in_notebook
from normlib.results.store.columns import ARM, arm_label
from normlib.results.store.record import DIVERGED, FAILED, Record
from normlib.results.study.metrics import SPLITS
from normlib.tasks.metric import Metric, shown
from normlib.training.spec import Run

LAST_RESULTS = 5
SECONDS_BETWEEN_LINES = 5.0


class SweepDisplay:
    """Shows done, running, failed, time left and the last results on a console."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.live: Live | None = None
        self.bar = Bar() if in_notebook(console) else None

    def start(self, state: State) -> None:
        self.metric = state.plan.settings["metric"]
        self.total = len(state.missing)
        self.jobs = min(number_of_jobs(state.plan.settings["jobs"]), max(self.total, 1))
        self.done = self.failed = self.diverged = 0
        self.work_left = {run.id: _work(run) for run in state.missing}
        self.all_work = sum(self.work_left.values())
        self.estimated = state.estimate().seconds / self.jobs
        self.last: deque[str] = deque(maxlen=LAST_RESULTS)
        self.started = self.last_line = time.monotonic()
        axes = {key: values for key, values in state.plan.axes.items() if len(values) > 1}
        self.shown_keys = [key for key in axes if key not in (ARM, "seed")]
        if state.plan.tuning is not None:
            self.shown_keys.append(state.plan.tuning.axis)
        there = len(state.plan.runs) - self.total - len(state.skipped)
        self.heading = (
            f"{state.title}: {len(state.plan.runs)} runs: {there} done before, {self.total} to do "
            f"in {self.jobs} processes, {len(state.skipped)} skipped"
        )
        if self.bar is not None:
            self._draw(self.bar)
            return
        self.console.print(self.heading, highlight=False)
        if self.total and self.console.is_terminal:
            self.progress = Progress(
                TextColumn("training"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.fields[left]}"),
                console=self.console,
            )  # fmt: skip
            self.task = self.progress.add_task("", total=self.total, left="")
            self.live = Live(
                get_renderable=self._renderable, console=self.console, refresh_per_second=4, transient=True
            )
            self.live.start()

    def running(self, run: Run) -> None:
        """A run was handed to the workers; nothing to show until it ends."""

    def ended(self, outcome: Outcome) -> None:
        record = outcome.record
        self.done += 1
        self.failed += record.status == FAILED
        self.diverged += record.status == DIVERGED
        self.work_left.pop(record.id, None)
        self.last.append(self._line(record))
        now = time.monotonic()
        if self.bar is not None:
            self._draw(self.bar, at_once=False)
        elif self.live is not None:
            self.progress.update(self.task, completed=self.done, left=self._left())
        elif now - self.last_line >= SECONDS_BETWEEN_LINES or self.done == self.total or record.status == FAILED:
            self.last_line = now
            self.console.print(f"{self._state()}; last: {self.last[-1]}", highlight=False, soft_wrap=True)

    def stop(self) -> None:
        if self.live is not None:
            self.live.stop()
            self.live = None
        if not getattr(self, "done", 0):
            return
        took = f"{self.done} runs in {time.monotonic() - self.started:.0f} s"
        if self.bar is not None:
            failed = f", {self.failed} failed" if self.failed else ""
            self.bar.show(f"{self.heading}: {took}{failed}")
        else:
            self.console.print(took, highlight=False)

    def _draw(self, bar: Bar, at_once: bool = True) -> None:
        """The sweep in a notebook: one output, which is drawn again as runs end."""
        if self.total:
            bar.show(self._state(), self.done, self.total, [self.heading, *self.last], at_once)
        else:
            bar.show(self.heading)

    def _renderable(self) -> Any:
        return Group(self.progress, Text(self._state()), *(Text(f"  {line}", style="dim") for line in self.last))

    def _state(self) -> str:
        running = min(self.jobs, self.total - self.done)
        parts = [f"{self.done}/{self.total} done", f"{running} running", f"{self.failed} failed"]
        if self.diverged:
            parts.append(f"{self.diverged} diverged")
        return ", ".join([*parts, self._left()])

    def _left(self) -> str:
        """The time left: by the share of the work that is done, once there is enough of it to judge by."""
        left, elapsed = sum(self.work_left.values()), time.monotonic() - self.started
        finished = self.all_work - left
        seconds = elapsed * left / finished if finished > 0.02 * self.all_work else self.estimated
        return f"about {duration(seconds)} left"

    def _line(self, record: Record) -> str:
        where = [
            arm_label(record.labels[ARM], record.control),
            *(f"{key}={value}" for key in self.shown_keys if (value := setting_of(record, key)) is not None),
            f"seed={record.spec['seed']}",
        ]
        if record.status == FAILED:
            return f"{' '.join(where)}: failed: {record.reason}"
        note = " (diverged)" if record.status == DIVERGED else ""
        return f"{' '.join(where)}: {self._figure(record)}{note}"

    def _figure(self, record: Record) -> str:
        """The metric that is compared, on the test split, or where it was measured."""
        known = {facts["name"]: Metric.from_facts(facts) for facts in record.metric_facts}
        name = self.metric or next(iter(known), None)
        split = next((each for each in SPLITS if name in record.metrics[each]), None)
        if name is None or split is None:
            return "done"
        metric = known.get(name, Metric(name))
        return f"{metric.title} {shown(metric, record.metrics[split][name])} on {split}"


def duration(seconds: float) -> str:
    """A time span as people write it: 41 s, 3 min 20 s, 2 h 5 min."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60} min"


def _work(run: Run) -> float:
    """Relative work of a run: its steps, each with a fixed part (about 16 samples' worth) and a part by samples."""
    return max(run.planned_steps, 1) * (16 + (run.spec["data"].get("batch_size") or 0))
