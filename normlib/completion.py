"""Completion in the shell. In: the line that is typed. Out: the words that its last word may become.

Verbs, flags, groups, settings and their values come from the same place as in the help. Classes are imported only for
the arguments of a norm, a model, data or a task, and if a plugin or an installed package may have registered more.
"""

from __future__ import annotations

import importlib.metadata
import itertools
from collections.abc import Iterable, Sequence

from normlib.arguments import VerbParser
from normlib.choices import ROOMS
from normlib.experiments.settings import GROUPS, choices_of, settings_without_classes
from normlib.help import VERBS, settings_of
from normlib.listing import CLASSES, SETTINGS, listing
from normlib.listing_rows import Row, setting_row

SELECTING = ("report", "export")
"""The verbs that select among records by any setting of a run."""


def completions(line: str, parser: VerbParser) -> list[str]:
    """The words that the last word of a line may become, sorted. The first word of the line is the program."""
    *before, last = line.split(" ")[1:] or [""]
    verb = next((word for word in before if not word.startswith("-")), "")
    if not verb:
        found: Iterable[str] = [*VERBS, "--help", "--version"]
    elif verb not in VERBS:
        found = []
    elif last.startswith("-"):
        found = [flag for flag in (*parser.flags(verb), "--help") if flag.startswith("--")]
    elif "=" in last:
        key, _, value = last.partition("=")
        listed = value.rpartition(",")[0]
        found = [f"{key}={listed}{',' if listed else ''}{each}" for each in _values(verb, key, before)]
    else:
        words = [*_words(verb, last.partition(".")[0] if "." in last else "", before)]
        # One section at a time: training. stands for everything in it.
        found = [word if "." in last else word[: word.find(".") + 1] or word for word in words]
    return sorted({word for word in found if word.startswith(last)})


def _words(verb: str, section: str, before: Sequence[str]) -> Iterable[str]:
    """The words of a verb: keys with their sign, or names. Arguments of classes only if the line asks for their section."""
    groups = GROUPS if verb in (*SELECTING, "list") else VERBS[verb].groups
    own = _arguments(section, before) if section in CLASSES and section in groups else []
    keys = {row["key"] for row in [*_settings(verb), *own]}
    yield from (f"{key}=" for key in groups)
    yield from (keys | {*GROUPS, SETTINGS} if verb == "list" else (f"{key}=" for key in keys))
    yield from _choices("norm", before) if verb == "check" else ()


def _values(verb: str, key: str, before: Sequence[str]) -> list[str]:
    """The values of a setting that has few: choices of a group, a closed set, truth values."""
    if key in GROUPS:
        return _choices(key, before)
    group = key.partition(".")[0]
    rows = [row for row in _settings(verb) if row["key"] == key]
    if not rows and group in CLASSES:
        rows = [row for row in _arguments(group, before) if row["key"] == key]
    return [each for row in rows for each in (row["choices"] or (["true", "false"] if row["type"] == "bool" else []))]


def _settings(verb: str) -> list[Row]:
    """The settings of a verb without the arguments of classes."""
    if verb == "list":
        return listing(SETTINGS)
    described = settings_without_classes() if verb in SELECTING else settings_of(VERBS[verb])
    return [setting_row(each) for each in described if each.key not in GROUPS]


def _choices(group: str, before: Sequence[str]) -> list[str]:
    """The choices of a group. Classes are imported only if others than normlib's may be among them."""
    packages = importlib.metadata.entry_points(group=f"normlib.{ROOMS[group]}") if group in CLASSES else ()
    if packages or "--config-dir" in before or any(word.startswith("plugins=") for word in before):
        return [row["name"] for row in _listed(group, before)]
    return choices_of(group)


def _arguments(group: str, before: Sequence[str]) -> list[Row]:
    """The arguments of a group's classes, or only of those that the line has chosen."""
    rows = {row["name"]: row for row in _listed(group, before)}
    named = (name for word in before if word.startswith(f"{group}=") for name in word.partition("=")[2].split(","))
    chosen = {rows[name].get("values", {}).get(group, name) for name in named if name in rows}
    return [each for name in chosen or rows for each in rows[name]["settings"]]


def _listed(group: str, before: Sequence[str]) -> list[Row]:
    """The choices of a group, with the plugins and folders that the line names."""
    plugins = [word for word in before if word.startswith("plugins=")]
    folders = [folder for flag, folder in itertools.pairwise(before) if flag == "--config-dir"]
    return [row for row in listing(group, *plugins, config_dirs=folders) if row["kind"] == group]
