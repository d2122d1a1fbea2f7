"""The documents, as the tests that run them read them: their code blocks and their commands."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def page(name: str) -> str:
    """The text of a document, named from the repository's root, such as docs/adding_data.md."""
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    """The code blocks of a document in one language, "" for those without one."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [block for name, block in fenced if name == language]


def readable(html: str) -> str:
    """What a reader sees of an HTML page: no script, no tag, one space between words."""
    without = re.sub(r"<(script|style).*?</\1>|<wbr>", "", html, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", "", without).split())


def commands(text: str) -> list[str]:
    """The lines of a document's bash blocks."""
    return [line for block in blocks(text, "bash") for line in block.splitlines()]
