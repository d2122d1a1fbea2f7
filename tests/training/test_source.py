"""Checks the code's hashes: comments and layout change nothing, edits do, bases and siblings count, an edited norm gets a new id."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

import normlib.norms
from normlib.experiments import user_code
from normlib.experiments.plan import make_run as plan_run
from normlib.experiments.resolve import TRAINING_FILES
from normlib.norms import norms
from normlib.plugins import load_plugin
from normlib.training.source import class_hash, files_hash, syntax_hash

SOURCE = '''
"""A module."""
import math

class A:
    """A class."""
    def f(self, x: float = 1.5) -> float:
        """A method."""
        return math.sin(x) + 2  # why
'''


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# why", "# because"),
        ('"""A module."""', '"""Another text."""'),
        ('    """A class."""\n', ""),
        ('"""A method."""', '"""A\n        longer text."""'),
        ("math.sin(x) + 2", "(math.sin( x )\n            + 2)"),
        ("\nclass A", "\n\n\n\nclass A"),
    ],
)
def test_comments_docstrings_and_layout_change_nothing(old: str, new: str) -> None:
    assert old in SOURCE
    assert syntax_hash(SOURCE.replace(old, new)) == syntax_hash(SOURCE)


@pytest.mark.parametrize(
    ("old", "new"),
    [("2 ", "3 "), ("1.5", "1.25"), ("+ 2", "- 2"), ("sin", "cos"), ("x: float = 1.5", "x: float = 1.5, y: int = 0"),
     ("class A:", "class A(dict):"), ("        return", '        "not first, so no docstring"; "nor this"\n        return')],
)  # fmt: skip
def test_edits_of_the_code_change_the_hash(old: str, new: str) -> None:
    assert old in SOURCE
    assert syntax_hash(SOURCE.replace(old, new)) != syntax_hash(SOURCE)


def test_a_string_that_is_no_docstring_counts() -> None:
    assert syntax_hash("x = 'a'") != syntax_hash("x = 'b'")
    assert syntax_hash("def f():\n    return 'a'") != syntax_hash("def f():\n    return 'b'")


FILES = {
    "elsewhere/root.py": "class Root:\n    depth = 1\n",
    "norm.py": "from root import Root\nfrom near import one\nimport far.away\n\n\nclass Norm(Root):\n    scale = one\n",
    "near.py": "from . import second\n\none = 1\n",
    "second.py": "import third\n",
    "third.py": "value = 3\n",
    "alias.py": "pi = 3.14\n",
    "unrelated.py": "x = 1\n",
}


class Package:
    """Files on disk that can be edited, and the class `Norm` among them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.edits = 0
        for name, content in FILES.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(content)

    def edit(self, name: str, content: str) -> None:
        file = self.folder / name
        file.write_text(content)
        self.edits += 1  # file systems count time in ticks, in which two edits may fall
        os.utime(file, ns=(self.edits * 10**9, self.edits * 10**9))

    def hash(self) -> str:
        return class_hash(sys.modules["norm_of_a_package"].Norm)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    made = Package(tmp_path)

    def module(name: str, file: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(name, tmp_path / file)
        assert spec is not None
        assert spec.loader is not None
        loaded = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, loaded)
        return loaded

    root = module("root", "elsewhere/root.py")  # a base class of another folder, found through the class alone
    root.Root = type("Root", (), {"__module__": "root"})  # type: ignore[attr-defined]
    norm = module("norm_of_a_package", "norm.py")
    norm.Norm = type("Norm", (root.Root,), {"__module__": "norm_of_a_package"})  # type: ignore[attr-defined]
    return made


@pytest.mark.parametrize("file", ["norm.py", "elsewhere/root.py", "near.py", "second.py", "third.py"])
def test_the_class_its_bases_and_what_they_import_from_beside_them_count(package: Package, file: str) -> None:
    before = package.hash()
    package.edit(file, FILES[file] + "# a comment\n")
    assert package.hash() == before
    package.edit(file, FILES[file] + "edited = True\n")
    assert package.hash() != before
    package.edit(file, FILES[file])
    assert package.hash() == before


def test_other_files_do_not_count(package: Package) -> None:
    before = package.hash()
    package.edit("unrelated.py", "x = 2\n")
    assert package.hash() == before


@pytest.mark.parametrize(
    "line",
    [
        "import alias\n",
        "from alias import pi\n",
        "from . import alias\n",
        "from .alias import pi\n",
    ],
)
def test_every_way_to_import_a_sibling_is_followed(package: Package, line: str) -> None:
    package.edit("norm.py", line + FILES["norm.py"])
    before = package.hash()
    package.edit("alias.py", "pi = 3\n")
    assert package.hash() != before


@pytest.mark.parametrize("name", norms.names())
def test_the_norms_of_normlib_have_hashes_of_their_own(name: str) -> None:
    assert len({class_hash(entry.cls) for entry in norms.entries()}) == len(norms.names())
    assert class_hash(norms[name].cls) == class_hash(norms[name].cls)


def test_files_of_the_training_count_and_exist() -> None:
    assert files_hash(TRAINING_FILES) != files_hash(TRAINING_FILES[1:])
    root = Path(normlib.__file__).parent
    trained_with = {f"training/{file.name}" for file in (root / "training").glob("*.py")}
    # These cannot change a number: they describe the machine, name what did not end, hash code, save, describe settings.
    blind = {
        "training/__init__.py",
        "training/environment.py",
        "training/outcome.py",
        "training/saved.py",
        "training/settings.py",
        "training/source.py",
        "training/weights.py",
    }
    counted = {*TRAINING_FILES, *user_code.TRAINING_FILES, *user_code.FUNCTION_FILES}
    assert trained_with - blind == {name for name in counted if name.startswith("training/")}
    assert all((root / name).is_file() for name in counted)


PLUGIN = '''
"""A norm of the user's own."""
from torch import Tensor

from normlib import Norm, register


@register("edited_norm")
class EditedNorm(Norm):
    """Multiplies."""

    def __init__(self, num_features: int, strength: float = 1.0) -> None:
        super().__init__(num_features)
        self.strength = strength

    def normalize(self, x: Tensor) -> Tensor:
        return 2.0 * self.strength * x  # twice
'''


def test_an_edited_norm_gets_a_new_run_id(tmp_path: Path) -> None:
    ids = {}
    for version, content in {
        "first": PLUGIN,
        "comment": PLUGIN.replace("# twice", "# two times"),
        "constant": PLUGIN.replace("2.0", "2.5"),
        "default": PLUGIN.replace("strength: float = 1.0", "strength: float = 1.5"),
    }.items():
        file = tmp_path / version / "my_norm.py"
        file.parent.mkdir()
        file.write_text(content)
        norms._entries.pop("edited_norm", None)  # as in a new process, which has never seen the file
        run, _ = plan_run([f"plugins=[{file}]", "norm=edited_norm", "accelerator=cpu"])
        assert run.skip_reason is None
        ids[version] = run.id
    assert ids["comment"] == ids["first"], "neither a comment nor the file's folder is part of the id"
    assert len(set(ids.values())) == 3


def test_the_same_file_under_another_name_is_not_silently_taken(tmp_path: Path) -> None:
    for name in ("one.py", "two.py"):
        (tmp_path / name).write_text(PLUGIN)
    load_plugin(str(tmp_path / "one.py"))
    with pytest.raises(ValueError, match="the norm name 'edited_norm' is taken by"):
        load_plugin(str(tmp_path / "two.py"))


def test_where_a_package_is_installed_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "import typing\nfrom my_installed.inner import part\nclass Mine:\n    value = part.VALUE\n"
    hashes = []
    for place, neighbours in (("bare", []), ("crowded", ["typing.py", "my_other.py"])):
        folder = tmp_path / place / "lib"
        (folder / "site" / "my_installed" / "inner").mkdir(parents=True)
        (folder / "site" / "my_installed" / "inner" / "part.py").write_text("VALUE = 1\n")
        (folder / "site" / "my_installed" / "norm.py").write_text(text)
        for neighbour in neighbours:  # as the standard library lies around site-packages
            (folder / neighbour).write_text("X = 1\n")
            (folder / "site" / neighbour).write_text("X = 2\n")
        with monkeypatch.context() as patch:
            patch.setattr(sys, "path", [*sys.path, str(folder / "site")])
            hashes.append(class_hash(importlib.import_module("my_installed.norm").Mine))
        for name in [name for name in sys.modules if name.startswith("my_installed")]:
            del sys.modules[name]
    assert hashes[0] == hashes[1]
