"""Checks that neither files nor the terminal depend on the locale: every file is read and written in UTF-8."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from normlib.choices import PACKAGE
from normlib.results.store.store import Store
from tests.results.factories import make_record

BY_LOCALE = ("open", "read_text", "write_text")


NO_FILES = ("os", "webbrowser", "Image", "archive", "dataset", "self")
"""Whose `open` is no opening of a text file."""


def without_encoding(source: str) -> list[int]:
    """The lines of calls that would read or write text in the locale's encoding."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            function = node.func
            name = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
            owner = ast.unparse(function.value) if isinstance(function, ast.Attribute) else ""
            binary = any(
                isinstance(each, ast.Constant) and isinstance(each.value, str) and "b" in each.value
                for each in node.args[:2]
            )
            named = any(keyword.arg == "encoding" for keyword in node.keywords)
            if name in BY_LOCALE and owner not in NO_FILES and not binary and not named:
                lines.append(node.lineno)
    return lines


def test_no_file_is_read_or_written_by_the_locale() -> None:
    folders = [PACKAGE, *(PACKAGE.parent / name for name in ("results", "benchmarks", "examples"))]
    files = [file for folder in folders for file in folder.rglob("*.py")]
    assert len(files) > 200
    assert {str(file): found for file in files if (found := without_encoding(file.read_text(encoding="utf-8")))} == {}


@pytest.mark.parametrize("call", ["open(p)", "open(p, 'w')", "p.open()", "p.read_text()", "p.write_text(t)"])
def test_such_calls_are_seen(call: str) -> None:
    assert without_encoding(call) == [1]
    assert without_encoding(f"{call[:-1]}{'' if call.endswith('()') else ', '}encoding='utf-8')") == []
    assert without_encoding("open(p, 'rb')") == without_encoding("os.open(p, flags)") == []


@pytest.mark.parametrize("words", [["report"], ["--help"], ["list"]], ids=" ".join)
def test_a_terminal_that_knows_ascii_alone_is_no_error(words: list[str], tmp_path: Path) -> None:
    for norm in ("batch", "group"):
        Store(tmp_path / "results", "small_batch").write(make_record(norm=norm))
    variables = {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""}
    done = subprocess.run(
        [sys.executable, "-m", "normlib", *words], cwd=tmp_path, env=os.environ | variables, capture_output=True
    )
    assert done.returncode == 0 and b"Traceback" not in done.stderr, done.stderr.decode()
    assert done.stdout.isascii() and b"?" not in done.stdout
