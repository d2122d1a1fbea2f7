"""Everything that can be set, except the arguments of norms, models, datasets and tasks: the root of the configuration.

Out: the dataclasses that Hydra checks, the names of their settings by role, and a description of each. Imports neither
torch nor Hydra, so the help comes at once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from normlib.choices import choices_in_sources
from normlib.settings import Setting, setting, settings_in
from normlib.training.settings import (
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

ROLES = {
    "section": "Settings of a run",
    "scalar": "Seed and machine",
    "own code": "A training of your own",
    "place": "Where records lie",
    "plugins": "Norms, models, data and tasks of your own",
    "work": "How the runs are worked through",
    "comparison": "What a comparison adds",
    "question": "What a report answers",
    "figures": "How figures are made",
}
"""The roles of settings, as headings of documents. The first three make up a run's spec."""

COMMON: dict[str, type] = {"norm": NormSettings, "model": ModelSettings, "data": DataSettings}
"""What every choice of a group has besides the arguments of its class."""

PLAIN_GROUPS: dict[str, dict[str, type]] = {"optimizer": OPTIMIZERS, "schedule": SCHEDULES}
"""The groups whose choices are dataclasses."""


GROUPS = {
    "norm": "the norm at every site",
    "model": "the network",
    "data": "the data",
    "task": "what is learned; null is what the data are for",
    "optimizer": "the optimizer",
    "schedule": "the learning rate over the run",
    "logger": "a logger of Lightning's beside the record",
    "experiment": "the comparison to start from: its axes and settings",
}
"""The config groups: settings whose value is a choice with its own settings."""


def choices_of(group: str) -> list[str]:
    """The choices of a config group that normlib provides."""
    return [*PLAIN_GROUPS[group]] if group in PLAIN_GROUPS else choices_in_sources(group)


def open_mapping() -> Any:
    """An empty mapping that takes any key: the arguments of a constructor that is not known here."""
    from omegaconf import DictConfig

    return DictConfig({}, flags={"struct": False})


@dataclass
class UserClass:
    """A class of the user's own."""

    path: str | None = setting(None, help="where the class is, as in my_file.py:MyClass")
    args: Any = setting(factory=open_mapping, help="arguments of its constructor, as in args.width=32")


@dataclass
class UserFunction:
    """A training function of the user's own."""

    path: str | None = setting(None, help="where the function is, as in my_file.py:train")


@dataclass
class FigureSettings:
    """How figures are made for print."""

    width: str = setting(
        "text",
        choices=("column", "text"),
        help="what figures fit in print: a column (3.35 inches) or the text (6.9 inches) of a paper",
        changes_numbers=False,
    )


def _section(factory: Any, help: str, role: str = "section") -> Any:
    return setting(factory=factory, help=help, role=role)


def _group(group: str) -> Any:
    """A choice that the configuration always makes. "???" is OmegaConf's missing value."""
    return setting("???", help=GROUPS[group], role="section")


def _outside(default: Any, role: str, help: str) -> Any:
    """A setting that cannot change a run's numbers and is not in its id."""
    return setting(default, help=help, role=role, changes_numbers=False)


@dataclass
class Root:
    """Everything that can be set, each setting with its help."""

    norm: Any = _group("norm")
    model: Any = _group("model")
    data: Any = _group("data")
    task: Any = setting(None, help=GROUPS["task"], role="section")
    module: UserClass = _section(
        UserClass, "a LightningModule, in place of model, task, optimizer, training", "own code"
    )
    datamodule: UserClass = _section(UserClass, "its data, a LightningDataModule", "own code")
    trainer: Any = _section(open_mapping, "settings of Lightning's Trainer, as in trainer.max_epochs=3", "own code")
    function: UserFunction = _section(
        UserFunction, "a training function, train(norm_layer, seed, **condition)", "own code"
    )
    condition: Any = _section(open_mapping, "its arguments, as in condition.lr=0.1", "own code")
    site: SiteSettings = _section(SiteSettings, "the sites of the network")
    init: InitSettings = _section(InitSettings, "how the trunk is filled")
    optimizer: Any = _group("optimizer")
    schedule: Any = _group("schedule")
    training: TrainingSettings = _section(TrainingSettings, "the budget and the step")
    evaluation: EvaluationSettings = _section(EvaluationSettings, "when and with which statistics a run is evaluated")
    seed: int = setting(0, help="the replicate: trunk, data order and augmentation follow from it", role="scalar")
    accelerator: str = setting(
        "auto",
        choices=("auto", "cpu", "cuda", "mps"),
        help="the device; auto takes the fastest that is available",
        role="scalar",
    )
    threads: int = setting(1, help="CPU threads of a run", role="scalar")
    data_dir: str = _outside("~/.cache/normlib", "work", "the folder of downloaded data")
    results_dir: str = _outside("results", "place", "the folder of all results")
    name: str | None = _outside(
        None,
        "place",
        "the folder in results_dir; null is the experiment's name, or 'comparison' where compare changes small_batch",
    )
    plugins: list[str] = _outside(
        [], "plugins", "files or modules that register norms, models, data, tasks, as in plugins=[my_norm.py]"
    )
    jobs: int | None = _outside(None, "comparison", "worker processes; null is one for each core")
    retry_failed: bool = _outside(True, "work", "whether failed runs are run again")
    save_weights: bool = _outside(False, "work", "whether each run saves its trained weights")
    logger: Any = _outside(None, "work", GROUPS["logger"])
    rows: str = _outside("norm", "question", "the setting whose values are the rows of the tables")
    columns: str = _outside("data.batch_size", "question", "the setting whose values are the columns")
    metric: str | None = _outside(None, "question", "the figure that is compared; null is the task's first")
    higher_is_better: bool | None = _outside(None, "question", "the metric's direction, if its name does not say it")
    baseline: str = _outside("batch", "question", "the row that every other row is compared with")
    rope: float | None = _outside(
        None,
        "question",
        "the difference within which arms are equal in practice, in points if the metric is in %, else in its unit; "
        "null is 0.5 points",
    )
    target: float | None = _outside(
        None,
        "question",
        "the validation figure to reach (0.95 is 95 %); null is 5 % short of the baseline's final one",
    )
    figures: FigureSettings = setting(
        factory=FigureSettings, help="how figures are made", role="figures", changes_numbers=False
    )
    control: bool = _outside(
        True, "comparison", "whether the baseline runs a second time, as a check of the comparison"
    )
    most_seeds: int = _outside(
        40, "comparison", "the most seeds that seed=auto adds; it adds them until every comparison is decided"
    )
    tuning: Any = _outside(
        None,
        "comparison",
        "a setting chosen for each arm alike: {axis: its key, values: a list, replicates: trials of each value}",
    )


def names_of(*roles: str) -> tuple[str, ...]:
    """The settings at the root that have one of these roles, in order."""
    return tuple(name for name, each in settings_in(Root).items() if each.role in roles)


SECTIONS = names_of("section")
"""What the spec of a run holds besides `SCALARS`."""
USER_SECTIONS = names_of("own code")
"""What a spec has in place of most sections, if a user's own LightningModule or function is compared."""
SCALARS = names_of("scalar")


@dataclass(frozen=True)
class Described:
    """A setting with its whole key, such as optimizer.lr, and the choices of its group that have it; () is all."""

    key: str
    setting: Setting
    of: tuple[str, ...] = ()


def settings_without_classes() -> Iterator[Described]:
    """Every setting except the arguments of registered classes, section by section."""
    for name, each in settings_in(Root).items():
        if isinstance(each.type, type) and dataclasses.is_dataclass(each.type):
            for inner, described in settings_in(each.type).items():
                yield Described(f"{name}.{inner}", dataclasses.replace(described, role=each.role))
            continue
        yield Described(name, each)
        for inner, described in settings_in(COMMON[name]).items() if name in COMMON else ():
            yield Described(f"{name}.{inner}", dataclasses.replace(described, role=each.role))
        for choice, node in PLAIN_GROUPS.get(name, {}).items():
            for inner, described in settings_in(node).items():
                yield Described(f"{name}.{inner}", dataclasses.replace(described, role=each.role), (choice,))
