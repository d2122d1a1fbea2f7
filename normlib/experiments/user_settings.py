"""The settings of a comparison on a user's own module or function: expands short keys and refuses useless ones.

In: overrides and composed settings. Out: overrides, or ConfigError. Loads no user file.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from normlib.experiments.complaints import ConfigError
from normlib.experiments.settings import SECTIONS
from normlib.naming import unknown_name
from normlib.tasks.metric import known_metric

SHORT = {
    "module": "module.path",
    "datamodule": "datamodule.path",
    "function": "function.path",
    "metric.higher_is_better": "higher_is_better",
}
"""Short keys, and the settings that they stand for."""
OPEN = ("norm", "module", "datamodule", "trainer", "data.batch_size", "site.norm_batch_size", "site.horizon")
"""The settings of a run that a module leaves open. It sets everything else itself."""
NOT_OF_A_RUN = tuple(section for section in SECTIONS if section != "norm")
OURS = {
    "logger": "set logger=csv and the like instead",
    "enable_checkpointing": "a run keeps a checkpoint of its last epoch, to continue after a stop",
    "default_root_dir": "a run's files are in results_dir",
    "accelerator": "set accelerator= instead",
    "devices": "a run takes one device; jobs= does several runs in parallel",
    "num_nodes": "a run takes one device",
}
"""Settings of Lightning's Trainer that normlib sets, and what to do instead."""


def written_out(overrides: Sequence[str]) -> list[str]:
    """The overrides with short keys expanded: `module=` is `module.path=`."""
    found = []
    for override in overrides:
        key, equals, value = override.partition("=")
        found.append(f"{SHORT[key]}={value}" if equals and key in SHORT else override)
    return found


def names_user_code(overrides: Sequence[str]) -> bool:
    """Whether expanded overrides compare a user's own module or function."""
    return any(override.startswith(("module.path=", "function.path=")) for override in overrides)


def check_user_code(settings: Mapping[str, Any], keys: Sequence[str]) -> None:
    """Refuse settings that would change nothing, with or without a user's own module or function. Raises ConfigError."""
    module, function = settings["module"]["path"], settings["function"]["path"]
    if module and function:
        raise ConfigError(f"module={module} function={function}: a run trains one of them; leave the other out")
    metric = settings["metric"]
    if (module or function) and metric and known_metric(metric) is None and settings["higher_is_better"] is None:
        raise ConfigError(
            f"metric={metric}: its name does not say whether higher or lower is better; add metric.higher_is_better=true or =false"
        )
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
                f"{key}: with function= everything except the norm and the seed belongs to the function, so this would change nothing; "
                f"pass it to the function with condition.{key.rpartition('.')[2]}="
            )
    for key in keys if module else ():
        section = key.lstrip("+~").partition(".")[0]
        if section in NOT_OF_A_RUN and key not in OPEN:
            raise ConfigError(
                f"{key}: with module= the model, the data, the optimizer and the training belong to the module, so this would change "
                f"nothing. Set arguments of its constructor with module.args.{key.rpartition('.')[2]}=, those of its data with "
                "datamodule.args.*, and the Trainer's with trainer.*"
            )


def check_trainer(settings: Mapping[str, Any]) -> None:
    """Refuse Trainer settings that do not exist or that normlib sets, and a run without an end. Raises ConfigError."""
    import pytorch_lightning as pl

    known = inspect.signature(pl.Trainer).parameters
    for name in settings:
        if name not in known:
            raise ConfigError(f"trainer.{name}: {unknown_name('setting of the Trainer', name, known)}")
        if name in OURS:
            raise ConfigError(f"trainer.{name} is set by normlib: {OURS[name]}")
    if not {"max_epochs", "max_steps", "max_time"} & set(settings):
        raise ConfigError("a run needs a budget: set trainer.max_epochs or trainer.max_steps")
