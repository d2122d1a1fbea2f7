"""Checks what `import normlib` offers: every public name, and the verbs as functions."""

from __future__ import annotations

import ast
import builtins
from pathlib import Path

import pandas as pd
import pytest

import normlib
from normlib.experiments.complaints import ConfigError
from normlib.registry import RegistryError
from normlib.results.store.record import Record
from normlib.results.store.store import Store
from tests.experiments.tiny_sweeps import TINY, contents, files_in, statuses
from tests.results.factories import make_record


def test_every_public_name_is_there_and_listed() -> None:
    for name in (*normlib.__all__, *normlib._PUBLIC):
        assert getattr(normlib, name) is getattr(normlib, name)
    assert dir(normlib) == sorted({*normlib.__all__, *normlib._PUBLIC})
    with pytest.raises(AttributeError, match=r"'Batchnorm'.*BatchNorm"):
        _ = normlib.Batchnorm


def test_type_checkers_see_the_names_that_python_serves() -> None:
    tree = ast.parse(Path(normlib.__file__).read_text())
    imported = {
        alias.asname: (node.module, alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname
    }
    assert imported == normlib._PUBLIC
    assert (Path(normlib.__file__).parent / "py.typed").exists()


def test_a_star_import_brings_every_name_that_hides_none_of_pythons_own() -> None:
    hiding = set(vars(builtins)) & set(normlib._PUBLIC)
    assert hiding == {"list"}
    assert set(normlib.__all__) == {*normlib._PUBLIC, "__version__"} - hiding


def test_train_returns_a_record_and_trains_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    record = normlib.train(*TINY, "norm=layer", "seed=3")
    assert isinstance(record, Record) and record.status == "done"
    assert record.spec["seed"] == 3 and record.labels["norm"] == "layer" and record.steps == 3
    assert files_in(tmp_path) == {f"results/train/runs/{record.id}.json"}
    assert normlib.train(*TINY, "norm=layer", "seed=3") == record


def test_compare_returns_the_runs_in_whatever_folder_it_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in (tmp_path / "one", tmp_path / "two"):  # a notebook may change its folder between two sweeps
        folder.mkdir()
        monkeypatch.chdir(folder)
        frame = normlib.compare(*TINY, "norm=layer,none", "seed=0", "jobs=1", quiet=True)
        assert isinstance(frame, pd.DataFrame) and list(frame["status"]) == ["done", "done"]
        assert set(statuses(folder / "results")) == {("layer", 0), ("none", 0)}
        assert set(frame["id"]) == set(contents(folder / "results"))
    assert capsys.readouterr().out == ""


def test_results_are_loaded_and_compared_in_two_lines(tmp_path: Path) -> None:
    for norm, accuracy in (("batch", 0.9), ("group", 0.95)):
        for seed in range(6):
            record = make_record(norm=norm, seed=seed, accuracy=accuracy + seed / 1000)
            Store(tmp_path, "small_batch").write(record)
    runs = normlib.load_results(tmp_path / "small_batch")
    (compared,) = normlib.compare_arms(runs, baseline="batch").to_dict("records")
    assert (compared["arm"], compared["column"], compared["n"]) == ("group", "32", 6)
    assert compared["difference"] == pytest.approx(0.05) and compared["p"] == 2 / 2**6


@pytest.mark.parametrize(
    ("overrides", "error"),
    [(["norm=grup"], ConfigError), (["norm=batch,layer"], ConfigError), (["plugins=[none.py]"], RegistryError)],
)
def test_bad_input_is_an_error_of_ours(overrides: list[str], error: type[Exception]) -> None:
    with pytest.raises(error):
        normlib.train(*TINY, *overrides)


def test_no_public_name_is_that_of_a_module() -> None:
    """Whoever imports the module would find it in the place of the function, as `normlib.names`."""
    modules = {path.stem for path in Path(normlib.__file__).parent.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert not modules & set(dir(normlib))
