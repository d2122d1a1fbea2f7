"""What there is to choose and to set, as plain data: what `normlib list` prints and `normlib.list` returns.

In: names, as in norm, norm=group, optimizer.lr_rule. Out: a mapping for each choice and each setting. torch is imported only where
a name asks for classes: norms, models, data, tasks, and what is called like one of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from normlib.bench.settings import BenchSettings
from normlib.choices import config_dir
from normlib.experiments.settings import GROUPS, PLAIN_GROUPS, Described, settings_without_classes
from normlib.naming import unknown_name
from normlib.registry import Entry, RegistryError
from normlib.settings import settings_in

Row = dict[str, Any]
SETTINGS = "settings"
"""The name of all settings that belong to no registered class."""
MOST_NAMED = 40
"""Names that a message about a wrong one lists."""
CLASSES = ("norm", "model", "data", "task")
SLOTS = {"site": "brings its own activation", "weight": "on the layer ahead", "branch": "for residual branches"}


def listing(*names: str, config_dirs: Sequence[str] = ()) -> list[Row]:
    """A row for each choice and each setting that the names stand for; all rows without a name.

    A name is a group (``norm``), a choice (``norm=group``, or ``group``), a setting (``optimizer.lr_rule``, or ``lr_rule``), a
    section of settings (``training``), or ``settings``; ``plugins=[my_norm.py]`` loads what is registered there.

    A row of a choice has the keys `kind` (its group), `name`, `key`, `help`, `source` and `settings`, a list of rows; a norm also
    `statistics_over`, `depends_on_batch`, `place` and `paper`, a dataset `task`, and a file of the configuration `values`. A row of a
    setting has `kind` ("setting"), `key`, `type`, `choices`, `default`, `help`, `changes_numbers` and `of`, the choices of its
    group that have it (empty: all). Raises RegistryError for a name that is not known, and ConfigError.
    """
    overrides = [name for name in names if name.startswith("plugins=")]
    catalogue = _Catalogue(overrides, config_dirs)
    wanted = [name for name in names if name not in overrides]
    if not wanted:
        return [*(row for group in GROUPS for row in catalogue.choices(group)), *catalogue.settings(with_classes=True)]
    return [row for name in wanted for row in catalogue.find(name)]


class _Catalogue:
    """All rows; the registered classes are imported when they are first asked for."""

    def __init__(self, overrides: Sequence[str], config_dirs: Sequence[str]) -> None:
        self.overrides, self.config_dirs = overrides, config_dirs
        self.described = [
            *settings_without_classes(),
            *(Described(f"bench.{name}", each) for name, each in settings_in(BenchSettings).items()),
        ]
        self._registries: Mapping[str, Any] | None = None
        if overrides or config_dirs:
            self.registries()

    def registries(self) -> Mapping[str, Any]:
        if self._registries is None:
            from normlib.experiments.config import load_classes

            self._registries = load_classes(self.overrides, self.config_dirs)
        return self._registries

    def choices(self, group: str) -> list[Row]:
        if group in PLAIN_GROUPS:
            return [_plain_choice(group, name, self.described) for name in PLAIN_GROUPS[group]]
        entries = self.registries()[group].entries() if group in CLASSES else []
        return [*(_registered_choice(group, entry) for entry in entries), *_files(group, self.config_dirs)]

    def settings(self, with_classes: bool) -> list[Row]:
        """The rows of settings, each key once for all choices that have the same."""
        found = [each for each in self.described if each.key not in GROUPS]
        if with_classes:
            for group, registry in self.registries().items():
                found += [
                    Described(f"{group}.{name}", each, (entry.name,))
                    for entry in registry.entries()
                    for name, each in entry.settings.items()
                ]
        return [*_merged(found)]

    def find(self, name: str) -> list[Row]:
        """The rows that a name stands for. RegistryError with the closest names."""
        if name == SETTINGS:
            return self.settings(with_classes=False)
        if "=" in name:
            return self._chosen(*name.split("=", 1))
        group = name.partition(".")[0]
        rows = self.settings(with_classes=group in CLASSES and name not in GROUPS)
        below = [row for row in rows if row["key"].startswith(f"{name}.")]
        if name in GROUPS:
            return [*self.choices(name), *below]
        found = [row for row in rows if row["key"] == name] or below
        if not found and "." not in name:
            found = [row for row in rows if row["key"].endswith(f".{name}")]
        if found:
            return found
        return self._somewhere(name, rows)

    def _chosen(self, group: str, texts: str) -> list[Row]:
        if group not in GROUPS:
            raise RegistryError(unknown_name("group", group, GROUPS))
        rows = {row["name"]: row for row in self.choices(group)}
        for text in texts.split(","):
            if text not in rows:
                raise RegistryError(f"{group}={text}: {unknown_name(group, text, rows)}")
        return [rows[text] for text in texts.split(",")]

    def _somewhere(self, name: str, rows: Sequence[Row]) -> list[Row]:
        """What a bare name may be beside a setting: a choice of any group, or an argument of a class."""
        choices = {row["key"]: row for group in GROUPS for row in self.choices(group)}
        every = self.settings(with_classes=True)
        found = [row for row in choices.values() if row["name"] == name]
        found += [row for row in every if row["key"].endswith(f".{name}")]
        if not found:
            section = name.rpartition(".")[0]
            known = {row["key"] for row in every if not section or row["key"].startswith(f"{section}.")}
            sections = {row["key"].partition(".")[0] for row in every}
            bare = set() if section else {*GROUPS, SETTINGS, *sections, *(row["name"] for row in choices.values())}
            raise RegistryError(unknown_name("setting, choice or group", name, {*known, *bare}, MOST_NAMED))
        return found


def _row(described: Described) -> Row:
    each = described.setting
    default = (
        each.default if isinstance(each.default, bool | int | float | str | list | dict | None) else str(each.default)
    )
    return {
        "kind": "setting", "key": described.key, "type": each.type_text, "choices": list(each.choices), "default": default,
        "help": each.help, "changes_numbers": each.changes_numbers, "of": list(described.of),
    }  # fmt: skip


def _merged(found: Iterable[Described]) -> Iterator[Row]:
    """A row for each setting; choices whose settings of one key agree share a row."""
    rows: dict[str, Row] = {}
    for described in found:
        row = _row(described)
        same = rows.setdefault(repr({**row, "of": bool(row["of"])}), row)
        if same is not row:
            same["of"] += row["of"]
    return iter(rows.values())


def _plain_choice(group: str, name: str, described: Iterable[Described]) -> Row:
    node = PLAIN_GROUPS[group][name]
    own = [_row(each) for each in described if each.key.startswith(f"{group}.") and each.of == (name,)]
    return _choice(group, name, str(node.__doc__), node.__module__, own)


def _registered_choice(group: str, entry: Entry) -> Row:
    own = [_row(Described(f"{group}.{name}", each, (entry.name,))) for name, each in entry.settings.items()]
    row = _choice(group, entry.name, entry.summary, entry.cls.__module__, own)
    cls: Any = entry.cls
    if group == "norm":
        try:
            row["depends_on_batch"], row["place"] = bool(cls.depends_on_batch), SLOTS.get(cls.slot, "")
        except (
            Exception
        ) as error:  # a plain module is tried out, and may raise anything; the others are listed all the same
            row["depends_on_batch"], row["place"] = None, f"cannot be used: {error}"
        row["statistics_over"] = str(entry.metadata.get("statistics_over", ""))
        row["paper"] = str(entry.metadata.get("paper", ""))
    if group == "data":
        row["task"] = None if "task" in entry.settings else cls.task
    return row


def _files(group: str, config_dirs: Sequence[str]) -> Iterator[Row]:
    """The choices of a group that are files, each with its first paragraph of comments and what it sets."""
    folders = [config_dir(), *map(Path, config_dirs)]
    files = {file.stem: file for folder in folders for file in (folder / group).glob("*.yaml")}
    for name, file in sorted(files.items()):
        text = re.sub(r"\A# @.*\n", "", file.read_text(encoding="utf-8"))
        comment = re.match(r"(?:# .*\n)*", text)
        words = re.sub(r"^# ", "", comment[0] if comment else "", flags=re.MULTILINE)
        yield {**_choice(group, name, words, str(file), []), "values": _values(group, name, text, config_dirs)}


def _values(group: str, name: str, text: str, config_dirs: Sequence[str]) -> dict[str, Any]:
    """What a file of the configuration sets, by key: an experiment its axes and the settings beside them."""
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
