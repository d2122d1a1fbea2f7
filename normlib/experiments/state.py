"""How far a plan has come: its runs held against the records of its folder. Reads; changes and trains nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from normlib.experiments.estimate import Estimate, estimate
from normlib.experiments.execute import RunDestination, is_final
from normlib.experiments.plan import Plan
from normlib.experiments.seeds import Asked, asked_by_looks, labelled, looks_of
from normlib.experiments.tuning import choose_tuned, is_trial
from normlib.notebook import printed_as_html
from normlib.results.store.columns import ARM, SEED, arm_label
from normlib.results.store.record import SKIPPED, NewerRecordError, Record
from normlib.results.store.store import Scan, Store
from normlib.results.study.tuning import FIXED, STAGE
from normlib.training.spec import Run

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console


@dataclass(frozen=True, repr=False)
class State:
    """A plan, and how far it has come. `plan.runs` has the runs that the records so far ask for.

    `records` are those of the plan's runs, by id. `missing` are the runs that are still to do. `skipped` are those that make no
    sense; each has a `skip_reason`. Once all trials have records, the plan's runs are those that they choose as well. With seed=auto
    they are those up to the next look; `asked` then says where the looks stand. `later`: stand-ins for the runs that may still
    be asked for, as many as there can be at most, and as long.
    """

    plan: Plan
    scan: Scan
    records: Mapping[str, Record]
    missing: tuple[Run, ...]
    skipped: tuple[Run, ...]
    later: tuple[Run, ...] = ()
    asked: Asked | None = None

    @property
    def runs(self) -> tuple[Run, ...]:
        """All runs of the plan."""
        return self.plan.runs

    @property
    def done(self) -> tuple[Run, ...]:
        """The runs that need no more work: they have final records, diverged and failed ones among them."""
        to_do = {run.id for run in (*self.missing, *self.skipped)}
        return tuple(run for run in self.plan.runs if run.id not in to_do)

    @property
    def frame(self) -> pd.DataFrame:
        """A row a run: `id`, `status`, the `reason` for a run that was skipped or failed, the arm, the other settings that vary or
        have a label, `seed` and `planned_steps`. The status is that of the record, "skipped" or "missing"."""
        import pandas as pd

        skipped = {run.id for run in self.skipped}
        rows = []
        for run in self.plan.runs:
            record = self.records.get(run.id)
            status = SKIPPED if run.id in skipped else record.status if record else "missing"
            rows.append({
                "id": run.id, "status": status, "reason": run.skip_reason or (record.reason if record else None),
                ARM: arm_label(run.labels[ARM], run.control), **{key: run.labels[key] for key in run.labels if key != ARM},
                **{key: setting_of(run, key) for key in self.plan.axes if key not in run.labels},
                SEED: run.spec[SEED], "planned_steps": run.planned_steps,
            })  # fmt: skip
        return pd.DataFrame(rows)

    @property
    def counts(self) -> Counter[str]:
        """Runs by status: those of records, "skipped" by the plan, and "missing"."""
        counts = Counter(record.status for record in self.records.values() if record.status != SKIPPED)
        return counts + Counter(
            {SKIPPED: len(self.skipped), "missing": len([r for r in self.missing if r.id not in self.records])}
        )

    @property
    def title(self) -> str:
        """The experiment, and where it has stages or looks, which of them these runs are for."""
        trials = self.plan.tuning is not None and all(map(is_trial, self.plan.runs))
        stage = "" if self.plan.tuning is None else "trials" if trials else "evaluation"
        at_look = self.asked.title if self.asked is not None and not trials else ""
        return ", ".join(filter(None, (self.plan.experiment, stage, at_look)))

    def estimate(self) -> Estimate:
        """The work that is known to be left."""
        return estimate(self.missing, self.scan.records)

    def estimate_later(self) -> Estimate:
        """The most work that may still be asked for."""
        return estimate(self.later, self.scan.records)

    def render(self, console: Console) -> None:
        """Print the plan: its axes, its runs by status, the reasons for skipping, and the time that the rest takes."""
        from normlib.experiments.plan_display import show_state

        show_state(console, self)

    def _repr_html_(self) -> str:
        """What `render` prints, as a notebook shows it."""
        return printed_as_html(self.render)

    def __repr__(self) -> str:
        told = ", ".join(f"{number} {status}" for status, number in self.counts.items())
        return f"<Plan of {self.title}: {len(self.plan.runs)} runs, {told}>"

    def for_stages(self, *stages: str) -> State:
        """The state of some stages alone; of all without any."""
        if not stages:
            return self

        def of_stages(runs: Sequence[Run]) -> tuple[Run, ...]:
            return tuple(run for run in runs if run.labels.get(STAGE) in stages)

        runs = of_stages(self.plan.runs)
        ids = {run.id for run in runs}
        records = {run_id: record for run_id, record in self.records.items() if run_id in ids}
        plan = replace(self.plan, runs=runs)
        return replace(
            self, plan=plan, records=records, missing=of_stages(self.missing), skipped=of_stages(self.skipped)
        )


def setting_of(run: Run | Record, key: str) -> Any:
    """A run's label or value of a setting, such as data.batch_size; None where it has none."""
    if key in run.labels:
        return run.labels[key]
    node: Any = run.spec
    for part in key.split("."):
        node = node.get(part) if isinstance(node, Mapping) else None
    return node


def progress_of(plan: Plan, tried: Collection[str] = ()) -> State:
    """Hold a plan against the store. `tried`: runs that are not to be done again now, even if they failed.

    NewerRecordError where a newer normlib has done a run of the plan.
    """
    store = Store(plan.settings["results_dir"], plan.experiment)
    scan = store.scan()
    by_id = {record.id: record for record in scan.records}
    plan, trials_pending = _with_choices(plan, by_id)
    planned = {store.path(run.id) for run in plan.runs}
    for problem in scan.problems:
        if isinstance(problem, NewerRecordError) and problem.path in planned:
            raise problem
    destination = RunDestination(store, Path(), plan.settings["retry_failed"], plan.settings["save_weights"])

    def is_made(run: Run) -> bool:
        return run.skip_reason is not None or run.id in tried or is_final(by_id.get(run.id), destination)

    later, asked = tuple[Run, ...](), None
    if plan.looks:
        looks = looks_of(plan, by_id)
        plan = replace(plan, runs=tuple(labelled(run, looks) for run in plan.runs))
        asked = asked_by_looks(plan, by_id, is_made, trials_pending)
        later, needed = asked.later, {run.id for run in plan.runs if is_trial(run)} | asked.ids
        plan = replace(plan, runs=tuple(run for run in plan.runs if run.id in needed or run.id in by_id))
    else:
        needed = {run.id for run in plan.runs}
        if trials_pending and plan.candidates:
            later = tuple(run for run in plan.runs if run.labels.get(STAGE) == FIXED and run.skip_reason is None)
    records = {run.id: by_id[run.id] for run in plan.runs if run.id in by_id}
    skipped = tuple(run for run in plan.runs if run.skip_reason is not None)
    missing = tuple(run for run in plan.runs if run.id in needed and not is_made(run))
    return State(plan, scan, records, missing, skipped, later, asked)


def _with_choices(plan: Plan, records: Mapping[str, Record]) -> tuple[Plan, bool]:
    """The plan with the runs that its trials choose, as soon as all of them have records; and whether any has none."""
    if plan.tuning is None:
        return plan, False
    trials = [run for run in plan.runs if is_trial(run)]
    found = choose_tuned(
        plan.tuning.axis, trials, plan.candidates, records, plan.settings["metric"], plan.settings["higher_is_better"]
    )
    return (plan, True) if found is None else (replace(plan, runs=(*plan.runs, *found), candidates=()), False)
