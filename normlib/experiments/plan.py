"""The plan: an experiment's axes multiplied out into runs, with the control and, if it tunes, the trials.

A pure function of overrides and files; trains nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from normlib.experiments.basis import COMPARISON, changes, describe_basis
from normlib.experiments.complaints import ConfigError
from normlib.experiments.config import DEFAULT_EXPERIMENT, configuration, is_auto
from normlib.experiments.control import control_of
from normlib.experiments.examine import forget_datasets
from normlib.experiments.multiply import Axes, axes_of, check_keys, multiply
from normlib.experiments.partial import settings_of_some
from normlib.experiments.plan_checks import (
    check_baseline,
    check_control,
    check_labels,
    check_question,
    check_report_axis,
    check_work,
    row_labels,
    shown_metrics,
)
from normlib.experiments.resolve import LABELLED, resolve
from normlib.experiments.seeds import check_compared, check_no_auto, read_looks
from normlib.experiments.selection import QUESTION
from normlib.experiments.settings import GROUPS
from normlib.experiments.tuning import Tuning, read_tuning, with_trials
from normlib.experiments.user_settings import check_user_code, names_user_code, written_out
from normlib.results.store.columns import SEED, arm_label
from normlib.results.study.axes import check_two_axes
from normlib.results.study.question import Question
from normlib.tasks.metric import Metric
from normlib.training.spec import Run


@dataclass(frozen=True)
class Plan:
    """The runs of one experiment, each once, in the order of work, with the common settings.

    `control`: the control's name in tables, or None. With `tuning`, `runs` holds the trials and the evaluation at the
    fixed value. `candidates` then holds evaluation at every other value, for the trials to choose from. `metrics`:
    those of the runs' tasks. `notes`: what a reader must know about how the runs came together, one sentence each.
    `row_labels`: the rows of the future tables. `looks`: with seed=auto, the numbers of seeds at which looks are taken.
    `runs` then has all seeds up to the last look, and the records decide which are needed (state.py).
    """

    experiment: str
    runs: tuple[Run, ...]
    axes: Mapping[str, tuple[str, ...]]
    settings: Mapping[str, Any]
    control: str | None = None
    tuning: Tuning | None = None
    candidates: tuple[Run, ...] = ()
    metrics: tuple[Metric, ...] = ()
    notes: tuple[str, ...] = ()
    row_labels: frozenset[str] = frozenset()
    looks: tuple[int, ...] = ()

    @property
    def question(self) -> Question:
        """The question that the comparison asks of its runs."""
        return Question(**{name: self.settings[name] for name in QUESTION}, order=self.order)

    @property
    def order(self) -> dict[str, list[str]]:
        """The labels and values of each axis, in the order of writing."""
        return {key: [value.partition("=")[2].strip("'\"") for value in values] for key, values in self.axes.items()}


def make_plan(overrides: Sequence[str], config_dirs: Sequence[str] = (), comparison: bool = True) -> Plan:
    """Multiply out the axes of the experiment and of the command line, which replace the experiment's, key by key.

    `comparison`: as in `compare`. False is for Hydra's multirun, which has no default experiment, control or tuning.
    Raises ConfigError for anything that cannot be composed or run, before anything is trained.
    """
    forget_datasets()
    overrides = written_out(overrides)
    by_default = (
        comparison
        and not names_user_code(overrides)
        and not any(o.lstrip("+~").startswith("experiment=") for o in overrides)
    )
    if by_default:
        overrides.insert(0, f"experiment={DEFAULT_EXPERIMENT}")
    with configuration(overrides, config_dirs) as composer:
        given = composer.parse(overrides)
        check_keys(given, GROUPS)
        fixed = [override for override in given if not override.is_sweep_override() and not is_auto(override)]
        of_choices = [o for o in fixed if o.get_key_element().startswith(tuple(f"{group}." for group in LABELLED))]
        first = composer.compose([str(o.input_line) for o in fixed if o not in of_choices], of_choices)
        check_question(first.plain)
        check_user_code(first.plain, [override.get_key_element() for override in given])
        check_work(first.plain)
        in_file = composer.parse([f"{key}={value}" for key, value in first.sweep_params.items()])
        check_keys(in_file, GROUPS)
        if not comparison:
            check_no_auto([*in_file, *given], "train -m")
        axes = axes_of([*in_file, *given])
        planned = read_looks(axes, first.plain, [override.get_key_element() for override in given])
        if planned:
            axes[SEED] = [f"{SEED}={seed}" for seed in range(planned[-1])]
        changed = changes(_values(axes_of(given)), _values(axes_of(in_file)))
        apart = comparison and (first.choices.get("experiment") is None or (by_default and changed))
        if apart and first.plain["name"] is None:
            axes["name"] = [f"name={COMPARISON}"]
        double = control_of(first.plain, swept="norm.gamma_noise" in axes) if comparison else None
        check_control(double, axes)
        tuning = read_tuning(first.plain["tuning"], first.plain, axes) if comparison else None
        runs, candidates = multiply(composer, axes, config_dirs, double), list[Run]()
        metrics = shown_metrics(first.plain, runs, comparison)
        check_labels(runs)
        check_two_axes(first.plain["rows"], first.plain["columns"])
        for name in ("rows", "columns"):
            check_report_axis(name, first.plain[name], runs)
        rows = row_labels(first.plain, axes, runs)
        check_baseline(first.plain, rows)
        if planned:
            check_compared(first.plain, rows)
        if tuning is not None:
            runs, candidates = with_trials(tuning, runs, composer, axes, config_dirs, double)
    control = arm_label(str(double)) if any(run.control for run in runs) else None
    sweeps = {key: tuple(values) for key, values in axes.items() if len(values) > 1 or key in first.sweep_params}
    folder = runs[0].experiment
    own = settings_of_some(axes, runs, first.plain)
    if own and not comparison:
        raise ConfigError(
            f"{own[0]}: Hydra's multirun sets every setting for every choice; use `normlib compare`, or one `train -m` for each choice"
        )
    notes = (describe_basis(first.choices.get("experiment"), folder, changed), *own)
    return Plan(
        folder,
        _ordered(runs),
        sweeps,
        first.plain,
        control,
        tuning,
        _ordered(candidates),
        metrics,
        tuple(filter(None, notes)),
        rows,
        planned,
    )


def _values(axes: Axes) -> dict[str, list[str]]:
    """The values on each axis, as text, without the key."""
    return {key: [text.partition("=")[2] for text in texts] for key, texts in axes.items()}


def _ordered(runs: Sequence[Run]) -> tuple[Run, ...]:
    """Each run once. Whole replicates come first, and the longest runs of each, so no worker ends with a long run alone."""
    unique = {run.id: run for run in runs}
    return tuple(sorted(unique.values(), key=lambda run: (run.spec["seed"], -run.planned_steps)))


def make_run(overrides: Sequence[str], config_dirs: Sequence[str] = ()) -> tuple[Run, dict[str, Any]]:
    """One run and all its settings. Raises ConfigError for impossible settings, and for sweeps, which need -m."""
    forget_datasets()
    overrides = written_out(overrides)
    with configuration(overrides, config_dirs) as composer:
        given = composer.parse(overrides)
        check_keys(given, GROUPS)
        check_no_auto(given, "train")
        sweeps = [o.input_line for o in given if o.is_sweep_override()]
        if sweeps:
            raise ConfigError(
                f"train makes one run, but {sweeps[0]} names several: use `normlib train -m` or `normlib compare`"
            )
        composed = composer.compose(overrides)
        check_work(composed.plain)
        check_user_code(composed.plain, [override.get_key_element() for override in given])
        return resolve(composed.plain, composed.choices, list(overrides), config_dirs), composed.plain
