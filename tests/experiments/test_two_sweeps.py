"""Checks that two sweeps on one folder share the work: no run is trained twice, and both end with the same table."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

from normlib.experiments.plan import make_plan
from tests.experiments.sweeping_process import sweep
from tests.experiments.tiny_sweeps import TINY, contents, ids, write_plugin

PATIENCE_SECONDS = 120  # far beyond the few seconds that it takes; only a deadlock lasts so long


def test_two_at_once(tmp_path: Path) -> None:
    plugin = write_plugin(tmp_path, "meeting")  # so that neither sweep can be through before the other begins
    overrides = [*TINY, f"plugins=[{plugin}]", "norm=meeting", "seed=range(6)", "jobs=1", f"results_dir={tmp_path}"]
    done = [tmp_path / "done-1", tmp_path / "done-2"]
    other = multiprocessing.get_context("forkserver").Process(target=sweep, args=(overrides, done[1]))
    other.start()
    sweep(overrides, done[0])
    other.join(PATIENCE_SECONDS)
    if other.is_alive():
        other.kill()
    assert other.exitcode == 0
    trained_sites = (tmp_path / "count").read_text().splitlines()
    assert len(trained_sites) == 6 * 2  # six seeds, two sites each: none was trained twice
    assert len(set(trained_sites)) == 2  # by both
    assert set(contents(tmp_path)) == ids(make_plan(overrides))
    assert done[0].read_text() == done[1].read_text()
    assert not (tmp_path / "comparison" / ".locks").exists()
