"""Tuning on equal terms: every arm and condition gets the same trials, and the best mean on validation is chosen.

In: `tuning: {axis: ..., values: [...], replicates: ...}` and the axes of an experiment. Out: the runs of each stage:
trials, evaluation at the one fixed value, and evaluation at the values that the trials' records choose. Trials have
their own seeds, so no evaluation uses a seed that affected the choice. Trains nothing, and never uses a test figure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from normlib.experiments.complaints import ConfigError
from normlib.experiments.config import Composer
from normlib.experiments.multiply import Axes, multiply
from normlib.experiments.overrides import as_override
from normlib.naming import unknown_name
from normlib.results.store.frame import frame
from normlib.results.store.record import SKIPPED, Record
from normlib.results.study.metrics import metric_of
from normlib.results.study.tuning import FIXED, STAGE, TRIAL, TUNED, TUNING, choices, is_chosen
from normlib.training.outcome import unfinished
from normlib.training.spec import Run

FIRST_TUNING_SEED = 1_000_000
"""The first seed of trials, far from the seeds of any replicates."""

KEYS = ("axis", "values", "replicates")
EXAMPLE = "tuning={axis:optimizer.lr,values:[0.001,0.005,0.02],replicates:3}"


@dataclass(frozen=True)
class Tuning:
    """What is tuned: a setting, its values as overrides, and the number of trials of each value."""

    axis: str
    values: tuple[str, ...]
    replicates: int

    @property
    def seeds(self) -> range:
        """The seeds of the trials."""
        return range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + self.replicates)


def read_tuning(declared: Any, settings: Mapping[str, Any], axes: Axes) -> Tuning | None:
    """The tuning that an experiment declares, or None. Raises ConfigError for what cannot be tuned."""
    if declared is None:
        return None
    if not isinstance(declared, Mapping) or set(declared) != set(KEYS):
        raise ConfigError(f"tuning takes {', '.join(KEYS)} and nothing else, as in {EXAMPLE}; got {declared!r}")
    axis, values, replicates = (declared[key] for key in KEYS)
    if not isinstance(axis, str):
        raise ConfigError(f"tuning.axis is the name of one setting, as in {EXAMPLE}; got {axis!r}")
    if isinstance(replicates, bool) or not isinstance(replicates, int) or replicates < 1:
        raise ConfigError(f"tuning.replicates is the number of trials of each value, at least 1, got {replicates!r}")
    if not isinstance(values, Sequence) or isinstance(values, str) or len(values) < 2:
        raise ConfigError(f"tuning.values is a list of at least two values to choose from, got {values!r}")
    if axis == "seed" or len(axes.get(axis, ())) > 1:
        raise ConfigError(
            f"tuning.axis={axis}: an axis of the comparison cannot be tuned as well; give {axis} one value, or tune another setting"
        )
    if axis in (settings["rows"], settings["columns"]):
        raise ConfigError(
            f"tuning.axis={axis}: what is tuned for each arm cannot span the table; change rows or columns"
        )
    return Tuning(str(axis), tuple(f"{axis}={as_override(value)}" for value in values), replicates)


def with_trials(
    tuning: Tuning,
    evaluation: Sequence[Run],
    composer: Composer,
    axes: Axes,
    config_dirs: Sequence[str],
    control_of: str | None,
) -> tuple[list[Run], list[Run]]:
    """The certain runs (trials and evaluation at the fixed value), and those that the trials choose from.

    Raises ConfigError for an axis that not every arm has, and for values that its type refuses.
    """
    for run in evaluation:
        _check_axis(tuning.axis, run)
        if run.spec["seed"] in tuning.seeds:
            raise ConfigError(
                f"seed={run.spec['seed']}: trials have the seeds {tuning.seeds[0]} to {tuning.seeds[-1]}, but evaluation needs "
                "other ones; number the replicates from 0"
            )
    splits = {run.spec["data"]["split_seed"] for run in evaluation}
    on_trial = {**axes, "seed": [f"seed={seed}" for seed in tuning.seeds], tuning.axis: tuning.values}
    trials = multiply(composer, on_trial, config_dirs, control_of)
    if len({run.id for run in trials}) < len(trials):
        raise ConfigError(f"tuning.values: two of {', '.join(tuning.values)} make the same run; leave one out")
    if not {run.spec["data"]["split_seed"] for run in trials} <= splits:
        raise ConfigError(
            "data.split_seed follows the seed, so trials would choose on samples that evaluation is tested on; list the splits "
            "instead, as in data.split_seed=0,1,2"
        )
    candidates = multiply(composer, {**axes, tuning.axis: tuning.values}, config_dirs, control_of)
    fixed = {run.id for run in evaluation}
    axis = tuning.axis
    certain = [*(_labelled(run, axis, TRIAL) for run in trials), *(_labelled(run, axis, FIXED) for run in evaluation)]
    return certain, [_labelled(run, axis, TUNED) for run in candidates if run.id not in fixed]


def choose_tuned(
    axis: str,
    trials: Sequence[Run],
    candidates: Sequence[Run],
    records: Mapping[str, Record],
    metric: str | None = None,
    higher_is_better: bool | None = None,
) -> list[Run] | None:
    """The candidates that the trials' records choose, by `metric` or the task's first. None while a trial has no record."""
    known = [records[run.id] for run in trials if run.id in records]
    known += [
        unfinished(run, SKIPPED, str(run.skip_reason)) for run in trials if run.skip_reason and run.id not in records
    ]
    if len(known) < len(trials):
        return None
    if not candidates:
        return []
    as_rows = frame([unfinished(run, SKIPPED, "") for run in candidates])
    of_trials = frame(known)
    found = choices(of_trials, axis, metric_of(of_trials, metric, higher_is_better))
    picked = set(as_rows.loc[is_chosen(as_rows, found, axis), "id"])
    return [run for run in candidates if run.id in picked]


def is_trial(run: Run) -> bool:
    """Whether a run only serves a choice."""
    return run.labels.get(STAGE) == TRIAL


def _labelled(run: Run, axis: str, stage: str) -> Run:
    return replace(run, labels={**run.labels, STAGE: stage, TUNING: axis})


def _check_axis(axis: str, run: Run) -> None:
    """Refuse a setting that a run does not have, since every arm has to have it."""
    sections = {key: node for key, node in run.spec.items() if isinstance(node, Mapping)}
    known = [f"{section}.{key}" for section, node in sections.items() for key in node if key != "name"]
    if axis not in known:
        where = f"norm={run.labels['norm']} model={run.labels['model']} data={run.labels['data']}"
        raise ConfigError(f"tuning.axis={axis}: every arm needs the setting, but {where} does not have it; "
                          f"{unknown_name('setting', axis, known)}")  # fmt: skip
