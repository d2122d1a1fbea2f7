"""Sweeps that take milliseconds a run, plugin norms that misbehave on demand, and what a folder of records tells."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from normlib.experiments.basis import COMPARISON
from normlib.experiments.execute import Outcome
from normlib.experiments.plan import Plan
from normlib.experiments.state import State
from normlib.results.store.store import Store
from normlib.training.spec import Run

TASK = [
    "model=mlp", "model.width=8", "model.depth=2", "data=synthetic", "data.shape=[4]", "data.train=64",
    "data.validation=32", "data.test=32", "accelerator=cpu",
]  # fmt: skip
TINY = [*TASK, "data.batch_size=8", "training.steps=3"]
"""A run of three steps of a 4-8-8-10 network on 64 samples."""

PLUGIN = '''
"""A norm for tests; its forward pass does something first."""
import os, signal, time
from pathlib import Path
import normlib

HERE = Path({folder!r})

@normlib.register("{name}", statistics_over="nothing")
class Norm(normlib.Norm):
    """Passes its input through."""
    def normalize(self, x):
        if x.device.type != "meta" and self.training:
            {action}
        return x
'''
ACTIONS = {
    "plain": "pass",
    "lethal": "if not (HERE / 'mended').exists(): os.kill(os.getpid(), signal.SIGKILL)",
    # Once, while it hands a finished run over, which holds the pipe that all workers share.
    "lethal_when_done": "if not (HERE / 'mended').exists():\n"
    "                (HERE / 'mended').touch()\n"
    "                from normlib.experiments.execute import Outcome\n"
    "                Outcome.__reduce__ = lambda self: os.kill(os.getpid(), signal.SIGKILL)",
    "raising": "if not (HERE / 'mended').exists(): raise RuntimeError('boom from the plugin')",
    # One line for each trained run: a new module object is a new run.
    "counting": "getattr(self, 'seen', None) or (HERE / 'count').open('a').write(f'{os.getpid()}\\n'); self.seen = True",
    # As counting; the first run does not go on before another process has begun a run too.
    "meeting": "(getattr(self, 'seen', None) or (HERE / 'count').open('a').write(f'{os.getpid()}\\n')); self.seen = True\n"
    "            while len(set((HERE / 'count').read_text().split())) < 2: time.sleep(0.01)",
    "waiting": "while not (HERE / 'open').exists(): time.sleep(0.01)",
}


def write_plugin(folder: Path, kind: str, name: str | None = None) -> str:
    """Write a plugin file with a norm of one of the kinds in ACTIONS and return its path."""
    file = folder / f"my_{kind}.py"
    file.write_text(PLUGIN.format(folder=str(folder), name=name or kind, action=ACTIONS[kind]))
    return str(file)


def contents(results_dir: Path, experiment: str = COMPARISON) -> dict[str, bytes]:
    """The records of a folder, by default that of comparisons without a name, byte for byte, by run id."""
    return {file.stem: file.read_bytes() for file in sorted(Store(results_dir, experiment).runs.glob("*.json"))}


def statuses(results_dir: Path, experiment: str = COMPARISON) -> dict[tuple[str, int], str]:
    """The status of each record by its norm's label and its seed."""
    scan = Store(results_dir, experiment).scan()
    assert not scan.problems
    return {(record.labels["norm"], record.spec["seed"]): record.status for record in scan.records}


def files_in(folder: Path) -> set[str]:
    """Every file below a folder, as relative paths."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def ids(plan: Plan) -> set[str]:
    return {run.id for run in plan.runs}


class Watcher:
    """A display that remembers which runs it was told of."""

    def __init__(self) -> None:
        self.ended_runs: list[str] = []
        self.started_with: Sequence[Run] = ()
        self.stopped = False

    def start(self, state: State) -> None:
        self.started_with = state.missing

    def running(self, run: Run) -> None:
        pass

    def ended(self, outcome: Outcome) -> None:
        self.ended_runs.append(outcome.run.id)

    def stop(self) -> None:
        self.stopped = True
