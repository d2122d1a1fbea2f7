"""Checks that a built wheel, installed elsewhere, compares outside the repository with the configuration it brings along."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from normlib.choices import PACKAGE
from tests.experiments.tiny_sweeps import TINY, statuses

REPOSITORY = PACKAGE.parent

pytestmark = pytest.mark.skipif(
    not (REPOSITORY / "pyproject.toml").is_file(), reason="these tests are not run from a checkout"
)


def python(*arguments: str, cwd: Path, **environment: str) -> str:
    """Run this Python with the environment changed and return what it printed, errors included if it failed."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=os.environ | environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout; hatchling is already here, so that nothing has to be fetched."""
    folder = tmp_path_factory.mktemp("wheel")
    python("-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(REPOSITORY), cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


def test_everything_is_in_it_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
    sources = {
        f"normlib/{file.relative_to(PACKAGE).as_posix()}"
        for pattern in ("*.py", "py.typed", "*.txt", "page.html.jinja", "page.css", "page.js")
        for file in PACKAGE.rglob(pattern)
    }
    conf = REPOSITORY / "conf"
    configuration = {f"normlib/conf/{file.relative_to(conf).as_posix()}" for file in conf.rglob("*.yaml")}
    assert inside == sources | configuration and configuration


def test_it_compares_outside_the_repository(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    python(
        "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site), str(wheel), cwd=tmp_path
    )
    work = tmp_path / "work"
    work.mkdir()
    where = "import normlib, normlib.choices as h; print(normlib.__file__, h.config_dir(), sep='\\n')"
    package, conf = python("-c", where, cwd=work, PYTHONPATH=str(site)).split("\n")[:2]
    assert Path(package) == site / "normlib" / "__init__.py" and Path(conf) == site / "normlib" / "conf"
    shown = python(
        "-m", "normlib", "compare", *TINY, "norm=layer,none", "seed=0", "jobs=1", cwd=work, PYTHONPATH=str(site)
    )
    assert "2/2 done" in shown
    assert statuses(work / "results") == {("layer", 0): "done", ("none", 0): "done"}
    folder = work / "results" / "comparison"
    for written in (folder / "tables" / "accuracy.md", folder / "report.html"):  # the page needs its template
        assert "layer" in written.read_text(encoding="utf-8")
