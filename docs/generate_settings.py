"""Writes docs/settings.md from the settings themselves: every setting with its type, its default and its help.

    python docs/generate_settings.py

In: the dataclasses that hold the settings and the constructors of normlib's own norms, models, datasets and tasks. A test holds
the committed file against what this makes, and fails where a setting has no help. No word on a setting stands here.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from normlib.experiments.settings import GROUPS, ROLES, choices_of, settings_without_classes
from normlib.listing import CLASSES, listing
from normlib.listing_rows import Row
from normlib.listing_text import HEADINGS
from normlib.settings import as_typed

PAGE = Path(__file__).resolve().parent / "settings.md"
LEAD = """# Settings

Everything that can be set, as `python docs/generate_settings.py` writes it from the settings themselves. On the command line a
setting is `key=value`, and several values make an axis, `key=a,b`. `normlib list KEY` shows one, `normlib list norm=group` a choice
with its own settings, and `normlib list --json` all of them for programs.

"New runs" says whether another value changes the numbers of a run: it then enters the run's id, and the run is trained again."""


class SettingWithoutHelp(ValueError):
    """A setting without a line of help; the message names it and says where to write it."""


def text() -> str:
    """The text of docs/settings.md. Raises SettingWithoutHelp."""
    rows = [row for row in listing() if row["kind"] == "setting" or row["source"].startswith("normlib.")]
    check(rows)
    settings = [row for row in rows if row["kind"] == "setting"]
    roles = {each.key: each.setting.role for each in settings_without_classes()}
    parts = [LEAD, "## Choices", choices_table()]
    for role, heading in ROLES.items():
        parts += [
            f"## {heading}",
            table(row for row in settings if roles.get(row["key"]) == role and not of_a_class(row)),
        ]
    for group in CLASSES:
        own = (row for row in settings if of_a_class(row) and row["key"].startswith(f"{group}."))
        parts += [f"## Settings of single {HEADINGS[group]}", table(own)]
    parts += ["## What `normlib bench` times", table(row for row in settings if row["key"].startswith("bench."))]
    return "\n\n".join(parts) + "\n"


def check(rows: Iterable[Row]) -> None:
    """Refuse a setting without help."""
    for row in rows:
        for each in [row, *row.get("settings", [])]:
            if not each["help"]:
                raise SettingWithoutHelp(
                    f"{each['key']} {each.get('of', '')} has no help: add it where the setting is, setting(..., help=...), or below "
                    "`Settings:` in the docstring of the class"
                )


def choices_table() -> str:
    """The config groups with their choices."""
    lines = ["| group | what it is | choices |", "|:---|:---|:---|"]
    for group in GROUPS:
        lines.append(f"| `{group}` | {GROUPS[group]} | {', '.join(f'`{name}`' for name in choices_of(group))} |")
    return "\n".join(lines)


def table(rows: Iterable[Row]) -> str:
    """Settings, one a line."""
    lines = ["| setting | type | default | new runs | what it is |", "|:---|:---|:---|:---|:---|"]
    for row in rows:
        kinds = ", ".join(f"`{name}`" for name in row["choices"])
        type_ = f"{kinds}{' or null' if 'null' in row['type'] else ''}" if kinds else row["type"]
        of = f" ({', '.join(row['of'])})" if row["of"] else ""
        new = "yes" if row["changes_numbers"] else "no"
        lines.append(
            f"| `{row['key']}`{of} | {type_} | `{as_typed(row['default'])}` | {new} | {row['help'].replace('|', chr(92) + '|')} |"
        )
    return "\n".join(lines)


def of_a_class(row: Row) -> bool:
    """Whether a setting is an argument of registered classes."""
    return bool(row["of"]) and row["key"].partition(".")[0] in CLASSES


if __name__ == "__main__":
    PAGE.write_text(text(), encoding="utf-8")
    print(PAGE.name)
