"""Checks that a run's id knows all code behind a plugin, and that a plugin's folder is code for that plugin alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import normlib
from normlib.choices import PACKAGE
from normlib.cli import main
from normlib.experiments.plan import make_run
from normlib.plugins import load_plugin
from normlib.project import project_of
from normlib.registry import RegistryError
from tests.experiments.tiny_sweeps import TINY, statuses

NORM = '''"""A norm whose factor comes from elsewhere: σ."""
{head}
import normlib

@normlib.register("my_norm")
class MyNorm(normlib.Norm):
    """Multiplies."""
    def normalize(self, x):
        {body}
'''
# Ways to get at FACTOR, which stands in the second file: head, body and name of the plugin, and the file.
WAYS: dict[str, tuple[str, str, str]] = {
    "a module beside it": ("from my_near import FACTOR", "return x * FACTOR", "my_near.py"),
    "a module of a subfolder": ("from my_parts.numbers import FACTOR", "return x * FACTOR", "my_parts/numbers.py"),
    "a subfolder below a subfolder": ("import my_parts.deep.numbers as m", "return x * m.FACTOR", "my_parts/deep/numbers.py"),
    "a package's own file": ("from my_package import FACTOR", "return x * FACTOR", "my_package/__init__.py"),
    "a package's own file on the way": ("import my_package.leaf as m", "return x * m.F", "my_package/__init__.py"),
    "a module under another name": ("import my_near as other", "return x * other.FACTOR", "my_near.py"),
    "a module of a package by name": ("from my_package import leaf", "return x * leaf.FACTOR", "my_package/leaf.py"),
    "all names of a module": ("from my_near import *", "return x * FACTOR", "my_near.py"),
    "inside of a function": ("", "import my_near; return x * my_near.FACTOR", "my_near.py"),
    "by a call": ("import importlib\nm = importlib.import_module('my_near')", "return x * m.FACTOR", "my_near.py"),
    "by a call with a name that is made": (
        "import importlib\nm = importlib.import_module('my_' + 'near')", "return x * m.FACTOR", "my_near.py",
    ),
}  # fmt: skip


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")


def write_project(folder: Path, way: str, factor: float = 1.0) -> None:
    head, body, elsewhere = WAYS[way]
    write(folder / "my_norm.py", NORM.format(head=head, body=body))
    write(folder / elsewhere, f"FACTOR = {factor}\n")
    if elsewhere == "my_package/__init__.py" and "leaf" in head:
        write(folder / "my_package" / "leaf.py", "from my_package import FACTOR\n\nF = FACTOR\n")
    if elsewhere == "my_package/leaf.py":
        write(folder / "my_package" / "__init__.py", "")


def loss(folder: str = ".") -> tuple[str, float | None]:
    record = normlib.train(*TINY, f"plugins=[{folder}/my_norm.py]", "norm=my_norm")
    assert record.status == "done", record.traceback
    return record.id, record.metrics["test"]["loss"]


@pytest.mark.parametrize("way", WAYS)
def test_an_edit_anywhere_in_the_project_is_a_new_run_of_the_new_code(way: str, place: Path) -> None:
    write_project(place, way)
    first = loss()
    elsewhere = place / WAYS[way][2]
    elsewhere.write_text("FACTOR = 3.0\n")
    second = loss()
    assert second[0] != first[0] and second[1] != first[1]
    elsewhere.write_text("FACTOR = 1.0  # as at first, but for a comment\n")
    assert loss() == first


def test_other_files_of_the_folder_do_not_count(place: Path) -> None:
    write_project(place, "a module beside it")
    first = loss()
    write(place / "my_other.py", "FACTOR = 2.0\n")
    assert loss() == first


SHOW_ID = f"""
import sys
from normlib.experiments.plan import make_run
print(make_run([*{TINY!r}, "plugins=[my_norm.py]", "norm=my_norm"])[0].id)
"""


def test_the_id_is_the_same_whatever_the_locale_the_hash_seed_and_the_folder(place: Path) -> None:
    """A source is read as Python reads it: in UTF-8, or in what it declares."""
    surroundings = [
        {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONHASHSEED": "1"},
        {"LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "2"},
    ]
    ids = []
    for number, variables in enumerate(surroundings):
        folder = place / str(number)
        write_project(folder, "a module of a subfolder")
        done = subprocess.run(
            [sys.executable, "-c", SHOW_ID], env=os.environ | variables, cwd=folder, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        ids.append(done.stdout)
    assert len(set(ids)) == 1


def test_a_declared_encoding_is_kept_to(place: Path) -> None:
    ids = set()
    for encoding in ("utf-8", "latin-1"):
        text = f"# -*- coding: {encoding} -*-\n" + NORM.format(head="NAME = 'ä'", body="return x").replace("σ", "s")
        (place / "my_norm.py").write_bytes(text.encode(encoding))
        ids.add(make_run([*TINY, "plugins=[my_norm.py]", "norm=my_norm"])[0].id)
    assert len(ids) == 1, "the text is the same"


STRANGERS = ("statistics", "random", "queue", "torch", "numpy", "selectors", "hydra", "tensorboard", "stranger")


@pytest.mark.parametrize("words", [["compare"], ["train", "-m", "hydra/launcher=joblib"]], ids=" ".join)
def test_the_callers_folder_is_no_code(words: list[str], place: Path) -> None:
    """Neither for Python, nor by way of git, for which a repository may name a program, or of a matplotlibrc."""
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    program = place / "program.sh"
    program.write_text("#!/bin/sh\necho program >> ran\n")
    program.chmod(0o755)
    for command in (
        "init -q",
        "add program.sh",
        "-c user.email=a@b -c user.name=a commit -qm first",
        f"config core.fsmonitor {program}",
    ):
        if subprocess.run(["git", *command.split()], cwd=place).returncode:
            pytest.skip("there is no git here")
    (place / "ran").unlink(missing_ok=True)
    write(place / "matplotlibrc", "backend: module://stranger\nfont.size: 40\n")
    for name in STRANGERS:
        write(place / f"{name}.py", "open('ran', 'a').write(__name__)\nraise SystemExit('a stranger')\n")
    write_project(place, "a module of a subfolder")
    plugin = ["plugins=[my_norm.py]", "norm=my_norm,layer"]
    done = subprocess.run(
        [sys.executable, "-m", "normlib", *words, *TINY, *plugin, "seed=0"], capture_output=True, text=True, cwd=place
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (place / "ran").exists()
    assert set(statuses(place / "results", "train" if "-m" in words else "comparison").values()) == {"done"}


@pytest.mark.parametrize("plugin", ["my_norm.py", "my_norm", "my_package/norm.py", "my_package.norm"])
def test_a_plugins_folder_is_code_for_the_plugin_alone(plugin: str, place: Path) -> None:
    write(place / "my_near.py", "FACTOR = 1.0\n")
    write(place / "my_package" / "__init__.py", "")
    write(place / "my_package" / "part.py", "FACTOR = 2.0\n")
    head = "from my_near import FACTOR\nfrom my_package.part import FACTOR"
    for file in ("my_norm.py", "my_package/norm.py"):
        write(place / file, NORM.format(head=head, body="return x * FACTOR"))
    write(place / "my_unseen.py", "")
    path = list(sys.path)
    assert main(["plan", *TINY, f"plugins=[{plugin}]", "norm=my_norm", "seed=0"]) == 0
    assert sys.path == path
    with pytest.raises(ModuleNotFoundError):
        import my_unseen  # type: ignore[import-not-found]  # noqa: F401


def test_a_module_that_a_plugin_cannot_get_is_refused(place: Path) -> None:
    """Python's own comes first; and of two projects with a module of one name, the first that was loaded."""
    write(place / "statistics.py", "FACTOR = 1.0\n")
    write(place / "my_norm.py", NORM.format(head="import statistics", body="return x"))
    with pytest.raises(RegistryError, match=r"imports 'statistics'.*statistics\.py, but another module.*another name"):
        load_plugin("my_norm.py")
    for folder in ("one", "two"):
        write(place / folder / "my_near.py", "FACTOR = 1.0\n")
        name = f'"my_norm_{folder}"'
        text = NORM.format(head="import my_near", body="return x").replace('"my_norm"', name)
        write(place / folder / "my_norm.py", text)
    load_plugin("one/my_norm.py")
    with pytest.raises(RegistryError, match=r"imports 'my_near'.*two/my_near\.py.*one/my_near\.py"):
        load_plugin("two/my_norm.py")


def test_normlib_is_no_part_of_a_plugins_project() -> None:
    """Its folder lies beside a plugin that stands in a checkout: it is neither hashed with the plugin nor loaded again."""
    module = ModuleType("my_norm")
    module.__file__ = str(PACKAGE.parent / "results" / "update_readme.py")
    module.__name__ = "results.my_norm"
    project = project_of(module)
    assert project is not None and project.root == PACKAGE.parent
    assert project.has(PACKAGE.parent / "conf" / "x.py") and not project.has(PACKAGE / "norms" / "base.py")
