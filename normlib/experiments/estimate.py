"""Estimates how long missing runs will take: from records of similar runs, else roughly from operation counts."""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from normlib.results.store.record import Record
from normlib.training.spec import Run

# Used without any record. Measured on a laptop-class core, and printed as rough.
SECONDS_PER_PARAMETER_TENSOR = 35e-6  # cost of one small layer per step: forward, backward and update
SECONDS_PER_MULTIPLICATION = 3 * 2 / 2e10  # two passes back for one forward, at 20 GFLOP/s
SECONDS_AROUND_A_RUN = 0.03  # building, evaluating and recording


@dataclass(frozen=True)
class Estimate:
    """Seconds of work on one worker, and the number of runs without a similar record."""

    seconds: float
    rough_runs: int


def estimate(runs: Sequence[Run], records: Iterable[Record]) -> Estimate:
    """The time for `runs`, by the median seconds per step of recorded runs with the same, or nearly the same, cost."""
    records = list(records)
    timed = [record for record in records if record.seconds_per_step is not None and record.planned_steps]
    whole = defaultdict[str, list[float]](list)
    for record in records:
        if record.seconds_training is not None:
            whole[_same_user_code(record.spec)].append(record.seconds_training)
    tables = []
    for similarity in (_same_but_seed, _same_but_norm, _same_network) if timed else ():
        groups: dict[str, list[float]] = defaultdict(list)
        for record in timed:
            assert record.seconds_per_step is not None
            groups[similarity(record.spec)].append(record.seconds_per_step)
        tables.append((similarity, {key: statistics.median(values) for key, values in groups.items()}))
    seconds, rough, guesses = 0.0, 0, dict[str, float]()
    for run in runs:
        if run.sources:  # the number of steps of the user's own code is not known ahead
            same = whole.get(_same_user_code(run.spec))
            seconds += statistics.median(same) if same else 0.0
            rough += not same
            continue
        known = next((table[key] for similarity, table in tables if (key := similarity(run.spec)) in table), None)
        if known is None:
            rough += 1
            key = _same_but_norm(run.spec)
            if key not in guesses:
                guesses[key] = _guess(run.spec)
            known = guesses[key]
        seconds += known * run.planned_steps + SECONDS_AROUND_A_RUN
    return Estimate(seconds, rough)


def _same_but_seed(spec: Mapping[str, Any]) -> str:
    norm = {**spec["norm"], "gamma_noise": 0.0}  # which costs nothing
    return json.dumps([norm, _same_but_norm(spec)], sort_keys=True)


def _same_but_norm(spec: Mapping[str, Any]) -> str:
    return json.dumps([spec["data"]["batch_size"], spec["site"]["norm_batch_size"], _same_network(spec)])


def _same_user_code(spec: Mapping[str, Any]) -> str:
    return json.dumps({key: node for key, node in spec.items() if key not in ("norm", "seed")}, sort_keys=True)


def _same_network(spec: Mapping[str, Any]) -> str:
    return json.dumps([spec["model"], spec["data"]["name"], spec["accelerator"], spec["threads"]], sort_keys=True)


def _guess(spec: Mapping[str, Any]) -> float:
    """Seconds per step. 0 for a network that cannot be built without memory, or not at all: the run says why."""
    try:
        return _rough_seconds_per_step(spec)
    except Exception:
        return 0.0


def _rough_seconds_per_step(spec: Mapping[str, Any]) -> float:
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from normlib.training.inputs import NetworkShape, make_dataset, make_task
    from normlib.training.network import build_network

    shape = NetworkShape.for_task(make_dataset(spec["data"]), make_task(spec["task"]))
    with torch.device("meta"), torch.no_grad():
        network = build_network(
            dict(spec) | {"norm": {"name": "none", "gamma_noise": 0.0, "weights": None}},
            shape,
            1,
        )
        counter = FlopCounterMode(display=False)
        with counter:
            network.module(shape.example(spec["data"]["batch_size"], "meta"))
    tensors = sum(1 for _ in network.module.parameters()) + len(network.sites)
    return tensors * SECONDS_PER_PARAMETER_TENSOR + counter.get_total_flops() / 2 * SECONDS_PER_MULTIPLICATION
