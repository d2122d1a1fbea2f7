"""Checks that a sweep which is disturbed at any moment ends, finished, as an undisturbed one: nothing lost, nothing repeated.

The moment and the victim are drawn: the parent, a worker or the whole group is killed, terminated, interrupted, or suspended
while another sweep goes on. A few cases in the suite; NORMLIB_KILLS=100 draws as many.
"""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from normlib.cli import main
from normlib.results.store.store import Store
from tests.experiments.processes import PATIENCE_SECONDS, group_is_gone, started, wait_for, workers
from tests.experiments.tiny_sweeps import TASK, contents, files_in, statuses

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="workers are found through /proc")

SWEEP = [
    "compare",
    *TASK,
    "data.batch_size=8",
    "training.steps=80",
    "norm=batch,layer,none",
    "seed=range(3)",
    "jobs=2",
]
RUNS = 4 * 3  # norms, the control and seeds
DISTURBANCES = [
    ("parent", "SIGKILL"), ("worker", "SIGKILL"), ("group", "SIGINT"), ("group", "SIGSTOP"), ("worker", "SIGTERM"),
    ("group", "SIGKILL"), ("parent", "SIGTERM"), ("worker", "SIGSTOP"),
]  # fmt: skip
# A process that a signal ends has the code 128 + n for a shell, whether it says so itself or Python does at its very end.
MAY_END_WITH = {
    "SIGKILL": {0, 1, -signal.SIGKILL}, "SIGTERM": {0, 1, 128 + signal.SIGTERM}, "SIGINT": {0, 128 + signal.SIGINT, -signal.SIGINT},
    "SIGSTOP": {0},
}  # fmt: skip
SEEDS = range(int(os.environ.get("NORMLIB_KILLS", "4")))
NOT_FIGURES = {
    "seconds",
    "seconds_training",
    "seconds_per_step",
    "samples_per_second",
    "peak_memory_bytes",
    "started",
    "ended",
    "environment",
}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("undisturbed")
    assert main([*SWEEP, f"results_dir={results}"]) == 0
    return results


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: f"{seed}-{'-'.join(DISTURBANCES[seed % len(DISTURBANCES)])}")
def test_a_disturbed_sweep_ends_as_an_undisturbed_one(seed: int, undisturbed: Path, tmp_path: Path) -> None:
    draw = random.Random(seed)
    victim, name = DISTURBANCES[seed % len(DISTURBANCES)]
    results = tmp_path / "results"
    words = [*SWEEP, f"results_dir={results}"]
    after, delay = draw.randrange(1, RUNS - 4), 0.3 * draw.random()
    with started(words, tmp_path) as process:
        wait_for(lambda: len(contents(results)) >= after and len(workers(process.pid)) == 2, f"{after} records")
        time.sleep(delay)
        target = {"parent": [process.pid], "worker": workers(process.pid)[:1], "group": [-process.pid]}[victim]
        for each in target:  # none where the workers are through by now
            os.kill(each, getattr(signal, name))
        if name == "SIGSTOP":
            with started(
                words, tmp_path
            ) as other:  # it goes on where the first one sleeps, and waits for what that one has
                time.sleep(2 * draw.random())
                os.killpg(process.pid, signal.SIGCONT)
                assert other.wait(PATIENCE_SECONDS) == 0
        shown, _ = process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode in MAY_END_WITH[name], shown
        assert "Traceback" not in shown
        wait_for(lambda: group_is_gone(process.pid), "everything to be gone")
    before = {run: text for run, text in contents(results).items() if b'"status": "failed"' not in text}
    assert main(words) == 0
    finished = contents(results)
    assert {run: finished[run] for run in before} == before, "no finished run is repeated or changed"
    assert set(statuses(results).values()) == {"done"}
    assert figures(results) == figures(undisturbed)
    left = {Path(file).name for file in files_in(results) if file.endswith((".tmp", ".lock")) or "broken" in file}
    assert not left
    for table in ("accuracy.csv", "differences.csv"):
        first, second = (folder / "comparison" / "tables" / table for folder in (undisturbed, results))
        assert first.read_text() == second.read_text()


def figures(results: Path) -> dict[str, object]:
    """Everything in the records but times and memory."""
    found = {}
    for record in Store(results, "comparison").scan().records:
        values = {key: value for key, value in record.to_dict().items() if key not in NOT_FIGURES}
        curves = {
            name: {k: v for k, v in curve.items() if k not in NOT_FIGURES} for name, curve in record.curves.items()
        }
        found[record.id] = values | {"curves": curves, "command": ""}
    return found


LONG = ["model.width=8", "training.steps=5000000", "norm=layer", "accelerator=cpu"]


@pytest.mark.parametrize(
    ("verb", "signals", "code"),
    [
        ("train", ["SIGTERM", "SIGHUP"], 128 + signal.SIGTERM),
        ("train", ["SIGINT"] * 3, 128 + signal.SIGINT),
        ("compare", ["SIGINT"] * 3, 128 + signal.SIGINT),
    ],
)
def test_a_stop_is_one_message_and_leaves_nothing(verb: str, signals: list[str], code: int, tmp_path: Path) -> None:
    """The second and third signal come while the work is wound up, as from an impatient user."""
    words = [verb, *LONG, *(["jobs=1", "seed=0"] if verb == "compare" else [])]
    locks = tmp_path / "results" / ("train" if verb == "train" else "comparison") / ".locks"
    with started(words, tmp_path) as process:
        wait_for(lambda: any(locks.glob("*.lock")), "the run to begin")
        time.sleep(0.5)
        for name in signals:
            send = os.killpg if name == "SIGINT" else os.kill  # a terminal sends it to all; `kill` means the parent
            send(process.pid, getattr(signal, name))
            time.sleep(0.05)
        shown, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == code
    assert shown.splitlines()[-1] == "stopped; every finished run is kept, and the same command goes on from here"
    assert "Traceback" not in shown and "KeyboardInterrupt" not in shown
    assert files_in(tmp_path) == set()
