"""Checks the way through a sweep: who is trained, who is tried again, and what a dying or raising norm costs."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from normlib.cli import main
from normlib.experiments.execute import WorkersError
from normlib.experiments.plan import Plan, make_plan
from normlib.experiments.sweep import progress_of, run_missing
from normlib.results.store.store import Store
from tests.experiments.processes import PATIENCE_SECONDS
from tests.experiments.tiny_sweeps import TINY, Watcher, contents, ids, statuses, write_plugin


def plan_in(results: Path, *overrides: str) -> Plan:
    return make_plan([*TINY, "jobs=2", f"results_dir={results}", *overrides])


def work(plan: Plan) -> Watcher:
    watcher = Watcher()
    run_missing(plan, watcher)
    assert watcher.stopped
    return watcher


def test_workers_can_start_before_torch_is_imported_here() -> None:
    check = "import sys, normlib.experiments.execute; sys.exit('torch' in sys.modules or 'pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check]).returncode == 0


def test_a_sweep_is_done_once_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    plugin = write_plugin(tmp_path, "counting")
    overrides = [f"plugins=[{plugin}]", "norm=counting,none"]
    first = plan_in(tmp_path, *overrides, "seed=0,1")
    watcher = work(first)
    assert sorted(watcher.ended_runs) == sorted(ids(first)) and len(first.runs) == 4
    before = contents(tmp_path)
    assert set(before) == ids(first)
    assert work(first).ended_runs == []
    wider = plan_in(tmp_path, *overrides, "seed=range(3)")
    assert set(work(wider).ended_runs) == ids(wider) - ids(first)
    assert {key: value for key, value in contents(tmp_path).items() if key in before} == before
    trained_sites = (tmp_path / "count").read_text().splitlines()
    assert len(trained_sites) == 3 * 2  # three seeds, two sites each
    assert len(set(trained_sites)) <= 2 * 2  # two sweeps with at most two workers each
    assert not Store(tmp_path, "comparison").locks.exists()


def test_a_broken_record_is_set_aside_and_its_run_done_again(tmp_path: Path) -> None:
    plan = plan_in(tmp_path, "norm=layer", "seed=range(3)")
    work(plan)
    before = contents(tmp_path)
    cut, edited, whole = sorted(before)
    store = Store(tmp_path, "comparison")
    store.path(cut).write_bytes(before[cut][:700])
    store.path(edited).write_bytes(before[edited].replace(b'"steps": 3', b'"steps": 4', 1))
    assert {run.id for run in progress_of(plan).missing} == {cut, edited}
    assert set(work(plan).ended_runs) == {cut, edited}
    assert set(statuses(tmp_path).values()) == {"done"} and contents(tmp_path)[whole] == before[whole]
    for run_id in (cut, edited):
        assert (store.runs / f"{run_id}.json.broken-1").is_file()


def test_a_skipped_run_leaves_a_record_and_is_never_trained(tmp_path: Path) -> None:
    plan = plan_in(tmp_path, "norm=instance,layer", "seed=0")
    assert len(work(plan).ended_runs) == 1
    assert statuses(tmp_path) == {("instance", 0): "skipped", ("layer", 0): "done"}
    record = next(r for r in Store(tmp_path, "comparison").scan().records if r.status == "skipped")
    assert "only one value" in str(record.reason) and record.steps == 0
    assert progress_of(plan).counts == {"done": 1, "skipped": 1}


def compare_with_misfortune(folder: Path, *more: str) -> int:
    """`compare` of a norm that kills its process and one that raises, beside one that is well."""
    plugins = ",".join(write_plugin(folder, kind) for kind in ("lethal", "raising"))
    norms = "norm=lethal,raising,layer"
    return main(["compare", *TINY, "jobs=2", f"results_dir={folder}", f"plugins=[{plugins}]", norms, "seed=0,1", *more])


def test_a_death_and_an_exception_cost_one_run_each(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert compare_with_misfortune(tmp_path) == 1
    assert statuses(tmp_path) == {
        (norm, seed): "done" if norm == "layer" else "failed"
        for norm in ("lethal", "raising", "layer")
        for seed in (0, 1)
    }
    for record in Store(tmp_path, "comparison").scan().records:
        if record.labels["norm"] == "lethal":
            assert "worker process died" in str(record.reason) and "-9" in str(record.reason)
        elif record.labels["norm"] == "raising":
            assert record.reason == "RuntimeError: boom from the plugin"
            assert "Traceback" in str(record.traceback) and "my_raising.py" in str(record.traceback)
    shown = capfd.readouterr().out
    assert "4 failed" in shown and "boom from the plugin" in shown

    before = contents(tmp_path)
    assert compare_with_misfortune(tmp_path, "retry_failed=false") == 1
    assert contents(tmp_path) == before, "failed runs are left alone when asked"

    (tmp_path / "mended").touch()
    assert compare_with_misfortune(tmp_path) == 0
    assert set(statuses(tmp_path).values()) == {"done"}
    after = contents(tmp_path)
    kept = {run_id for run_id in before if b'"status": "done"' in before[run_id]}
    assert len(kept) == 2 and all((before[i] == after[i]) == (i in kept) for i in before), "only failed runs again"


DYING = """
import multiprocessing, os, signal
from pathlib import Path
deaths = Path({deaths!r})
deaths.touch()
if multiprocessing.parent_process() is not None and len(deaths.read_text()) < {times}:
    deaths.write_text(deaths.read_text() + ".")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def dying_at_start(folder: Path, times: int) -> str:
    """A plugin that kills the process which imports it, so often, unless that is the first of them all."""
    plugin = Path(write_plugin(folder, "plain"))
    plugin.write_text(plugin.read_text() + DYING.format(deaths=str(folder / "deaths"), times=times))
    return str(plugin)


def test_a_worker_that_dies_while_it_starts_costs_no_run(tmp_path: Path) -> None:
    plan = plan_in(tmp_path, f"plugins=[{dying_at_start(tmp_path, 1)}]", "norm=plain", "seed=0,1", "jobs=1")
    work(plan)
    assert set(statuses(tmp_path).values()) == {"done"}
    assert set(contents(tmp_path)) == ids(plan)


def test_workers_that_always_die_end_in_a_message(tmp_path: Path) -> None:
    plan = plan_in(tmp_path, f"plugins=[{dying_at_start(tmp_path, 1000)}]", "norm=plain", "seed=0", "jobs=1")
    with pytest.raises(WorkersError, match="__main__"):
        work(plan)
    assert contents(tmp_path) == {}


def test_a_death_with_the_shared_pipe_in_hand_costs_no_run_and_few_seconds(tmp_path: Path) -> None:
    plugin = write_plugin(tmp_path, "lethal_when_done")
    began = time.monotonic()
    work(plan_in(tmp_path, f"plugins=[{plugin}]", "norm=lethal_when_done,layer", "seed=0,1"))
    assert set(statuses(tmp_path).values()) == {"done"}
    assert (tmp_path / "mended").exists() and time.monotonic() - began < PATIENCE_SECONDS


def test_weights_asked_for_later_are_made_and_the_record_stays_the_same(tmp_path: Path) -> None:
    work(plan_in(tmp_path, "norm=layer", "seed=0"))
    (before,) = Store(tmp_path, "comparison").scan().records
    plan = plan_in(tmp_path, "norm=layer", "seed=0", "save_weights=true")
    assert len(work(plan).ended_runs) == 1
    (after,) = Store(tmp_path, "comparison").scan().records
    assert (after.id, after.metrics, after.hashes) == (before.id, before.metrics, before.hashes)
    assert (tmp_path / "comparison" / "weights" / f"{after.id}.safetensors").is_file()
    assert work(plan).ended_runs == []
