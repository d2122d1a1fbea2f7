"""`seed=auto`: seeds are added until every comparison is decided, or `most_seeds` is reached.

In: the axes of an experiment. Out: the looks of a plan. From a plan and its records also follow the runs that the looks
ask for next. Everything follows from the records, so a stopped sweep continues where it was. Trains nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import Override

from normlib.experiments.complaints import ConfigError
from normlib.experiments.config import AUTO, is_auto
from normlib.experiments.tuning import is_trial
from normlib.results.stats import looks
from normlib.results.store.columns import LOOKS, SEED, arm_label
from normlib.results.store.frame import frame
from normlib.results.store.looks import as_label, planned_looks
from normlib.results.store.record import SKIPPED, Record
from normlib.results.study import tuning
from normlib.results.study.axes import as_text
from normlib.results.study.looks import PLANNED
from normlib.results.study.metrics import metric_of
from normlib.results.study.pairing import looked_at
from normlib.results.study.study import Study
from normlib.training.outcome import unfinished
from normlib.training.spec import Run

if TYPE_CHECKING:
    from normlib.experiments.plan import Plan

MOST_SEEDS = "most_seeds"
FIRST_LOOK = looks(1_000)[0]


def check_no_auto(overrides: Sequence[Override], verb: str) -> None:
    """Refuse seed=auto for a verb that compares nothing. Raises ConfigError."""
    if any(map(is_auto, overrides)):
        raise ConfigError(
            f"seed=auto adds seeds until the comparisons are decided, but {verb} compares nothing; use `normlib compare`, or "
            "number the seeds, as in seed=0"
        )


def read_looks(
    axes: Mapping[str, Sequence[str]], settings: Mapping[str, Any], given: Collection[str]
) -> tuple[int, ...]:
    """The looks of an experiment with seed=auto, or () if it lists its seeds. `given`: the keys on the command line.

    Raises ConfigError for most_seeds without seed=auto, and for fewer seeds than the first look has.
    """
    most = settings[MOST_SEEDS]
    if [text.partition("=")[2].strip("'\"") for text in axes.get(SEED, ())] != [AUTO]:
        if MOST_SEEDS in given:
            raise ConfigError(
                f"{MOST_SEEDS}={most}: it is the last seed's number with seed=auto; add that, or leave it out"
            )
        return ()
    if most < FIRST_LOOK:
        raise ConfigError(
            f"{MOST_SEEDS}={most}: the first look at the comparisons is after {FIRST_LOOK} seeds; give {FIRST_LOOK} or more"
        )
    return looks(most)


def check_compared(settings: Mapping[str, Any], row_labels: Collection[str]) -> None:
    """Refuse seed=auto if no comparison could ever be decided. Raises ConfigError."""
    baseline, rows = as_text(settings["baseline"]), settings["rows"]
    if baseline not in row_labels:
        what = f"no row ({rows}) is the baseline, {baseline!r}; name one with baseline=..."
    elif not set(row_labels) - {baseline, arm_label(baseline)}:
        what = f"{baseline} is the only row ({rows}); add another one"
    else:
        return
    raise ConfigError(f"seed=auto adds seeds until the comparisons with the baseline are decided, but {what}")


@dataclass(frozen=True)
class Asked:
    """What the looks ask for.

    `ids`: the runs that looks need, including the next look. `seeds`: the seeds of the next look, or 0 if nothing is
    left to decide. `later`: stand-ins for the runs of later looks, as many as there can be.
    """

    ids: frozenset[str]
    later: tuple[Run, ...]
    planned: tuple[int, ...]
    seeds: int
    undecided: int = 0
    comparisons: int = 0
    """Comparisons with figures, without the control's. 0 before the first look."""

    @property
    def title(self) -> str:
        """In words: how far the sweep is."""
        if not self.seeds or self.seeds not in self.planned:
            return ""
        ahead = f", {self.undecided} of {self.comparisons} comparisons undecided" if self.comparisons else ""
        return f"look {self.planned.index(self.seeds) + 1} of {len(self.planned)} after {self.seeds} seeds{ahead}"


def looks_of(plan: Plan, records: Mapping[str, Record]) -> tuple[int, ...]:
    """The looks that apply to a plan: its own, or those of its records if they go further."""
    labels = (records[run.id].labels.get(LOOKS) for run in plan.runs if run.id in records)
    return planned_looks([as_label(plan.looks), *labels])


def labelled(run: Run, planned: Sequence[int]) -> Run:
    """The run with the label of its looks. A trial has none, since it is not compared."""
    return run if is_trial(run) else replace(run, labels={**run.labels, LOOKS: as_label(planned)})


def asked_by_looks(
    plan: Plan, records: Mapping[str, Record], is_made: Callable[[Run], bool], trials_pending: bool
) -> Asked:
    """What the records so far ask for. `plan.runs` has every seed, with the labels of its looks.

    `is_made` says whether a run's record counts. Until trials have chosen, only the first look is certain.
    """
    planned = planned_looks(run.labels.get(LOOKS) for run in plan.runs)
    most, first = plan.looks[-1], planned[0]
    evaluation = [run for run in plan.runs if not is_trial(run)]
    made = {run.id for run in evaluation if is_made(run)}
    trained = [run.id for run in evaluation if run.id in made and run.id in records and records[run.id].trained]
    at_first = [run for run in evaluation if run.spec[SEED] < first]
    if trials_pending or not trained:
        done = not trials_pending and all(run.id in made for run in at_first)  # all failed, or were skipped
        later = [run for run in evaluation if run.spec[SEED] >= first and run.skip_reason is None and not done]
        later += [run for run in evaluation if run.skip_reason is None and plan.candidates]
        return Asked(frozenset(run.id for run in at_first), tuple(later), planned, 0 if done else first)
    there = 1 + max(run.spec[SEED] for run in evaluation if run.id in made)
    ahead = next((seeds for seeds in planned if seeds > there), most)
    laid_out = [run for run in plan.runs if is_trial(run) or run.spec[SEED] < ahead]
    table = frame(
        replace(records[run.id], labels=dict(run.labels))
        if run.id in records and (run.id in made or is_trial(run))
        else unfinished(run, SKIPPED, run.skip_reason or "")
        for run in laid_out
    )
    planned_only = {run.id for run in laid_out if not is_trial(run) and run.id not in made}
    table.loc[table["id"].isin(planned_only), "status"] = PLANNED
    return _of_views(plan, table, planned)


def _of_views(plan: Plan, table: Any, planned: tuple[int, ...]) -> Asked:
    """What the looks at each view ask for: all runs in one, or after tuning the tuned and the fixed ones."""
    views = {"": table}
    if plan.tuning is not None:
        metric = metric_of(table, plan.settings["metric"], plan.settings["higher_is_better"])
        views = {name: runs for name, runs in tuning.views(table, plan.tuning.axis, metric).items() if len(runs)}
    by_id = {run.id: run for run in plan.runs}
    ids, further, compared = set[str](), dict[str, int](), []
    still, next_seeds = 0, 0
    for name, runs in views.items():
        study = Study(runs, plan.question, view=name)
        for section, conditions in study.conditions.items():
            found = looked_at(study, section, together=True)
            compared += [each for each in found.comparisons if each.looks and not each.why_none and not each.control]
            still, next_seeds = still + len(found.open), max(next_seeds, found.seeds)
            for condition in conditions:
                needed = found.seeds_needed(study, condition)
                for arm, rows in condition.positions.items():
                    for run_id, seed in condition.runs.iloc[rows][["id", SEED]].itertuples(index=False):
                        if seed < needed[arm]:
                            ids.add(run_id)
                        if seed == 0 and found.open and needed[arm] == found.seeds:
                            further[run_id] = max(further.get(run_id, 0), plan.looks[-1] - found.seeds)
    later = [by_id[run_id] for run_id, times in further.items() for _ in range(times) if not by_id[run_id].skip_reason]
    return Asked(frozenset(ids), tuple(later), planned, next_seeds, still, len(compared))
