"""Checks that plain Hydra multirun, with any launcher, leaves the records that the plan of the same axes names."""

from __future__ import annotations

from pathlib import Path

import pytest

from normlib.experiments.plan import make_plan
from normlib.hydra_app import multirun
from normlib.results.store.store import Store
from tests.experiments.tiny_sweeps import TINY, files_in, ids, write_plugin

# An arm file, floats in two spellings, a null, a quoted string and a setting of the norm's.
AXES = [
    "norm=layer,group8", "optimizer.lr=1e-2", "site.norm_batch_size=null,4", 'site.activation="tanh"', "norm.eps=1e-3",
]  # fmt: skip


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for folder in ("norm", "experiment"):
        (tmp_path / "conf" / folder).mkdir(parents=True)
    (tmp_path / "conf" / "norm" / "group8.yaml").write_text("defaults:\n  - group\nnum_groups: 4\n")
    (tmp_path / "conf" / "experiment" / "own.yaml").write_text(
        "# @package _global_\nhydra:\n  sweeper:\n    params:\n      norm: layer,none\n      seed: 0,1\n"
    )
    return tmp_path


def stored_ids(experiment: str) -> set[str]:
    return {record.id for record in Store("results", experiment).scan().records}


def test_basic_launcher(place: Path) -> None:
    statuses = multirun([*TINY, *AXES], ["conf"], [], True)
    assert statuses == ["done"] * 4
    assert stored_ids("train") == ids(make_plan([*TINY, *AXES], ["conf"], comparison=False))
    assert {name.partition("/")[0] for name in files_in(place)} == {"conf", "results"}
    assert not (place / "results" / ".hydra").exists()


def test_axes_of_an_experiment_file(place: Path) -> None:
    overrides = [*TINY, "experiment=own", "seed=1"]  # of the file's two axes, one is replaced
    assert multirun(overrides, ["conf"], [], True) == ["done", "done"]
    assert stored_ids("own") == ids(make_plan(overrides, ["conf"]))


def test_a_launcher_that_works_in_other_processes(place: Path) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="hydra-joblib-launcher is not installed")
    plugin = write_plugin(place, "plain", "my_norm")  # which the other process has to load for itself
    overrides = [*TINY, f"plugins=[{plugin}]", "norm=group8,my_norm", "seed=0"]
    flags = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    assert multirun([*overrides, *flags], ["conf"], [], True) == ["done", "done"]
    assert stored_ids("train") == ids(make_plan(overrides, ["conf"], comparison=False))
