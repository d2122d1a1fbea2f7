"""The choices of the config groups, as source and configuration files name them: read without importing torch."""

from __future__ import annotations

import re
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
ROOMS = {"norm": "norms", "model": "models", "data": "data", "task": "tasks"}
"""The folder of the classes behind each group."""


def choices_in_sources(group: str) -> list[str]:
    """The choices that normlib brings: registered classes and files of the configuration."""
    files = (file.stem for file in (config_dir() / group).glob("*.yaml"))
    return sorted([*registered(group), *files])


def registered(group: str) -> list[str]:
    """The names under which the files of a group's room register their classes."""
    if group not in ROOMS:
        return []
    sources = (file.read_text(encoding="utf-8") for file in (PACKAGE / ROOMS[group]).rglob("*.py"))
    return sorted(name for source in sources for name in re.findall(r'^@register\(\s*"(\w+)"', source, re.MULTILINE))


def defaults() -> dict[str, str]:
    """What the configuration chooses in each group where nobody does; "null" is nothing."""
    text = (config_dir() / "config.yaml").read_text(encoding="utf-8")
    return dict(re.findall(r"^  - (\w+): (\w+)", text, re.MULTILINE))


def config_dir() -> Path:
    """The folder of normlib's own configuration: inside an installed wheel, or beside the package in a checkout."""
    inside = PACKAGE / "conf"
    return inside if inside.is_dir() else PACKAGE.parent / "conf"
