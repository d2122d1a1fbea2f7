"""The configuration's types: one node for each registered norm, model and dataset, made from its signature.

Hydra checks every override against these, refuses unknown keys, and completes names in the shell. No torch here, but
reading the registries imports it.
"""

from __future__ import annotations

import copy
import dataclasses
import typing
from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig

from normlib.data import datasets
from normlib.models import models
from normlib.norms import norms
from normlib.registry import Entry, Registry, RegistryError
from normlib.tasks import tasks
from normlib.training.spec import (
    OPTIMIZERS,
    SCHEDULES,
    DataSettings,
    EvaluationSettings,
    InitSettings,
    ModelSettings,
    NormSettings,
    SiteSettings,
    TrainingSettings,
)

PROVIDER = "normlib"
GROUPS: dict[str, Registry] = {"norm": norms, "model": models, "data": datasets, "task": tasks}
COMMON: dict[str, type] = {"norm": NormSettings, "model": ModelSettings, "data": DataSettings}
"""What every choice of a group has beside the arguments of its class."""


def open_mapping() -> DictConfig:
    """An empty mapping that takes any key: the arguments of a constructor that is not known here."""
    return DictConfig({}, flags={"struct": False})


@dataclass
class UserClass:
    """A class of the user's own: where it is, as in my_file.py:MyClass, and the arguments of its constructor."""

    path: str | None = None
    args: Any = field(default_factory=open_mapping)


@dataclass
class UserFunction:
    """A training function of the user's own: where it is, as in my_file.py:train."""

    path: str | None = None


@dataclass
class Root:
    """Everything that can be set. The settings from `data_dir` on cannot change a run's numbers and are not in its id.

    `name`: the folder in `results_dir` that records lie in; None is the experiment's, and for `compare` without `experiment=`
    that of small_batch or, with other axes or settings than its own, "comparison".
    `module`, `datamodule`, `trainer`: a LightningModule of the user's own in the place of model, task, optimizer and training,
    its data, and the settings of Lightning's Trainer. `function`, `condition`: a training function of the user's own,
    `train(norm_layer, seed, **condition)`, and its arguments. `higher_is_better`: the metric's direction, where its name does not tell.
    `task`: what is learned; None is what the data are for. `metric`: the figure that tables show; None is the task's first.
    `baseline`: the label on the rows that every other one is held against. `rope`: the difference within which arms are equal
    for practical purposes, in points where the metric is in %, else in its unit; None is half a point, and no such region for
    other units. `target`: the figure to reach on validation (a fraction where the metric is in %); None is 5 % short of the
    baseline's final one in each condition. `control`: whether the baseline runs a second time under another name, as a check of the comparison
    itself. `most_seeds`: the most seeds that seed=auto adds; it adds them until every comparison is decided.
    `tuning`: {axis: a setting, values: a list, replicates: a number} to choose that setting for each arm alike.
    """

    norm: Any = MISSING
    model: Any = MISSING
    data: Any = MISSING
    task: Any = None
    module: UserClass = field(default_factory=UserClass)
    datamodule: UserClass = field(default_factory=UserClass)
    trainer: Any = field(default_factory=open_mapping)
    function: UserFunction = field(default_factory=UserFunction)
    condition: Any = field(default_factory=open_mapping)
    optimizer: Any = MISSING
    schedule: Any = MISSING
    site: SiteSettings = field(default_factory=SiteSettings)
    init: InitSettings = field(default_factory=InitSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    seed: int = 0
    accelerator: str = "auto"
    threads: int = 1
    data_dir: str = "~/.cache/normlib"
    results_dir: str = "results"
    name: str | None = None
    plugins: list[str] = field(default_factory=list)
    jobs: int | None = None
    retry_failed: bool = True
    save_weights: bool = False
    logger: Any = None
    rows: str = "norm"
    columns: str = "data.batch_size"
    metric: str | None = None
    higher_is_better: bool | None = None
    baseline: str = "batch"
    rope: float | None = None
    target: float | None = None
    control: bool = True
    most_seeds: int = 40
    tuning: Any = None


_stored: dict[tuple[str, str], Entry] = {}
"""What Hydra's store has a node of, by group and name."""


def store_schema() -> None:
    """Put a node for every registered class, and the root, where Hydra finds them."""
    store = ConfigStore.instance()
    for group, registry in GROUPS.items():
        for entry in registry.entries():
            there = f"{entry.name}.yaml" in store.repo.get(group, {})
            if (
                not there or _stored.get((group, entry.name)) is not entry
            ):  # most are there already, and a node takes its time
                node = settings_node(group, entry, COMMON.get(group))
                store.store(group=group, name=entry.name, node=node, provider=PROVIDER)
                _stored[group, entry.name] = entry
    root = store.repo.get("schema.yaml")
    if root is not None and root.provider == PROVIDER:  # what comes from no registry never changes
        return
    store.store(name="schema", node=Root, provider=PROVIDER)
    for group, choices in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES)):
        for name, node in choices.items():
            store.store(group=group, name=name, node=node, provider=PROVIDER)


def settings_node(group: str, entry: Entry, common: type | None) -> type:
    """A dataclass with the settings of a registered class: its name, what the group has in common, its arguments.

    A model may have a `name` of its own, that of one among many networks; its registered name then is in `registered`. Raises
    RegistryError for any other argument that has the name of a common setting.
    """
    named = group == "model" and "name" in entry.settings
    fields: list[Any] = [("registered" if named else "name", str, field(default=entry.name))]
    if common is not None:
        hints = typing.get_type_hints(common)
        fields += [(f.name, hints[f.name], field(default=f.default)) for f in dataclasses.fields(common)]
    taken = sorted({name for name, _, _ in fields} & set(entry.settings))
    if taken:
        raise RegistryError(
            f"{group} {entry.name!r}: every {group} has the setting {taken[0]!r} from normlib, so the constructor's argument "
            f"of that name could not be told from it; give the argument another name"
        )
    for setting in entry.settings.values():
        if isinstance(setting.default, list):
            default = field(default_factory=lambda value=setting.default: copy.copy(value))  # type: ignore[misc]
        elif (group, entry.name, setting.name) == ("model", "module", "args"):
            default = field(default_factory=open_mapping)
        else:
            default = field(default=setting.default)
        fields.append((setting.name, setting.type, default))
    return dataclasses.make_dataclass(f"{group}_{entry.name}", fields)
