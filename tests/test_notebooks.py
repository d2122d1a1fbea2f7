"""Checks the notebooks of examples/: each runs in an empty folder, and what is committed is what it shows.

Without nbclient and ipykernel (the `test` extra) only what is committed is checked.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.pages import ROOT

NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
MOST_BYTES = 300_000
MADE = "python examples/run_notebooks.py"


def _cells(path: Path) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]


def _shape(cells: list[Any]) -> list[list[tuple[str, tuple[str, ...]]]]:
    """For each cell its outputs by their kinds."""
    return [[(each["output_type"], tuple(sorted(each.get("data", ())))) for each in cell["outputs"]] for cell in cells]


def test_there_are_two_and_the_documents_link_to_them() -> None:
    assert [path.name for path in NOTEBOOKS] == ["compare.ipynb", "own_norm.ipynb"]
    page = (ROOT / "docs" / "from_python.md").read_text(encoding="utf-8")
    assert all(f"](../examples/{path.name})" in page for path in NOTEBOOKS)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_committed_small_with_outputs_and_without_traces_of_a_machine(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.encode()) < MOST_BYTES
    assert (
        re.findall(r"(?<![\w.:/])/(?:home|root|tmp|usr|work|Users|var|opt)/\S*|0x[0-9a-f]{6,}|[A-Z]:\\\\Users", text)
        == []
    )
    assert [cell["execution_count"] for cell in _cells(path)] == list(range(1, len(_cells(path)) + 1)), MADE
    kinds = {each["output_type"] for cell in _cells(path) for each in cell["outputs"]}
    assert kinds <= {"display_data", "execute_result", "stream"} and "execute_result" in kinds
    assert set(json.loads(text)["metadata"]) == {"kernelspec"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_runs_and_shows_what_is_committed(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reason = 'notebooks run with nbclient and ipykernel: `pip install -e ".[test]"`'
    for module in ("nbclient", "ipykernel"):
        pytest.importorskip(module, reason=reason)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    from examples.run_notebooks import executed

    folder = tmp_path / "run"
    folder.mkdir()
    notebook = executed(path, folder)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert _shape(cells) == _shape(_cells(path)), f"{path.name} shows something else now: {MADE}"
    streams = [each for cell in cells for each in cell.outputs if each.output_type == "stream"]
    assert all(each.name == "stdout" for each in streams), streams
    for cell in cells:
        if "normlib.compare(" in cell.source:  # one bar in the place of a line a run, and then the report
            bar, report = (each["data"]["text/html"] for each in cell.outputs)
            assert re.search(r"64 runs: 0 done before.* 64 runs in \d+ s", bar) and "<progress" not in bar
            assert "data:image/svg+xml" in report and "<table" in report and "failed" not in bar
