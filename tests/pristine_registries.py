"""Takes back what a test registered: names, configuration nodes, loaded plugin files, and what was remembered of them.

A test file that loads plugins imports `pristine_registries`, which then surrounds each of its tests.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator

import pytest
from hydra.core.config_store import ConfigStore

from normlib import plugins
from normlib.experiments.schema import GROUPS, store_schema


@pytest.fixture(autouse=True)
def pristine_registries() -> Iterator[None]:
    """Registries, Hydra's store, the module table and the search path afterwards as they were before."""
    for registry in GROUPS.values():
        registry.load()
    store_schema()
    entries = {group: dict(registry._entries) for group, registry in GROUPS.items()}
    nodes = copy.copy({group: dict(ConfigStore.instance().repo[group]) for group in GROUPS})
    modules, path = set(sys.modules), list(sys.path)
    yield
    for group, registry in GROUPS.items():
        registry._entries.clear()
        registry._entries.update(entries[group])
        ConfigStore.instance().repo[group] = nodes[group]
    for name in set(sys.modules) - modules:
        if name.startswith(("normlib_plugin_", "my_")):
            del sys.modules[name]
    sys.path[:] = path
    plugins._plugins.clear()
    plugins._finder.folders.clear()
