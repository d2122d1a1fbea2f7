"""How far a plan has come: its runs held against the records of its folder. Reads; changes and trains nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from normlib.experiments.estimate import Estimate, estimate
from normlib.experiments.execute import RunDestination, is_final
from normlib.experiments.plan import Plan
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
    """A plan, and how far it has come. Once all trials have records, `plan.runs` has the runs that they choose as well.

    `records` are those of the plan's runs, by id. `missing` are the runs that are still to do. `skipped` are those that make no
    sense; each has a `skip_reason`.
    """

    plan: Plan
    scan: Scan
    records: Mapping[str, Record]
    missing: tuple[Run, ...]
    skipped: tuple[Run, ...]

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
    def undecided(self) -> tuple[Run, ...]:
        """Stand-ins for the runs that trials may still choose: as many as there can be at most, and as long."""
        if not self.plan.candidates:
            return ()
        return tuple(run for run in self.plan.runs if run.labels.get(STAGE) == FIXED and run.skip_reason is None)

    @property
    def title(self) -> str:
        """The experiment, and in one with tuning the stage that these runs belong to."""
        if self.plan.tuning is None:
            return self.plan.experiment
        return f"{self.plan.experiment}, {'trials' if all(map(is_trial, self.plan.runs)) else 'evaluation'}"

    def estimate(self) -> Estimate:
        """The work that is known to be left."""
        return estimate(self.missing, self.scan.records)

    def estimate_undecided(self) -> Estimate:
        """The most work that trials may still choose."""
        return estimate(self.undecided, self.scan.records)

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
        """The state of some stages alone."""

        def of_stages(runs: Sequence[Run]) -> tuple[Run, ...]:
            return tuple(run for run in runs if run.labels.get(STAGE) in stages)

        runs = of_stages(self.plan.runs)
        ids = {run.id for run in runs}
        records = {run_id: record for run_id, record in self.records.items() if run_id in ids}
        plan = replace(self.plan, runs=runs)
        return State(plan, self.scan, records, of_stages(self.missing), of_stages(self.skipped))


def setting_of(run: Run | Record, key: str) -> Any:
    """A run's label or value of a setting, such as data.batch_size; None where it has none."""
    if key in run.labels:
        return run.labels[key]
    node: Any = run.spec
    for part in key.split("."):
        node = node.get(part) if isinstance(node, Mapping) else None
    return node


def progress_of(plan: Plan) -> State:
    """Hold a plan against the store. NewerRecordError where a newer normlib has done a run of the plan."""
    store = Store(plan.settings["results_dir"], plan.experiment)
    scan = store.scan()
    by_id = {record.id: record for record in scan.records}
    plan = _with_choices(plan, by_id)
    planned = {store.path(run.id) for run in plan.runs}
    for problem in scan.problems:
        if isinstance(problem, NewerRecordError) and problem.path in planned:
            raise problem
    records = {run.id: by_id[run.id] for run in plan.runs if run.id in by_id}
    destination = RunDestination(store, Path(), plan.settings["retry_failed"], plan.settings["save_weights"])
    skipped = tuple(run for run in plan.runs if run.skip_reason is not None)
    missing = tuple(
        run for run in plan.runs if run.skip_reason is None and not is_final(records.get(run.id), destination)
    )
    return State(plan, scan, records, missing, skipped)


def _with_choices(plan: Plan, records: Mapping[str, Record]) -> Plan:
    """The plan with the runs that its trials choose, as soon as all of them have records."""
    if plan.tuning is None:
        return plan
    trials = [run for run in plan.runs if is_trial(run)]
    found = choose_tuned(
        plan.tuning.axis, trials, plan.candidates, records, plan.settings["metric"], plan.settings["higher_is_better"]
    )
    return plan if found is None else replace(plan, runs=(*plan.runs, *found), candidates=())
