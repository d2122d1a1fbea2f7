"""The choices of the config groups, by the names in source and configuration files. Reading them imports no torch."""

from __future__ import annotations

import re
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
ROOMS = {"norm": "norms", "model": "models", "data": "data", "task": "tasks"}
"""The folder of each group's classes."""


def choices_in_sources(group: str) -> list[str]:
    """The choices that normlib provides: registered classes and configuration files."""
    files = (file.stem for file in (config_dir() / group).glob("*.yaml"))
    return sorted([*registered(group), *files])


def registered(group: str) -> list[str]:
    """The names under which the files of a group's folder register their classes."""
    if group not in ROOMS:
        return []
    sources = (file.read_text(encoding="utf-8") for file in (PACKAGE / ROOMS[group]).rglob("*.py"))
    return sorted(name for source in sources for name in re.findall(r'^@register\(\s*"(\w+)"', source, re.MULTILINE))


def defaults() -> dict[str, str]:
    """The default choice of the configuration in each group. "null" is none."""
    text = (config_dir() / "config.yaml").read_text(encoding="utf-8")
    return dict(re.findall(r"^  - (\w+): (\w+)", text, re.MULTILINE))


def config_dir() -> Path:
    """The folder of normlib's own configuration: inside an installed wheel, or beside the package in a checkout."""
    inside = PACKAGE / "conf"
    return inside if inside.is_dir() else PACKAGE.parent / "conf"
