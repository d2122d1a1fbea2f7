"""What `plan` prints: the runs of a plan by stage and status, why runs are skipped, and the time for the rest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from normlib.experiments.control import CONTROL_NOISE
from normlib.experiments.display import duration
from normlib.experiments.estimate import Estimate
from normlib.experiments.plan import Plan
from normlib.experiments.state import State
from normlib.experiments.sweep import number_of_jobs
from normlib.results.store.columns import SEED
from normlib.results.study.tuning import FIXED, TRIAL, TUNED
from normlib.training.spec import Run

STAGES = {TRIAL: "trials", FIXED: "at the fixed value", TUNED: "at chosen values"}


def show_state(console: Console, state: State) -> None:
    """A plan: its axes, its runs by status, the reasons for skipping, and the time for the rest."""
    plan = state.plan
    where = f"{plan.settings['results_dir']}/{plan.experiment}"
    console.print(Text(f"experiment {plan.experiment}: {len(plan.runs)} runs in {where}", style="bold"))
    for key, values in plan.order.items():
        shown = ", ".join(values) if key != SEED or not state.asked else _about_looks(state.asked.planned, len(values))
        console.print(Text(f"  {key}: {shown}"))
    for note in plan.notes:
        console.print(Text(note))
    if plan.control is not None:
        console.print(Text(_about_control(plan)))
    baseline = plan.settings["baseline"]
    if plan.settings["rows"] == "norm" and baseline not in plan.row_labels:
        console.print(
            Text(
                f"no row is the baseline, {baseline}, so nothing will be compared with it (baseline=... names another)"
            )
        )
    if plan.tuning is not None:
        console.print(Text(_about_tuning(plan)))
    stages = (
        {name: state.for_stages(stage) for stage, name in STAGES.items()}
        if plan.tuning is not None
        else {"runs": state}
    )
    console.print(_counts(stages))
    reasons = Counter((run.labels["norm"], run.labels["model"], str(run.skip_reason)) for run in state.skipped)
    for (norm, model, reason), number in reasons.items():
        console.print(Text(f"skipped: {number} × norm={norm} model={model}: {reason}"))
    changes = Counter((run.labels["model"], words) for run in plan.runs for words in run.changes)
    for (model, words), number in changes.items():
        console.print(Text(f"model={model} ({number} of {len(plan.runs)} runs): {words}"))
    for problem in state.scan.problems:
        console.print(Text(f"broken record, will be set aside and run again: {problem}"))
    if state.later:
        when = "at chosen values, once the trials are done" if state.asked is None else "at later looks"
        console.print(f"at most {len(state.later)} more runs {when}")
    _show_time(console, state, stages)


def _about_looks(planned: Sequence[int], most: int) -> str:
    numbers = [str(seeds) for seeds in planned if seeds <= most]
    return f"auto, at most {most}: looked at after {', '.join(numbers)} seeds, until every comparison is decided"


def _about_control(plan: Plan) -> str:
    return (
        f"control: {plan.control} is {plan.settings['baseline']} with noise of {CONTROL_NOISE:g} on its scales at the start: the "
        "same trunk and batches, another trajectory"
    )


def _about_tuning(plan: Plan) -> str:
    assert plan.tuning is not None
    axis, seeds = plan.tuning.axis, plan.tuning.seeds
    values = ", ".join(value.partition("=")[2] for value in plan.tuning.values)
    return (
        f"tuning: {axis} among {values}, for each arm and condition alike, by the mean on validation of {len(seeds)} "
        f"trials a value, on seeds from {seeds[0]}"
    )


def _counts(stages: Mapping[str, State]) -> Table:
    table = Table("status", *stages, box=box.SIMPLE_HEAD, pad_edge=False)
    for status in ("done", "diverged", "failed", "missing", "skipped"):
        table.add_row(status, *(str(state.counts.get(status, 0)) for state in stages.values()))
    return table


def _show_time(console: Console, state: State, stages: Mapping[str, State]) -> None:
    if state.asked is not None and state.asked.title:
        console.print(Text(f"next is {state.asked.title}"))
    if not state.missing:
        console.print("nothing to train")
        return
    jobs = number_of_jobs(state.plan.settings["jobs"])
    left = {name: stage.estimate() for name, stage in stages.items() if stage.missing}
    least = sum(each.seconds for each in left.values()) / jobs
    if state.later:
        left["at later looks" if state.asked is not None else STAGES[TUNED]] = state.estimate_later()
    rough = sum(each.rough_runs for each in left.values())
    basis = "from records of runs like these"
    if rough and state.missing[0].sources:
        basis = (
            f"{rough} of the missing runs have no similar record yet; the first will show how long your own code takes"
        )
    elif rough:
        basis = f"roughly, from operation counts: {rough} of the missing runs have no similar record yet"
    seconds = sum(each.seconds for each in left.values()) / jobs
    parts = "" if len(left) == 1 else f": {_parts(left, jobs)}"
    time = f"at most {duration(seconds)}" if state.later else duration(seconds)
    if state.asked is not None and state.later:
        time = (
            f"at least {duration(least)} for {_runs(state.missing)}, {time} for {_runs([*state.missing, *state.later])}"
        )
    console.print(Text(f"estimated time: {time} in {jobs} processes{parts} ({basis})"))


def _runs(runs: Sequence[Run]) -> str:
    return f"{len(runs)} run{'' if len(runs) == 1 else 's'}"


def _parts(left: Mapping[str, Estimate], jobs: int) -> str:
    return ", ".join(f"{duration(each.seconds / jobs)} {name}" for name, each in left.items())
