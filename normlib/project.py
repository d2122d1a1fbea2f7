"""The files of a module's own project: the module's file, and those of everything that it imports from there.

In: a loaded module. Out: files with their names in the project. Loaded modules are found as Python has found them.
Others, such as imports inside a function, are found as Python would. Each installed package is its own project; the
standard library and all else that is installed never count. Runs none of the code.
"""

from __future__ import annotations

import ast
import functools
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
IMPORTING_CALLS = ("import_module", "__import__")
NORMLIB = Path(__file__).resolve().parent
STANDARD_LIBRARY = Path(sysconfig.get_path("stdlib"))


@dataclass(frozen=True)
class Project:
    """Where a project's modules are: below the folder `root`, or only below `root`/`package` if that is not "".

    `without`: folders below it that do not belong to it.
    """

    root: Path
    package: str = ""
    without: tuple[Path, ...] = ()

    def has(self, path: Path) -> bool:
        """Whether a file belongs to the project."""
        text = str(path)
        if not text.startswith(os.path.join(self.root, self.package, "")):
            return False
        if any(text == str(other) or text.startswith(os.path.join(other, "")) for other in self.without):
            return False
        return bool(self.package) or not any(name in text[len(str(self.root)) :] for name in INSTALLED)

    def name(self, path: Path) -> str:
        """A file's name in the project, the same wherever the project is."""
        return path.relative_to(self.root).as_posix()


def project_of(module: ModuleType) -> Project | None:
    """The project that a module belongs to. None for a module without a file. An installed one is its top-level package."""
    file = file_of(module)
    if file is None:
        return None
    depth = module.__name__.count(".") + (file.stem == "__init__")
    root = file.parents[depth]
    while (root / "__init__.py").is_file():  # a file of a package, loaded by its path
        root = root.parent
    installed = any(name in str(file) for name in INSTALLED) or file.is_relative_to(STANDARD_LIBRARY)
    own = file.is_relative_to(NORMLIB)  # in a checkout, normlib's folder may be beside a plugin
    return Project(root, file.relative_to(root).parts[0] if installed else "", without=() if own else (NORMLIB,))


def file_of(module: ModuleType) -> Path | None:
    """The file that a module was loaded from. None without one, as in a notebook."""
    name = vars(module).get("__file__")  # not by getattr, which makes some modules import others
    return _existing(name) if isinstance(name, str) else None


@functools.lru_cache(maxsize=8192)
def _existing(name: str) -> Path | None:
    path = Path(name).resolve()
    return path if path.is_file() else None


def own_files(modules: Iterable[ModuleType], project: Project) -> dict[str, Path]:
    """The project's files behind modules, by their names in it: the modules' own, and what these import from there."""
    files: dict[str, Path] = {}
    waiting = [file for file in map(file_of, modules) if file is not None]
    seen: set[Path] = set()
    while waiting:
        file = waiting.pop()
        if file not in seen:
            seen.add(file)
            if project.has(file):
                files[project.name(file)] = file
                waiting += _imported(file, project)
    return files


def _imported(file: Path, project: Project) -> Iterator[Path]:
    package = file.parent.relative_to(project.root).parts
    for level, name in imports(file.read_bytes()):
        if level:  # relative to the package, and so within the project
            base = package[: len(package) - level + 1]
            yield from _files(".".join((*base, name) if name else base), [project.root])
        else:
            yield from _files(name, [file.parent, project.root])


def _files(name: str, folders: Iterable[Path]) -> Iterator[Path]:
    """The files that run when a module is imported by its full name: its own, and those of the packages above it."""
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        loaded = sys.modules.get(".".join(parts[:end]))
        if loaded is not None:
            file = file_of(loaded)
            if file is not None:
                yield file
            continue
        for folder in folders:
            path = folder.joinpath(*parts[:end])
            found = next(
                (each for each in (path / "__init__.py", path.with_name(f"{path.name}.py")) if each.is_file()), None
            )
            if found is not None:
                yield found.resolve()
                break


@functools.lru_cache(maxsize=1024)
def imports(source: bytes) -> tuple[tuple[int, str], ...]:
    """The modules that a source may import, as (leading dots, name). A name after `from` may also be a module."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):  # compiled code
        return ()
    found: dict[tuple[int, str], None] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {(0, alias.name): None for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            own = node.module or ""
            names = [own, *(f"{own}.{alias.name}".lstrip(".") for alias in node.names if alias.name != "*")]
            found |= {(node.level, name): None for name in names if name or node.level}
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = getattr(node.func, "attr", getattr(node.func, "id", None))
            if called in IMPORTING_CALLS and isinstance(node.args[0].value, str):
                name = node.args[0].value
                found[len(name) - len(name.lstrip(".")), name.lstrip(".")] = None
    return tuple(found)


def shadowed(files: Mapping[str, Path], project: Project) -> tuple[str, Path] | None:
    """A top-level name of the project that one of the files imports, although another module has the name; and its file."""
    for file in files.values():
        for level, name in imports(file.read_bytes()):
            top = name.partition(".")[0]
            loaded = sys.modules.get(top)
            if level or loaded is None:
                continue
            for path in _files_unloaded(top, [file.parent, project.root]):
                found = file_of(loaded)
                if found is None or not project.has(found):
                    return top, path
    return None


def _files_unloaded(top: str, folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        for path in (folder / top / "__init__.py", folder / f"{top}.py"):
            if path.is_file():
                yield path
