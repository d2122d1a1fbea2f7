"""One configuration to one run: the spec, its id, whether it makes sense, and the command that makes it again."""

from __future__ import annotations

import functools
import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from normlib.data import datasets
from normlib.experiments.check import check, check_seed, known_accelerator
from normlib.experiments.complaints import ConfigError
from normlib.experiments.config import NO_EXPERIMENT
from normlib.experiments.examine import check_task, declared_dataset, examine, task_of_data
from normlib.experiments.folders import config_dir_flags, experiment_file
from normlib.experiments.settings import GROUPS, SCALARS, SECTIONS, names_of
from normlib.experiments.user_code import resolve_function, resolve_module
from normlib.models import constructor_settings, models, registered_name
from normlib.models.start import DEFAULT, file_hash
from normlib.norms import norms
from normlib.tasks import tasks
from normlib.training import source
from normlib.training.budget import planned_steps
from normlib.training.spec import Run, run_id

TRAINING_FILES = (
    "data/dataset.py", "data/splits.py", "data/streaming.py", "models/site.py", "models/start.py", "norms/running.py",
    "norms/population.py", "training/batches.py", "training/budget.py",
    "training/evaluation.py", "training/feeding.py", "training/fitted.py", "training/inputs.py", "training/installation.py",
    "training/loop.py", "training/network.py", "training/optimizer.py", "training/pretrained.py", "training/record.py",
    "training/run.py", "training/schedule.py", "training/seeding.py", "training/setup.py", "training/spec.py",
    "training/step_loop.py", "training/surroundings.py", "training/trainer.py", "training/trunk.py",
    "tasks/task.py",
)  # fmt: skip
LABELLED = tuple(group for group in GROUPS if group in SECTIONS)
"""The groups whose choice is a label of a run."""
NOT_IN_COMMANDS = {"hydra", "results_dir", *names_of("work", "comparison", "question", "figures")}
"""What the command in a record leaves out, since it does not change the numbers."""


def resolve(
    plain: Mapping[str, Any],
    choices: Mapping[str, str | None],
    overrides: Sequence[str],
    config_dirs: Sequence[str] = (),
) -> Run:
    """The run that a composed configuration stands for, skipped with the reason if it makes no sense.

    `overrides` are those of this run, without sweeps. Raises ConfigError for impossible settings.
    """
    check_seed(plain["seed"])
    folder = plain["name"] or choices.get("experiment") or NO_EXPERIMENT
    if plain["function"]["path"]:
        return resolve_function(plain, choices, _command(overrides, config_dirs), folder)
    if plain["module"]["path"]:
        file = experiment_file(str(choices.get("experiment")), config_dirs) if choices.get("experiment") else {}
        given = "batch_size" in (file.get("data") or {}) or any(o.startswith("data.batch_size=") for o in overrides)
        return resolve_module(plain, choices, _command(overrides, config_dirs), folder, given)
    plain = {**plain, "task": plain["task"] or task_of_data(plain["data"])}
    spec = {section: dict(plain[section]) for section in SECTIONS} | {key: plain[key] for key in SCALARS}
    if spec["training"]["steps"] is not None:
        spec["training"]["epochs"] = None
    dataset = declared_dataset(spec["data"])
    check(spec, dataset)
    check_task(spec["task"], spec["data"], dataset)
    classes = _classes(spec)
    spec["accelerator"] = known_accelerator(spec["accelerator"])
    total_steps = planned_steps(spec, dataset.sizes["train"])
    typed = source.typed_texts(classes.values())
    start = _start_version(spec["model"])
    code = dict(_code(tuple(classes.items()), typed)) | start
    labels = {group: str(choices.get(group) or registered_name(spec[group])) for group in LABELLED}
    examined = {section: spec[section] for section in ("norm", "model", "data", "task", "site")}
    examined["start"] = start
    examined["data_version"] = dataset.version  # an edited data file may have other shapes
    examined["evaluation"] = {"statistics": spec["evaluation"]["statistics"]}
    examined["norm"] = {**spec["norm"], "gamma_noise": 0.0}  # neither noise nor split changes what makes sense,
    examined["data"] = {**spec["data"], "split_seed": 0}  # and a network is examined once for all of them
    skip_reason, changes = examine(json.dumps(examined, sort_keys=True), tuple(classes.values()), typed)
    return Run(
        id=run_id(spec, code, dataset.version),
        experiment=folder,
        labels=labels,
        spec=spec,
        code=code,
        data_version=dataset.version,
        command=_command(overrides, config_dirs),
        plugins=tuple(plain["plugins"]),
        skip_reason=skip_reason,
        planned_steps=total_steps,
        changes=changes,
    )


def _classes(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The registered classes whose code makes the run.

    "weights" is there only with a method on weights besides the norm. "network" is the class or function that a model
    from another file builds its network from.
    """
    weights = spec["norm"]["weights"]
    model: Any = models[registered_name(spec["model"])].cls
    classes: dict[str, Any] = {
        "norm": norms[spec["norm"]["name"]].cls,
        "model": model,
        "data": datasets[spec["data"]["name"]].cls,
        "task": tasks[spec["task"]["name"]].cls,
    }
    if hasattr(model, "made_by"):
        try:
            classes["network"] = model.made_by(**constructor_settings(spec["model"]))
        except ValueError as error:
            raise ConfigError(str(error)) from error
    return classes | ({} if weights is None else {"weights": norms[weights].cls})


def _start_version(section: Mapping[str, Any]) -> dict[str, str]:
    """What a pretrained start depends on: a file's content, or the weights of the model's library. Raises ConfigError."""
    weights = section["weights"]
    if weights is None:
        return {}
    model: Any = models[registered_name(section)].cls
    try:
        if weights == DEFAULT and hasattr(model, "default_weights_version"):
            return {"start": model.default_weights_version(**constructor_settings(section))}
        return {"start": file_hash(weights, registered_name(section))}
    except (ValueError, TypeError) as error:
        raise ConfigError(str(error)) from error


@functools.lru_cache(maxsize=1024)
def _code(classes: tuple[tuple[str, type], ...], typed: tuple[str, ...]) -> Mapping[str, str]:
    """`typed`, the sources from a notebook, is in the cache's key: a class may use an edited cell."""
    hashes = {kind: source.class_hash(cls) for kind, cls in classes}
    return hashes | {"training": source.files_hash(TRAINING_FILES)}


def _command(overrides: Sequence[str], config_dirs: Sequence[str]) -> str:
    kept = [o for o in overrides if o.lstrip("+~").partition("=")[0].split(".")[0] not in NOT_IN_COMMANDS]
    return shlex.join(["normlib", "train", *config_dir_flags(config_dirs), *kept])
