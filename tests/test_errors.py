"""Checks that every error class of the package is a message: it derives from NormlibError, or stands here with its reason."""

from __future__ import annotations

import ast
import builtins

import pytest

from normlib.errors import NormlibError
from normlib.naming import MOST_LISTED, unknown_name
from normlib.training.source import NORMLIB

NO_MESSAGES = {
    "Stopped": "a signal that ends a sweep, as KeyboardInterrupt does; no handler of errors may catch it",
}


def error_classes(sources: list[str]) -> dict[str, set[str]]:
    """Each class in the sources that is an exception, with the names of all its bases, near and far."""
    bases = {
        node.name: {ast.unparse(base).rpartition(".")[2] for base in node.bases}
        for source in sources
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ClassDef)
    }

    def ancestors(name: str) -> set[str]:
        found, new = set[str](), {name}
        while new := set().union(*(bases.get(each, set()) for each in new)) - found:
            found |= new
        return found

    def is_exception(name: str) -> bool:
        known = getattr(builtins, name, None)
        return name == "NormlibError" or (isinstance(known, type) and issubclass(known, BaseException))

    return {name: found for name in bases if any(map(is_exception, found := ancestors(name)))}


def test_every_error_class_is_a_message() -> None:
    sources = [path.read_text(encoding="utf-8") for path in sorted(NORMLIB.rglob("*.py"))]
    classes = error_classes(sources)
    bare = {name for name, ancestors in classes.items() if "NormlibError" not in ancestors} - {"NormlibError"}
    assert len(classes) > 20 and bare == set(NO_MESSAGES)


def test_a_bare_error_class_is_found() -> None:
    source = "class Far(Near): ...\nclass Near(ValueError): ...\nclass Good(NormlibError, ValueError): ...\nclass No(dict): ..."
    classes = error_classes([source])
    assert {name for name, ancestors in classes.items() if "NormlibError" not in ancestors} == {"Far", "Near"}
    assert set(classes) == {"Far", "Near", "Good"}


def test_one_file_compares_names() -> None:
    found = {
        path.relative_to(NORMLIB).as_posix()
        for path in NORMLIB.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else [each.name for each in node.names])
        if name == "difflib"
    }
    assert found == {"naming.py"}, "an unknown name is reported by normlib.naming.unknown_name"


@pytest.mark.parametrize(
    ("name", "known", "message"),
    [
        ("LAYR", ["layer", "batch"], "no norm is named 'LAYR'; did you mean 'layer'? Known: batch, layer"),
        (
            "lr",
            ["optimizer.lr", "seed"],
            "no norm is named 'lr'; did you mean 'optimizer.lr'? Known: optimizer.lr, seed",
        ),
        ("xyz", ["batch"], "no norm is named 'xyz'. Known: batch"),
        ("xyz", [], "no norm is named 'xyz'."),
    ],
)
def test_the_message_for_an_unknown_name(name: str, known: list[str], message: str) -> None:
    assert unknown_name("norm", name, known) == message


def test_a_message_lists_a_part_of_a_thousand_names() -> None:
    message = unknown_name("model", "net7x", [f"net{number}" for number in range(1000)])
    assert "did you mean 'net7" in message and message.endswith(f"and {1000 - MOST_LISTED} more")
    assert issubclass(NormlibError, Exception) and len(message) < 1000
