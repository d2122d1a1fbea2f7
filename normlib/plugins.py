"""Users' own modules as plugins: files by their paths, modules by their names. Loading registers what they define.

A plugin's folder is on the import path of its own project only, after all that is installed. So a file there that has
the name of a standard module does no harm. This file never imports torch.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from normlib.finder import Finder
from normlib.naming import unknown_name
from normlib.project import NORMLIB, Project, file_of, own_files, project_of, shadowed
from normlib.registry import RegistryError


@dataclass
class _Plugin:
    """A loaded plugin: its module, the modules of its project loaded with it, and their files as they were then."""

    module: ModuleType
    project: Project | None
    with_it: tuple[str, ...]
    files: dict[Path, bytes]

    def edited(self) -> bool:
        """Whether a file of the plugin's project has changed since it was loaded."""
        return any(_digest(path) != digest for path, digest in self.files.items())

    def forget(self) -> None:
        """Remove all of the project's modules from sys.modules. The next import reads them again."""
        for name, module in list(sys.modules.items()):
            if isinstance(module, ModuleType) and name not in SCRIPTS and file_of(module) in self.files:
                del sys.modules[name]


SAFE_PATH = "PYTHONSAFEPATH"
"""The variable that stops Python from putting the current folder first on its path."""

SCRIPTS = ("__main__", "__mp_main__")

_plugins: dict[str, _Plugin] = {}
"""By the path of the file or the name of the module."""


def load_plugin(plugin: str) -> None:
    """Import a user's own module, by the path of a .py file or as a module name. It registers what it defines.

    It is imported once, and again whenever its text or that of a module in its project has changed. So a notebook sees
    an edit. Raises RegistryError if the file does not exist or does not import.
    """
    is_path = plugin.endswith(".py") or "/" in plugin
    if is_path:
        try:
            path = Path(plugin).expanduser().resolve()
            there = path.is_file()
        except (
            OSError,
            RuntimeError,
            ValueError,
        ) as error:  # a name that is too long, an unknown user's folder, a null byte
            raise RegistryError(f"plugins: {plugin[:80]!r} cannot be the path of a file ({error})") from error
        if not there:
            raise RegistryError(
                f"plugins: there is no file {plugin!r} (looked for {path}); give the path of a .py file or the name of an importable module"
            )
    key = str(path) if is_path else plugin
    known = _plugins.get(key)
    if known is not None:
        if known.module.__name__ in sys.modules and not known.edited():
            return
        known.forget()
    try:
        _plugins[key] = _recorded((lambda: _load_file(path)) if is_path else (lambda: _load_name(plugin)))
    except RegistryError:
        raise
    except Exception as error:
        raise RegistryError(
            f"plugins: {plugin!r} does not import: {type(error).__name__}: {error}. Fix the file (set NORMLIB_DEBUG=1 for the traceback)."
        ) from error
    _refuse_shadowed(plugin, _plugins[key])


def load_named(path: str, key: str) -> Any:
    """The object that `my_file.py:Name` or `package.module:Name` names. Its file is loaded as a plugin.

    `key` is the setting, for messages. Raises RegistryError for any other form, for a file that does not load, and for
    a name that the file does not have.
    """
    file, colon, name = path.rpartition(":")
    if not colon or not file or not name.isidentifier():
        raise RegistryError(f"{key} must be a file and a name in it, as in my_file.py:MyClass, got {path!r}")
    load_plugin(file)
    is_path = file.endswith(".py") or "/" in file
    module = _plugins[str(Path(file).expanduser().resolve()) if is_path else file].module
    if not hasattr(module, name):
        own = [each for each, thing in vars(module).items() if getattr(thing, "__module__", None) == module.__name__]
        raise RegistryError(f"{key}={path}: {unknown_name(f'class or function of {file}', name, own)}")
    return getattr(module, name)


def loaded_with(module: ModuleType) -> list[ModuleType]:
    """The modules of the plugin that a module came with, or only the module itself."""
    for plugin in _plugins.values():
        names = (plugin.module.__name__, *plugin.with_it)
        if module.__name__ in names:
            return [sys.modules[name] for name in names if name in sys.modules]
    return [module]


def _recorded(load: Callable[[], ModuleType]) -> _Plugin:
    """Load a plugin and remember which modules of its project were loaded with it."""
    importlib.invalidate_caches()  # a file may be newer than the cached listing of its folder
    before = set(sys.modules)
    module = load()
    project = project_of(module)
    if project is None:
        return _Plugin(module, None, (), {})
    fresh = [name for name in sys.modules if name not in before and name != module.__name__]
    with_it = [
        name for name in fresh if isinstance(sys.modules[name], ModuleType) and _is_in(sys.modules[name], project)
    ]
    files = own_files([module, *(sys.modules[name] for name in with_it)], project)
    return _Plugin(module, project, tuple(with_it), {path: _digest(path) for path in files.values()})


def _is_in(module: ModuleType, project: Project) -> bool:
    file = file_of(module)
    return file is not None and project.has(file)


def _load_file(path: Path) -> ModuleType:
    digest = hashlib.sha256(str(path).encode() + path.read_bytes()).hexdigest()[:8]
    name = f"normlib_plugin_{path.stem}_{digest}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    project = project_of(module)
    assert project is not None
    _finder.serve(project, (path.parent, project.root))
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _load_name(name: str) -> ModuleType:
    folder = Path.cwd()
    _finder.serve(Project(folder, without=(NORMLIB,)), (folder,))
    return importlib.import_module(name)


@contextlib.contextmanager
def safe_path() -> Iterator[None]:
    """Python processes started inside the block do not import from the folder that they start in."""
    before = os.environ.get(SAFE_PATH)
    os.environ[SAFE_PATH] = "1"
    try:
        yield
    finally:
        os.environ.pop(SAFE_PATH)
        if before is not None:
            os.environ[SAFE_PATH] = before


def _refuse_shadowed(plugin: str, loaded: _Plugin) -> None:
    """Refuse a plugin that cannot import a module of its own, because another one is loaded under the name."""
    project = loaded.project
    if project is None or project not in _finder.folders:
        return
    found = shadowed({project.name(path): path for path in loaded.files}, project)
    if found is not None:
        name, path = found
        there = file_of(sys.modules[name]) or "Python itself"
        raise RegistryError(
            f"plugins: {plugin!r} imports {name!r}, which is {path}, but another module of that name is loaded "
            f"({there}); give the file another name"
        )


def _digest(path: Path) -> bytes:
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError:
        return b""


_finder = Finder(Path(__file__).resolve())
