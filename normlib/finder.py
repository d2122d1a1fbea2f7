"""Imports among the files of a user's project: found in the project's folders, and only for the project's own files.

In: projects with their folders. Out: module specs, for Python's import system. Loads no module.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

from normlib.project import Project


class Finder(MetaPathFinder):
    """The last finder that Python asks. Imports by name from the file `loads_by_name` search the current folder."""

    def __init__(self, loads_by_name: Path) -> None:
        self.loads_by_name = loads_by_name
        self.folders: dict[Project, tuple[Path, ...]] = {}

    def serve(self, project: Project, folders: Sequence[Path]) -> None:
        """From now on, find the modules in `folders` for files of `project`."""
        self.folders[project] = tuple(folders)
        if self not in sys.meta_path:
            sys.meta_path.append(self)

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if path is not None:  # inside a package, which knows its own folder
            return None
        importer = _importing_file()
        for project, folders in self.folders.items():
            by_name = importer == self.loads_by_name and folders == (Path.cwd(),)
            if importer is not None and (by_name or project.has(importer)):
                found = PathFinder.find_spec(name, [os.fspath(folder) for folder in folders], target)
                if found is not None:
                    return found
        return None


def _importing_file() -> Path | None:
    """The file whose code runs the import."""
    frame = sys._getframe(2)
    while frame is not None and frame.f_globals.get("__name__", "").startswith(("importlib", "_frozen_importlib")):
        frame = frame.f_back  # type: ignore[assignment]
    file = frame.f_globals.get("__file__") if frame is not None else None
    return Path(file).resolve() if isinstance(file, str) else None
