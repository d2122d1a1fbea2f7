"""The code behind a run, as hashes: an edited norm gets a new run id, a changed comment does not.

Hashes syntax trees without docstrings, of a class's file, of its base classes' files, and of the sibling files that
these import. This file runs none of the code it reads.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from normlib.registry import RegistryError

FOREIGN = ("torch", "pytorch_lightning", "builtins", "abc", "typing", "collections", "torchvision", "timm")


def class_hash(cls: type) -> str:
    """16 hexadecimal digits for the source of a class, its bases and the sibling files that they import."""
    files: set[Path] = set()
    for base in cls.__mro__:
        if base.__module__.partition(".")[0] not in FOREIGN:
            try:
                source = Path(str(inspect.getsourcefile(base)))
            except (OSError, TypeError):
                source = Path("")
            if not source.is_file():
                raise RegistryError(
                    f"{cls.__qualname__} has no source file, but a run's id is a hash of the code behind it: put the class "
                    "into a file, my_norm.py, and name that with plugins=[my_norm.py]"
                )
            depth = base.__module__.count(".")
            _collect(source, source.parents[depth], base.__module__.partition(".")[0], files)
    return _combined(files)


def files_hash(names: Iterable[str]) -> str:
    """16 hexadecimal digits for files of normlib's own, named from its package folder."""
    return _combined({Path(__file__).parents[1] / name for name in names})


def syntax_hash(source: str) -> str:
    """The hash of a source text's syntax tree without docstrings, the same in every Python version and layout."""
    return hashlib.sha256(repr(_plain(_without_docstrings(ast.parse(source)))).encode()).hexdigest()[:16]


def _combined(files: set[Path]) -> str:
    parts = sorted((path.name, _file_hash(path, path.stat().st_mtime_ns)) for path in files)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


@functools.lru_cache(maxsize=256)
def _file_hash(path: Path, modified: int) -> str:
    return syntax_hash(path.read_text())


def _collect(path: Path, root: Path, package: str, files: set[Path]) -> None:
    """Add a file and, again and again, the modules of its own project that it imports (a package's __init__ left out).

    These lie beside it, or belong to `package`, which lies in the folder `root`. Where the project is installed, and what
    else is installed there, changes nothing.
    """
    if path in files:
        return
    files.add(path)
    for node in ast.walk(ast.parse(path.read_text())):
        for module in _imported(node, path, root, package):
            file = module.with_name(f"{module.name}.py")
            if file.is_file() and file.name != "__init__.py":
                _collect(file, root, package, files)


def _imported(node: ast.AST, path: Path, root: Path, package: str) -> list[Path]:
    """Where the modules that a statement may import would lie, without their ending."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        own = node.module or ""
        names = [own, *(f"{own}.{alias.name}".lstrip(".") for alias in node.names)]  # a name may be a module too
    else:
        return []
    names = [name for name in names if name]
    if isinstance(node, ast.ImportFrom) and node.level:
        return [path.parents[node.level - 1].joinpath(*name.split(".")) for name in names]
    beside = [path.parent / name.rpartition(".")[2] for name in names]
    return beside + [root.joinpath(*name.split(".")) for name in names if name.startswith(f"{package}.")]


def _without_docstrings(tree: ast.AST) -> ast.AST:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:]
    return tree


def _plain(node: Any) -> Any:
    """A tree as nested tuples; empty fields are left out, because new Python versions add such fields."""
    if isinstance(node, ast.AST):
        fields = ((name, _plain(value)) for name, value in ast.iter_fields(node))
        return (type(node).__name__, *((name, value) for name, value in fields if value not in (None, ())))
    if isinstance(node, list):
        return tuple(_plain(item) for item in node)
    return repr(node) if node is not None else None
