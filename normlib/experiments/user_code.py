"""A comparison on a LightningModule or a training function of the user's own: one configuration to one run.

In: overrides and composed settings that name a module. Out: runs, or a refusal. Builds and trains nothing but the one batch of
`try_metrics`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from normlib.experiments.complaints import ConfigError
from normlib.norms import norms
from normlib.plugins import load_named
from normlib.registry import unknown_name
from normlib.training import source
from normlib.training.environment import resolve_accelerator
from normlib.training.spec import SCALARS, Run, run_id
from normlib.training.user_module import BATCH_SIZE, constructor_settings

SHORT = {
    "module": "module.path",
    "datamodule": "datamodule.path",
    "function": "function.path",
    "metric.higher_is_better": "higher_is_better",
}
"""What a user writes, and the setting that it stands for."""
OPEN = ("norm", "module", "datamodule", "trainer", "data.batch_size", "site.norm_batch_size", "site.horizon")
"""The settings of a run that a module leaves open; it brings everything else itself."""
NOT_OF_A_RUN = ("model", "data", "task", "site", "init", "optimizer", "schedule", "training", "evaluation")
OURS = {
    "logger": "set logger=csv and the like instead",
    "enable_checkpointing": "a run keeps a checkpoint of its last epoch, so that it goes on after a stop",
    "default_root_dir": "a run's files lie in results_dir",
    "accelerator": "set accelerator= instead",
    "devices": "a run takes one device; several runs go on side by side with jobs=",
    "num_nodes": "a run takes one device",
}
"""Settings of Lightning's Trainer that are normlib's to set, and what to do instead."""
TRAINING_FILES = (
    "models/site.py", "norms/running.py", "training/installation.py", "training/lightning.py", "training/loaders.py",
    "training/network.py", "training/record.py", "training/recorder.py", "training/run.py", "training/seeding.py",
    "training/spec.py", "training/surroundings.py", "training/trainer.py", "training/user_module.py",
)  # fmt: skip
FUNCTION_FILES = (
    "norms/running.py",
    "training/run.py",
    "training/seeding.py",
    "training/surroundings.py",
    "training/user_function.py",
)


def written_out(overrides: Sequence[str]) -> list[str]:
    """The overrides with short keys written out: `module=` is `module.path=`."""
    found = []
    for override in overrides:
        key, equals, value = override.partition("=")
        found.append(f"{SHORT[key]}={value}" if equals and key in SHORT else override)
    return found


def names_user_code(overrides: Sequence[str]) -> bool:
    """Whether written-out overrides compare on a module or a function of the user's own."""
    return any(override.startswith(("module.path=", "function.path=")) for override in overrides)


def check_user_code(settings: Mapping[str, Any], keys: Sequence[str]) -> None:
    """Refuse settings that nothing would heed, with a module or a function of the user's own and without. ConfigError."""
    module, function = settings["module"]["path"], settings["function"]["path"]
    if module and function:
        raise ConfigError(f"module={module} function={function}: a run trains one of them; leave the other out")
    if function and settings["save_weights"]:
        raise ConfigError("save_weights=true: a function of your own keeps its networks to itself; let it save them")
    for key in keys:
        section = key.partition(".")[0]
        if section in ("module", "datamodule", "trainer") and not module:
            raise ConfigError(f"{key} is for a LightningModule of your own: name it with module=my_file.py:MyModule")
        if section in ("function", "condition") and not function:
            raise ConfigError(f"{key} is for a training function of your own: name it with function=my_file.py:train")
        if function and section in NOT_OF_A_RUN:
            raise ConfigError(
                f"{key}: with function= everything but the norm and the seed is the function's own, so this would change nothing; "
                f"hand it to the function with condition.{key.rpartition('.')[2]}="
            )
    for key in keys if module else ():
        section = key.lstrip("+~").partition(".")[0]
        if section in NOT_OF_A_RUN and key not in OPEN:
            raise ConfigError(
                f"{key}: with module= the model, the data, the optimizer and the training are the module's own, so this would change "
                f"nothing; set arguments of its constructor with module.args.{key.rpartition('.')[2]}=, those of its data with "
                "datamodule.args.*, and the Trainer's with trainer.*"
            )


def resolve_module(
    plain: Mapping[str, Any], choices: Mapping[str, str | None], command: str, experiment: str, batch_size_given: bool
) -> Run:
    """The run that a composed configuration stands for. ConfigError for settings that cannot be.

    `batch_size_given`: whether data.batch_size was set; else the constructor's own default counts.
    """
    sources = {key: plain[key]["path"] for key in ("module", "datamodule") if plain[key]["path"]}
    module_class = _class("module", sources["module"])
    datamodule_class = _class("datamodule", sources["datamodule"]) if "datamodule" in sources else None
    _check_trainer(plain["trainer"])
    asked = plain["data"]["batch_size"] if batch_size_given else None
    spec: dict[str, Any] = {
        "norm": dict(plain["norm"]),
        "model": {"name": sources["module"].rpartition(":")[2]},
        "data": {
            "name": sources.get("datamodule", sources["module"]).rpartition(":")[2],
            "batch_size": asked if asked is not None else _default_batch_size(module_class, datamodule_class),
        },
        "site": dict(plain["site"]),
        "module": {"args": dict(plain["module"]["args"])},
        "datamodule": {"args": dict(plain["datamodule"]["args"])},
        "trainer": dict(plain["trainer"]),
        **{key: plain[key] for key in SCALARS},
    }
    spec["accelerator"] = _accelerator(spec["accelerator"])
    classes = {"norm": norms[spec["norm"]["name"]].cls, "model": module_class, "data": datamodule_class or module_class}
    if spec["norm"]["weights"] is not None:
        classes["weights"] = norms[spec["norm"]["weights"]].cls
    constructor_settings(spec, module_class, datamodule_class)  # refuses arguments that they do not take
    code = {kind: source.class_hash(cls) for kind, cls in classes.items()}
    code["training"] = source.files_hash(TRAINING_FILES)
    labels = {"norm": str(choices.get("norm")), "model": spec["model"]["name"], "data": spec["data"]["name"]}
    return Run(
        id=run_id(spec, code, ""),
        experiment=experiment,
        labels=labels,
        spec=spec,
        code=code,
        data_version="",
        command=command,
        plugins=(*plain["plugins"], *(path.rpartition(":")[0] for path in sources.values())),
        sources=sources,
    )


def resolve_function(plain: Mapping[str, Any], choices: Mapping[str, str | None], command: str, experiment: str) -> Run:
    """The run of a training function of the user's own. ConfigError for settings that cannot be."""
    path = plain["function"]["path"]
    function = load_named(path, "function")
    if not inspect.isfunction(function):
        raise ConfigError(f"function={path}: a function is needed, and this is a {type(function).__name__}")
    parameters = inspect.signature(function).parameters
    named = list(parameters)[2:]
    takes_any = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
    for name in plain["condition"]:
        if name not in named and not takes_any:
            raise ConfigError(f"condition.{name}: {unknown_name(f'argument of {function.__name__}', name, named)}")
    if plain["norm"]["weights"] is not None:
        raise ConfigError(
            "norm.weights needs the layer ahead of each norm, which a function of your own does not tell; leave it out"
        )
    name = path.rpartition(":")[2]
    spec: dict[str, Any] = {
        "norm": dict(plain["norm"]),
        "model": {"name": name},
        "data": {"name": name},
        "condition": dict(plain["condition"]),
        **{key: plain[key] for key in SCALARS},
    }
    spec["accelerator"] = _accelerator(spec["accelerator"])
    code = {
        "norm": source.class_hash(norms[spec["norm"]["name"]].cls),
        "model": source.class_hash(function),
        "training": source.files_hash(FUNCTION_FILES),
    }
    return Run(
        id=run_id(spec, code, ""),
        experiment=experiment,
        labels={"norm": str(choices.get("norm")), "model": name, "data": name},
        spec=spec,
        code=code,
        data_version="",
        command=command,
        plugins=(*plain["plugins"], path.rpartition(":")[0]),
        sources={"function": path},
    )


def try_metrics(runs: Sequence[Run], metric: str | None) -> None:
    """Fit one batch of the first run. ConfigError where that fails, or where the module does not log the metric asked for."""
    from normlib.tasks.metric import column_name
    from normlib.training.lightning import try_module
    from normlib.training.surroundings import standard_surroundings

    run = runs[0]
    with standard_surroundings(run.spec["threads"]):
        logged = [column_name(name) for name in try_module(run)]
    if not logged:
        raise ConfigError(
            f"module={run.sources['module']} logs no figure, so there is nothing to compare: log one in validation_step, as in "
            "self.log('val_dice', dice)"
        )
    if metric is None:
        raise ConfigError(f"metric= names the figure that is compared; this module logs {', '.join(logged)}")
    if metric not in logged:
        raise ConfigError(f"metric={metric}: {unknown_name('figure that the module logs', metric, logged)}")


def _check_trainer(settings: Mapping[str, Any]) -> None:
    import pytorch_lightning as pl

    known = inspect.signature(pl.Trainer).parameters
    for name in settings:
        if name not in known:
            raise ConfigError(f"trainer.{name}: {unknown_name('setting of the Trainer', name, known)}")
        if name in OURS:
            raise ConfigError(f"trainer.{name} is normlib's to set: {OURS[name]}")
    if not {"max_epochs", "max_steps", "max_time"} & set(settings):
        raise ConfigError("a run needs a budget: set trainer.max_epochs or trainer.max_steps")


def _default_batch_size(*classes: type | None) -> int | None:
    """What the constructor of the DataModule, or of the module, has as its batch size where none is asked for."""
    for cls in reversed(classes):
        parameter = inspect.signature(cls).parameters.get(BATCH_SIZE) if cls is not None else None
        if parameter is not None and isinstance(parameter.default, int):
            return parameter.default
    return None


def _class(key: str, path: str) -> type:
    """The class that a path names; its code is what the run's id stands for."""
    found = load_named(path, key)
    if not isinstance(found, type):
        raise ConfigError(
            f"{key}={path}: a class is needed, and this is a {type(found).__name__}; name the class itself"
        )
    return found


@functools.cache
def _accelerator(name: str) -> str:
    try:
        return resolve_accelerator(name)
    except ValueError as error:
        raise ConfigError(str(error)) from error
