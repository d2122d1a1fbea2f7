"""Equations of documents and docstrings as MathML, which browsers show without a script.

In: TeX as GitHub reads it (a block ```math, or inline between $` and `$) or as docstrings have it (`.. math::`, :math:`x`). Also
docstrings' `.. code-block::`, whose indented lines are code in Markdown as they are.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree
from typing import Any

from latex2mathml.converter import convert
from markdown import Markdown
from markdown.blockprocessors import BlockProcessor
from markdown.extensions import Extension
from markdown.inlinepatterns import InlineProcessor

MATH, CODE = ".. math::", ".. code-block::"
INLINE = r"(?:\$|:math:)`([^`]+)`\$?"
BEFORE_CODE = 200
"""A priority above that of Markdown's own inline code (190), which would take the backticks."""


def fence(source: str, language: str, css_class: str, options: Any, md: Markdown, **kwargs: Any) -> str:
    """The block ```math, in the signature that pymdownx.superfences calls."""
    return convert(source, display="block")


class Equations(Extension):
    """Equations in a line, and the directives of docstrings."""

    def extendMarkdown(self, md: Markdown) -> None:
        md.parser.blockprocessors.register(_Block(md.parser), "directives", BEFORE_CODE)
        md.inlinePatterns.register(_Inline(INLINE, md), "math_inline", BEFORE_CODE)


class _Block(BlockProcessor):
    def test(self, parent: xml.etree.ElementTree.Element, block: str) -> bool:
        return block.startswith((MATH, CODE))

    def run(self, parent: xml.etree.ElementTree.Element, blocks: list[str]) -> None:
        first = blocks.pop(0)
        if first.startswith(MATH):
            tex = first.removeprefix(MATH).strip() or blocks.pop(0)  # the equation may follow a blank line
            paragraph = xml.etree.ElementTree.SubElement(parent, "p")
            paragraph.text = self.parser.md.htmlStash.store(convert(" ".join(tex.split()), display="block"))


class _Inline(InlineProcessor):
    def handleMatch(self, m: re.Match[str], data: str) -> tuple[str, int, int]:
        return self.md.htmlStash.store(convert(m[1])), m.start(0), m.end(0)
