"""The code behind a run, as hashes. An edited norm gets a new run id; a changed comment does not.

Hashes syntax trees without docstrings. For a class of normlib, these count: its file, the files of its base classes,
and what these import. For any other class, these count: every module of its project that was loaded with it or that it may
import, and all of normlib that it can build on. The hash is the same in every Python version, folder, locale
and order of loading. None of the code is run.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from normlib.cells import cell_of, is_typed
from normlib.norms.plain import as_registered
from normlib.plugins import loaded_with
from normlib.project import NORMLIB, Project, own_files, project_of
from normlib.registry import RegistryError

FOREIGN = ("torch", "pytorch_lightning", "builtins", "abc", "typing", "collections", "torchvision", "timm")
ROOMS = ("norms", "models", "data")
"""What classes from outside normlib build on."""


def class_hash(cls: type | FunctionType) -> str:
    """16 hexadecimal digits for the source of a function, or of a class and its bases.

    If a class was made around a plain module or function, that one counts. For code typed into a notebook, the source
    of its cell counts, with all that it uses from other cells. Raises RegistryError for what has no source.
    """
    files: dict[str, Path] = {}
    texts: dict[str, str] = {}
    for each in _made_of(cls):
        module = sys.modules.get(each.__module__)
        project = None if module is None else project_of(module)
        if is_typed(each):
            cell = cell_of(each)
            texts[f"cell {cell.name}"] = cell.text
            for used in cell.modules:
                files |= _local_files(used)
        elif module is not None and each.__module__.partition(".")[0] == NORMLIB.name:
            files |= own_files([module], _own_project())
            continue
        elif module is not None and project is not None:
            files |= own_files(loaded_with(module), project)
        else:
            raise RegistryError(
                f"{each.__qualname__} does not come from a loaded module. A run's id is a hash of the code behind it: put the class into a "
                "file, my_norm.py, and name it with plugins=[my_norm.py]"
            )
        files |= {f"{NORMLIB.name}/{name}": NORMLIB / name for name in _rooms()}
    return _combined(files, texts)


def typed_texts(classes: Iterable[Any]) -> tuple[str, ...]:
    """The present sources of those parts of classes that were typed into cells. The same class may use an edited cell."""
    return tuple(cell_of(each).text for cls in classes for each in _made_of(cls) if is_typed(each))


def behind(cls: type) -> Any:
    """What a user has registered: the module or function that normlib has made a class around, else the class."""
    return cls.behind if "behind" in vars(cls) else as_registered(cls)  # type: ignore[attr-defined]


def _made_of(cls: Any) -> list[Any]:
    """The classes and functions whose source decides what a class does, without those of other libraries."""
    if isinstance(cls, FunctionType):
        return [cls]
    registered: Any = behind(cls)
    own = (
        list(getattr(cls, "__mro__", [cls]))
        if registered is cls
        else [*cls.__mro__[1:], *getattr(registered, "__mro__", [registered])]
    )
    return [each for each in dict.fromkeys(own) if each.__module__.partition(".")[0] not in FOREIGN]


def _local_files(module: ModuleType) -> dict[str, Path]:
    """The files of a module beside the notebook. None for an installed module."""
    project = project_of(module)
    if project is None or project.package or module.__name__.partition(".")[0] == NORMLIB.name:
        return {}
    return own_files(loaded_with(module), project)


def files_hash(names: Iterable[str]) -> str:
    """16 hexadecimal digits for files of normlib, named from its package folder."""
    return _combined({name: NORMLIB / name for name in names}, {})


def syntax_hash(source: str | bytes) -> str:
    """The hash of a source text's syntax tree without docstrings, the same in every Python version and layout.

    Bytes are decoded as Python reads a file: UTF-8, or what the file declares. What is not source is hashed as it is.
    """
    try:
        text = repr(_plain(_without_docstrings(ast.parse(source)))).encode()
    except (SyntaxError, ValueError):
        text = source.encode() if isinstance(source, str) else source
    return hashlib.sha256(text).hexdigest()[:16]


@functools.cache
def _own_project() -> Project:
    """normlib's modules, without the `__init__.py` files, which only list names."""
    return Project(NORMLIB.parent, NORMLIB.name, without=tuple(NORMLIB.rglob("__init__.py")))


@functools.cache
def _rooms() -> tuple[str, ...]:
    return tuple(path.relative_to(NORMLIB).as_posix() for room in ROOMS for path in (NORMLIB / room).rglob("*.py"))


def _combined(files: Mapping[str, Path], texts: Mapping[str, str]) -> str:
    parts = sorted((name, _hash_of(path.read_bytes())) for name, path in files.items())
    parts += sorted((name, _hash_of(text)) for name, text in texts.items())
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


_hash_of = functools.lru_cache(maxsize=1024)(syntax_hash)


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
    """A tree as nested tuples. Empty fields are left out, because new Python versions add some."""
    if isinstance(node, ast.AST):
        fields = ((name, _plain(value)) for name, value in ast.iter_fields(node))
        return (type(node).__name__, *((name, value) for name, value in fields if value not in (None, ())))
    if isinstance(node, list):
        return tuple(_plain(item) for item in node)
    return repr(node) if node is not None else None
