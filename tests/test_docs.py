"""Checks that docs/norms.md and its pictures are what the registry makes of itself, and that a norm without words is found out."""

from __future__ import annotations

import dataclasses
import importlib
import re
import sys
import xml.etree.ElementTree
from pathlib import Path
from types import ModuleType

import pytest

from normlib.norms import norms
from normlib.norms.base import Norm

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        return importlib.import_module("generate_norms")
    finally:
        sys.path.remove(str(ROOT / "docs"))


def test_the_page_and_the_pictures_are_what_the_registry_makes(generator: ModuleType) -> None:
    made = generator.files()
    for path, text in made.items():
        assert path.is_file() and path.read_text(encoding="utf-8") == text, "run: python docs/generate_norms.py"
    assert set((ROOT / "docs" / "axes").iterdir()) == set(made) - {ROOT / "docs" / "norms.md"}, (
        "no picture is left over"
    )


def test_every_norm_has_a_section_with_its_picture(generator: ModuleType) -> None:
    page = generator.PAGE.read_text(encoding="utf-8")
    own = {name for name in norms.names() if norms[name].cls.__module__.startswith("normlib.")}
    assert set(re.findall(r"^### (\w+)$", page, re.MULTILINE)) == own
    assert set(re.findall(r"^\| \[`(\w+)`\]", page, re.MULTILINE)) == own
    for picture in re.findall(r'src="([^"]+)"', page):
        xml.etree.ElementTree.parse(ROOT / "docs" / picture)


def test_a_norm_without_a_paragraph_is_named(generator: ModuleType) -> None:
    class Wordless(Norm):
        """Words.

        Axes: none.
        """

    entry = dataclasses.replace(norms["group"], name="wordless", cls=Wordless)
    with pytest.raises(generator.UnfinishedDocstring, match="'wordless' lacks the paragraphs Shapes, Paper"):
        generator.section(entry)


@pytest.mark.parametrize(
    ("axes", "front", "top", "side"),
    [
        (("samples", "positions"), 5, 4, 20),
        (("channels", "positions"), 30, 6, 5),
        (("positions",), 5, 1, 5),
        (("group", "positions"), 15, 3, 5),
        (("channels",), 6, 6, 1),
        (("neighbours",), 3, 3, 1),
        ((), 0, 0, 0),
    ],
)
def test_the_picture_colours_what_shares_a_statistic(
    axes: tuple[str, ...], front: int, top: int, side: int, generator: ModuleType
) -> None:
    draw = sys.modules["draw_axes"]
    text = draw.draw_axes(axes)
    counted = [text.count(draw._shaded(draw.SHARED, draw.SHADES[face])) for face in ("front", "top", "side")]
    assert counted == [front, top, side]
