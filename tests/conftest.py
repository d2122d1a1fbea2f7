"""What the tests of every room share: torch on one thread, runs as the plan makes them, registrations that are taken back."""

from __future__ import annotations

import copy
import functools
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported, which not every test does

# Files whose tests take longest, for processes start in them: first, so that no worker is left alone with one at the end.
LONG = ("test_readme.py", "test_killed_sweeps.py", "test_final_records.py", "test_plugin_projects.py", "test_cells.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first, every file's tests in their own order."""
    items.sort(key=lambda item: item.path.name not in LONG)


@pytest.fixture(scope="session")
def make_run() -> Callable[..., Any]:
    """``make_run(*overrides)``: the run that `normlib train` would make of the overrides, on the CPU.

    Hydra composes once a session for each choice of groups (composing takes most of the time of a short run);
    tests/training/test_run_fixture.py holds the result against the plan's.
    """
    import torch
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from omegaconf import OmegaConf

    from normlib.experiments.config import configuration
    from normlib.experiments.resolve import resolve
    from normlib.experiments.schema import GROUPS

    torch.set_num_threads(1)
    parser = OverridesParser.create()
    groups = {*GROUPS, "optimizer", "schedule"}

    @functools.cache
    def composed(*choices: str) -> Any:
        with configuration(choices) as composer:
            return composer.compose(choices)

    @functools.cache
    def planned(*overrides: str) -> Any:
        if not any(override.startswith("accelerator=") for override in overrides):
            overrides = (*overrides, "accelerator=cpu")
        values = {override.get_key_element(): override for override in parser.parse_overrides(list(overrides))}
        base = composed(*(override.input_line for key, override in values.items() if key in groups))
        config = copy.deepcopy(base.config)
        for key, override in values.items():
            if key not in groups:
                OmegaConf.update(config, key, override.value())
        return resolve(OmegaConf.to_container(config, resolve=True), base.choices, overrides)

    return planned


@pytest.fixture(scope="session")
def train(make_run: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """``train(*overrides, **options)``: the record of such a run, trained again in this process each time.

    `weights_file` is where the final weights go; other options are those of `train_run`.
    """
    data_dir: Path = tmp_path_factory.mktemp("data")

    def record(*overrides: str, weights_file: Path | None = None, **options: Any) -> Any:
        from normlib.training.run import train_run
        from normlib.training.weights import write_weights

        trained = train_run(make_run(*overrides), data_dir, **options)
        if weights_file is not None:
            write_weights(trained.weights, weights_file)
        return trained.record

    return record


@pytest.fixture(scope="session")
def _stored_schema() -> None:
    """Every group's choices in Hydra's store, so that what a test adds can be told from them."""
    from normlib.experiments.schema import store_schema

    store_schema()


@pytest.fixture(autouse=True)
def pristine_registries(_stored_schema: None) -> Iterator[None]:
    """What a test registers ends with it: names, configuration nodes, plugins with their modules, and the search path.

    Else a later test of the same process would find the name, and which test that is depends on the day.
    """
    from hydra.core.config_store import ConfigStore

    from normlib import plugins
    from normlib.experiments.schema import GROUPS

    repo = ConfigStore.instance().repo
    before = [(registry, dict(registry._entries), group, dict(repo[group])) for group, registry in GROUPS.items()]
    modules, path = set(sys.modules), list(sys.path)
    yield
    if tables := sys.modules.get("normlib.results.tables.table"):
        for name in [name for name, each in tables._registered.items() if not each.own]:
            del tables._registered[name]
    for registry, entries, group, nodes in before:
        registry._entries.clear()
        registry._entries.update(entries)
        repo[group] = nodes
    for name in set(sys.modules) - modules:
        if name.startswith(("normlib_plugin_", "my_")):
            del sys.modules[name]
    sys.path[:] = path
    plugins._plugins.clear()
    plugins._finder.folders.clear()


@pytest.fixture
def registered() -> Callable[..., Callable[[type], type]]:
    """``@registered(norms, "name")`` registers a class for the length of one test. Names must differ between tests."""

    def decorator(registry: Any, name: str, **metadata: Any) -> Callable[[type], type]:
        registry.load()
        return registry.register(name, **metadata)

    return decorator
