"""Runs the notebooks beside this file and writes their outputs into them: `python examples/run_notebooks.py` (needs the `test` extra).

Each runs in an empty folder, so what it writes is gone afterwards. What differs from run to run, such as times and the kernel's
version, is not written.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

NOTEBOOKS = sorted(Path(__file__).parent.glob("*.ipynb"))
MOST_SECONDS = 300
"""That one cell may take."""


def executed(path: Path, folder: str | Path) -> nbformat.NotebookNode:
    """The notebook with the outputs of a run in `folder`. Raises nbclient's CellExecutionError where a cell fails."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=MOST_SECONDS, resources={"metadata": {"path": str(folder)}}).execute()
    notebook.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    for cell in notebook.cells:
        cell.metadata = {}
        for output in cell.get("outputs", ()):
            output.pop("transient", None)
            output.get("metadata", {}).clear()
    return notebook


if __name__ == "__main__":
    for path in NOTEBOOKS:
        with tempfile.TemporaryDirectory() as folder:
            nbformat.write(executed(path, folder), path)
