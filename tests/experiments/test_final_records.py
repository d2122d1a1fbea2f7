"""Checks that a final record stands: against a sweep that slept, a failure, weights that cannot be saved, old knowledge."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from normlib.cli import main
from normlib.experiments.execute import RunDestination, do_run
from normlib.experiments.plan import make_plan, make_run
from normlib.experiments.state import progress_of
from normlib.experiments.sweep import run_missing
from normlib.results.store.record import Record
from normlib.results.store.store import Store
from tests.experiments.processes import started, wait_for, workers
from tests.experiments.tiny_sweeps import TINY, Watcher, contents, statuses, write_plugin
from tests.results.factories import make_record

FAILED = {"status": "failed", "reason": "boom", "hashes": {}, "metrics": {}, "curves": {}, "steps": 0}
DIVERGED = {"status": "diverged", "reason": "not finite"}
SKIPPED = {"status": "skipped", "reason": "no positions", "hashes": {}, "metrics": {}, "curves": {}, "steps": 0}


def of(values: dict[str, object]) -> Record:
    return replace(make_record(), **values)


@pytest.mark.parametrize(
    ("standing", "new", "stays"),
    [
        ({}, FAILED, True), (DIVERGED, FAILED, True), (SKIPPED, FAILED, True), ({}, SKIPPED, True), (DIVERGED, {}, True),
        ({}, {"metrics": {**make_record().metrics, "test": {"loss": 1.0, "accuracy": 0.1, "samples": 300}}}, True),
        (FAILED, {}, False), (FAILED, DIVERGED, False), (FAILED, SKIPPED, False), (FAILED, FAILED | {"reason": "bang"}, False),
        (SKIPPED, {}, False), ({}, {"labels": {**make_record().labels, "stage": "fixed"}}, False),
    ],
)  # fmt: skip
def test_what_replaces_what(standing: dict, new: dict, stays: bool, tmp_path: Path) -> None:
    store = Store(tmp_path, "comparison")
    first, second = of(standing), of(new)
    store.write(first)
    assert store.write(second) == (first if stays else second)
    assert store.scan().records == ((first if stays else second),)


def sweep(folder: Path) -> list[str]:
    """`compare` of one run of the waiting norm."""
    return [
        "compare",
        *TINY,
        f"plugins=[{folder}/my_waiting.py]",
        "norm=waiting",
        "seed=0",
        "jobs=1",
        f"results_dir={folder}/results",
    ]


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="workers are found through /proc")
def test_a_sweep_that_slept_while_its_worker_died_leaves_the_record_of_another(tmp_path: Path) -> None:
    write_plugin(tmp_path, "waiting")
    results = tmp_path / "results"
    store = Store(results, "comparison")
    with started(sweep(tmp_path), tmp_path) as sleeper:
        wait_for(lambda: any(store.locks.glob("*.lock")), "the run to begin")
        os.kill(sleeper.pid, signal.SIGSTOP)
        for process in workers(sleeper.pid):
            os.kill(process, signal.SIGKILL)
        (tmp_path / "open").touch()
        with started(sweep(tmp_path), tmp_path) as other:
            assert other.wait(60) == 0
        done = contents(results)
        assert set(statuses(results).values()) == {"done"}
        os.kill(sleeper.pid, signal.SIGCONT)
        assert sleeper.wait(60) == 0, "all that it was to do is done"
    assert contents(results) == done


def test_weights_that_cannot_be_saved_leave_the_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", *TINY, "norm=layer", f"results_dir={tmp_path}"]
    assert main(words) == 0
    before = contents(tmp_path, "train")
    (run_id,) = before
    weights = tmp_path / "train" / "weights"
    weights.write_text("a file where the folder should be")
    assert main([*words, "save_weights=true"]) == 1
    assert contents(tmp_path, "train") == before
    shown, complaint = capsys.readouterr()
    assert f"{weights}" in complaint and "done: " in shown and len(complaint.splitlines()) == 1
    weights.unlink()
    assert main([*words, "save_weights=true"]) == 0
    file = weights / f"{run_id}.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    assert main([*words, "save_weights=true"]) == 0
    assert file.read_bytes() == whole and contents(tmp_path, "train") == before
    file.unlink()
    file.mkdir()
    assert main([*words, "save_weights=true"]) == 1
    assert contents(tmp_path, "train") == before


def test_a_sweep_tells_of_weights_that_cannot_be_saved(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    words = ["compare", *TINY, "norm=layer", "seed=0,1", "jobs=1", f"results_dir={tmp_path}", "save_weights=true"]
    (tmp_path / "comparison").mkdir()
    (tmp_path / "comparison" / "weights").write_text("a file")
    assert main(words) == 1
    assert set(statuses(tmp_path).values()) == {"done"}
    assert capfd.readouterr().out.count("results are written to") == 2


def test_weights_are_not_put_beside_a_record_of_other_figures(tmp_path: Path) -> None:
    """As where the record came from another machine, whose arithmetic differs in the last bit."""
    run, settings = make_run([*TINY, "norm=layer", f"results_dir={tmp_path}", "save_weights=true"])
    destination = RunDestination(Store(tmp_path, "train"), Path(settings["data_dir"]), save_weights=True)
    first = do_run(run, RunDestination(destination.store, destination.data_dir))
    assert first is not None
    path = destination.store.path(run.id)
    metrics = {**first.record.metrics, "test": {**first.record.metrics["test"], "loss": 0.125}}
    elsewhere = replace(first.record, metrics=metrics)
    path.write_text(elsewhere.to_json())
    outcome = do_run(run, destination)
    assert outcome is not None and outcome.record == elsewhere
    assert "disagrees with its record on the metrics" in str(outcome.problem)
    assert not destination.weights_file(run.id).exists()
    assert destination.store.read(run.id) == elsewhere


def test_labels_are_changed_on_the_record_that_stands(tmp_path: Path) -> None:
    """A sweep looks, another one does the failed run meanwhile, and the first one has labels to write."""
    plan = make_plan([*TINY, "norm=layer", "seed=0", "jobs=1", f"results_dir={tmp_path}", "retry_failed=false"])
    run_missing(plan, Watcher())
    store = Store(tmp_path, "comparison")
    (done,) = store.scan().records
    failed = replace(
        done, status="failed", reason="boom", labels={**done.labels, "norm": "old"}, hashes={}, metrics={}, curves={}
    )
    store.path(done.id).write_text(failed.to_json())
    old = progress_of(plan)
    store.write(done)
    from normlib.experiments.sweep import _relabelled

    assert _relabelled(old.plan.runs[0], old.records[done.id], store) == done
    assert store.scan().records == (done,)


def test_a_broken_file_in_place_of_a_skipped_record_is_not_lost(tmp_path: Path) -> None:
    plan = make_plan([*TINY, "norm=instance,layer", "seed=0", "jobs=1", f"results_dir={tmp_path}"])
    run_missing(plan, Watcher())
    store = Store(tmp_path, "comparison")
    skipped = next(record for record in store.scan().records if record.status == "skipped")
    store.path(skipped.id).write_text("half a rec")
    run_missing(plan, Watcher())
    assert (store.runs / f"{skipped.id}.json.broken-1").read_text() == "half a rec"
    assert statuses(tmp_path)["instance", 0] == "skipped"


def test_temporary_files_of_dead_processes_go_at_once(tmp_path: Path) -> None:
    from normlib.results.store.files import _machine

    store = Store(tmp_path, "comparison")
    store.write(make_record())
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    names = {f".a.json.{_machine()}-{dead.pid}-0123abcd.tmp": False, f".b.json.{_machine()}-{os.getpid()}-0123abcd.tmp": True,
             f".c.json.0a0a0a0a-{dead.pid}-0123abcd.tmp": True}  # fmt: skip
    store.weights.mkdir()
    for folder in (store.runs, store.weights):
        for name in names:
            (folder / name).touch()
    store.clean()
    for folder in (store.runs, store.weights):
        assert {name: (folder / name).exists() for name in names} == names
