"""A comparison on a user's own LightningModule or training function: one configuration to one run.

In: overrides and composed settings that name user code. Out: runs, or a refusal. Builds and trains nothing except the
one batch of `try_metrics`.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from normlib.experiments.check import check_norm, known_accelerator
from normlib.experiments.complaints import ConfigError
from normlib.experiments.settings import SCALARS
from normlib.experiments.user_settings import check_trainer
from normlib.naming import unknown_name
from normlib.norms import norms
from normlib.plugins import load_named
from normlib.training import source
from normlib.training.spec import Run, run_id
from normlib.training.user_module import BATCH_SIZE, constructor_settings

TRAINING_FILES = (
    "models/site.py", "models/start.py", "norms/running.py", "training/budget.py", "training/installation.py", "training/lightning.py", "training/loaders.py",
    "training/network.py", "training/record.py", "training/recorder.py", "training/run.py", "training/seeding.py",
    "training/spec.py", "training/surroundings.py", "training/trainer.py", "training/trunk.py", "training/user_module.py",
)  # fmt: skip
FUNCTION_FILES = (
    "norms/running.py",
    "training/run.py",
    "training/seeding.py",
    "training/surroundings.py",
    "training/user_function.py",
)


def resolve_module(
    plain: Mapping[str, Any], choices: Mapping[str, str | None], command: str, experiment: str, batch_size_given: bool
) -> Run:
    """The run that a composed configuration stands for. Raises ConfigError for impossible settings.

    `batch_size_given`: data.batch_size was set. Otherwise the constructor's own default counts.
    """
    sources = {key: plain[key]["path"] for key in ("module", "datamodule") if plain[key]["path"]}
    module_class = _class("module", sources["module"])
    datamodule_class = _class("datamodule", sources["datamodule"]) if "datamodule" in sources else None
    check_trainer(plain["trainer"])
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
    spec["accelerator"] = known_accelerator(spec["accelerator"])
    check_norm(spec)
    if spec["norm"]["fit_on_batches"]:
        raise ConfigError(
            "norm.fit_on_batches is for pretrained networks of model=, and a module of your own builds its own start; leave it out"
        )
    if spec["site"]["horizon"] is not None and spec["data"]["batch_size"] is None:
        raise ConfigError(
            "site.horizon counts samples, so it needs data.batch_size, but none of your constructors takes it"
        )
    classes = {"norm": norms[spec["norm"]["name"]].cls, "model": module_class, "data": datamodule_class or module_class}
    if spec["norm"]["weights"] is not None:
        classes["weights"] = norms[spec["norm"]["weights"]].cls
    constructor_settings(spec, module_class, datamodule_class)  # refuses arguments that they do not take
    code = {kind: source.class_hash(cls) for kind, cls in classes.items()}
    code["training"] = source.files_hash(TRAINING_FILES)
    return _run(plain, choices, command, experiment, spec, code, sources)


def resolve_function(plain: Mapping[str, Any], choices: Mapping[str, str | None], command: str, experiment: str) -> Run:
    """The run of a user's training function. Raises ConfigError for impossible settings."""
    path = plain["function"]["path"]
    function = load_named(path, "function")
    if not inspect.isfunction(function):
        raise ConfigError(f"function={path} must name a function, but this is a {type(function).__name__}")
    parameters = inspect.signature(function).parameters
    named = list(parameters)[2:]
    takes_any = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
    for name in plain["condition"]:
        if name not in named and not takes_any:
            raise ConfigError(f"condition.{name}: {unknown_name(f'argument of {function.__name__}', name, named)}")
    for setting in ("weights", "frozen", "fit_on_batches"):
        if plain["norm"][setting]:
            raise ConfigError(
                f"norm.{setting} needs to know the network around each norm, but a function of your own does not show it; leave it out"
            )
    name = path.rpartition(":")[2]
    spec: dict[str, Any] = {
        "norm": dict(plain["norm"]),
        "model": {"name": name},
        "data": {"name": name},
        "condition": dict(plain["condition"]),
        **{key: plain[key] for key in SCALARS},
    }
    spec["accelerator"] = known_accelerator(spec["accelerator"])
    check_norm(spec)
    code = {
        "norm": source.class_hash(norms[spec["norm"]["name"]].cls),
        "model": source.class_hash(function),
        "training": source.files_hash(FUNCTION_FILES),
    }
    return _run(plain, choices, command, experiment, spec, code, {"function": path})


def _run(
    plain: Mapping[str, Any],
    choices: Mapping[str, str | None],
    command: str,
    experiment: str,
    spec: Mapping[str, Any],
    code: Mapping[str, str],
    sources: Mapping[str, str],
) -> Run:
    """A run of the user's own code. Its version is part of `code`, so the data have no version of their own."""
    return Run(
        id=run_id(spec, code, ""),
        experiment=experiment,
        labels={"norm": str(choices.get("norm")), "model": spec["model"]["name"], "data": spec["data"]["name"]},
        spec=spec,
        code=code,
        data_version="",
        command=command,
        plugins=(*plain["plugins"], *(path.rpartition(":")[0] for path in sources.values())),
        sources=sources,
    )


def try_metrics(runs: Sequence[Run], metric: str | None) -> None:
    """Fit one batch of the first run. Raises ConfigError if that fails, or if the module does not log `metric`."""
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


def _default_batch_size(*classes: type | None) -> int | None:
    """The default batch size in the constructor of the DataModule, or of the module."""
    for cls in reversed(classes):
        parameter = inspect.signature(cls).parameters.get(BATCH_SIZE) if cls is not None else None
        if parameter is not None and isinstance(parameter.default, int):
            return parameter.default
    return None


def _class(key: str, path: str) -> type:
    """The class that a path names. Its code is part of the run's id."""
    found = load_named(path, key)
    if not isinstance(found, type):
        raise ConfigError(
            f"{key}={path}: a class is needed, but this is a {type(found).__name__}; name the class itself"
        )
    return found
