"""What there is to choose and to set, as plain data. `normlib list` prints it and `normlib.list` returns it.

In: names, such as norm, norm=group, optimizer.lr_rule. Out: a mapping for each choice and each setting. torch is
imported only if a name asks for classes: norms, models, data, tasks, and anything called like one of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from normlib.experiments.settings import GROUPS, PLAIN_GROUPS, Described, settings_without_classes
from normlib.listing_rows import Row, file_choices, merged, plain_choice, registered_choice
from normlib.naming import unknown_name
from normlib.registry import RegistryError
from normlib.settings import settings_in
from normlib.timings.settings import BenchSettings

SETTINGS = "settings"
"""The name for all settings that belong to no registered class."""
CLASSES = ("norm", "model", "data", "task")


def listing(*names: str, config_dirs: Sequence[str] = ()) -> list[Row]:
    """A row for each choice and each setting that the names stand for. Without a name, all rows.

    A name is a group (``norm``), a choice (``norm=group``, or ``group``), a setting (``optimizer.lr_rule``, or
    ``lr_rule``), a section of settings (``training``), or ``settings``. ``plugins=[my_norm.py]`` also loads what is
    registered there.

    The row of a choice has the keys `kind` (its group), `name`, `key`, `help`, `source` and `settings`, a list of rows.
    A norm also has `statistics_over`, `depends_on_batch`, `place` and `paper`, a dataset `task`, and a configuration
    file `values`. The row of a setting has `kind` ("setting"), `key`, `type`, `choices`, `default`, `help`,
    `changes_numbers` and `of`: the choices of its group that have it (empty: all). Raises RegistryError for an unknown
    name, and ConfigError.
    """
    overrides = [name for name in names if name.startswith("plugins=")]
    catalogue = _Catalogue(overrides, config_dirs)
    wanted = [name for name in names if name not in overrides]
    if not wanted:
        return [*(row for group in GROUPS for row in catalogue.choices(group)), *catalogue.settings(with_classes=True)]
    return [row for name in wanted for row in catalogue.find(name)]


class _Catalogue:
    """All rows. The registered classes are imported at the first use."""

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
            return [plain_choice(group, name, self.described) for name in PLAIN_GROUPS[group]]
        entries = self.registries()[group].entries() if group in CLASSES else []
        return [*(registered_choice(group, entry) for entry in entries), *file_choices(group, self.config_dirs)]

    def settings(self, with_classes: bool) -> list[Row]:
        """The rows of settings. Choices whose settings of one key agree share a row."""
        found = [each for each in self.described if each.key not in GROUPS]
        if with_classes:
            for group, registry in self.registries().items():
                found += [
                    Described(f"{group}.{name}", each, (entry.name,))
                    for entry in registry.entries()
                    for name, each in entry.settings.items()
                ]
        return [*merged(found)]

    def find(self, name: str) -> list[Row]:
        """The rows that a name stands for. Raises RegistryError with the closest names."""
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
        """What a bare name may be besides a setting: a choice of any group, or an argument of a class."""
        choices = {row["key"]: row for group in GROUPS for row in self.choices(group)}
        every = self.settings(with_classes=True)
        found = [row for row in choices.values() if row["name"] == name]
        found += [row for row in every if row["key"].endswith(f".{name}")]
        if not found:
            section = name.rpartition(".")[0]
            known = {row["key"] for row in every if not section or row["key"].startswith(f"{section}.")}
            sections = {row["key"].partition(".")[0] for row in every}
            bare = set() if section else {*GROUPS, SETTINGS, *sections, *(row["name"] for row in choices.values())}
            raise RegistryError(unknown_name("setting, choice or group", name, {*known, *bare}))
        return found
