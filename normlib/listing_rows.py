"""The rows of `normlib.listing`: one mapping per setting and per choice, with what its class or file says about it.

In: settings, registered classes, configuration files. Out: rows with the keys in `listing`'s docstring. Looks nothing
up.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from normlib.choices import config_dir
from normlib.experiments.settings import PLAIN_GROUPS, Described

if TYPE_CHECKING:
    from normlib.registry import Entry

Row = dict[str, Any]
SLOTS = {"site": "brings its own activation", "weight": "on the layer ahead", "branch": "for residual branches"}


def setting_row(described: Described) -> Row:
    each = described.setting
    default = (
        each.default if isinstance(each.default, bool | int | float | str | list | dict | None) else str(each.default)
    )
    return {
        "kind": "setting", "key": described.key, "type": each.type_text, "choices": list(each.choices), "default": default,
        "help": each.help, "changes_numbers": each.changes_numbers, "of": list(described.of),
    }  # fmt: skip


def merged(found: Iterable[Described]) -> Iterator[Row]:
    """A row for each setting. Choices whose settings of one key agree share a row."""
    rows: dict[str, Row] = {}
    for described in found:
        row = setting_row(described)
        same = rows.setdefault(repr({**row, "of": bool(row["of"])}), row)
        if same is not row:
            same["of"] += row["of"]
    return iter(rows.values())


def plain_choice(group: str, name: str, described: Iterable[Described]) -> Row:
    node = PLAIN_GROUPS[group][name]
    own = [setting_row(each) for each in described if each.key.startswith(f"{group}.") and each.of == (name,)]
    return _choice(group, name, str(node.__doc__), node.__module__, own)


def registered_choice(group: str, entry: Entry) -> Row:
    own = [setting_row(Described(f"{group}.{name}", each, (entry.name,))) for name, each in entry.settings.items()]
    row = _choice(group, entry.name, entry.summary, entry.cls.__module__, own)
    cls: Any = entry.cls
    if group == "norm":
        try:
            row["depends_on_batch"], row["place"] = bool(cls.depends_on_batch), SLOTS.get(cls.slot, "")
        except Exception as error:  # a plain module is tried out and may raise anything; the others are listed anyway
            row["depends_on_batch"], row["place"] = None, f"cannot be used: {error}"
        row["statistics_over"] = str(entry.metadata.get("statistics_over", ""))
        row["paper"] = str(entry.metadata.get("paper", ""))
    if group == "data":
        row["task"] = None if "task" in entry.settings else cls.task
    return row


def file_choices(group: str, config_dirs: Sequence[str]) -> Iterator[Row]:
    """The choices of a group that are files, each with its first paragraph of comments and its settings."""
    folders = [config_dir(), *map(Path, config_dirs)]
    files = {file.stem: file for folder in folders for file in (folder / group).glob("*.yaml")}
    for name, file in sorted(files.items()):
        text = re.sub(r"\A# @.*\n", "", file.read_text(encoding="utf-8"))
        comment = re.match(r"(?:# .*\n)*", text)
        words = re.sub(r"^# ", "", comment[0] if comment else "", flags=re.MULTILINE)
        yield {**_choice(group, name, words, str(file), []), "values": _values(group, name, text, config_dirs)}


def _values(group: str, name: str, text: str, config_dirs: Sequence[str]) -> dict[str, Any]:
    """What a configuration file sets, by key. An experiment sets its axes and further settings."""
    from omegaconf import OmegaConf

    from normlib.experiments.folders import experiment_file, sweep_params

    if group == "experiment":
        content = experiment_file(name, config_dirs)
        return {**sweep_params(content), **_flat({key: content[key] for key in content if key != "hydra"})}
    values: Any = OmegaConf.to_container(OmegaConf.create(text))
    based_on = [each for each in values.pop("defaults", []) if each != "_self_"]
    return {**({group: based_on[0]} if based_on else {}), **_flat(values, f"{group}.")}


def _flat(node: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in node.items():
        flat |= _flat(value, f"{above}{key}.") if isinstance(value, Mapping) else {f"{above}{key}": value}
    return flat


def _choice(group: str, name: str, words: str, source: str, settings: list[Row]) -> Row:
    summary = " ".join(words.replace("`", "").split())
    return {
        "kind": group,
        "name": name,
        "key": f"{group}={name}",
        "help": summary,
        "source": source,
        "settings": settings,
    }
