"""Checks estimates of the time left: from the records of the runs most alike, and rough without any."""

from __future__ import annotations

import pytest

from normlib.experiments.estimate import SECONDS_AROUND_A_RUN, estimate
from normlib.experiments.plan import make_run
from normlib.results.store.record import Record
from normlib.training.spec import Run
from tests.experiments.tiny_sweeps import TINY
from tests.results.factories import make_record


def run(*overrides: str) -> Run:
    return make_run([*TINY, *overrides])[0]


def recorded(seconds_per_step: float, *overrides: str) -> Record:
    return make_record(spec=dict(run(*overrides).spec), seconds_per_step=seconds_per_step)


def test_the_most_alike_runs_decide() -> None:
    asked = run("norm=layer", "seed=0", "training.steps=100")
    same_but_seed = [recorded(seconds, "norm=layer", f"seed={seed}") for seed, seconds in enumerate((1.0, 2.0, 9.0), 1)]
    same_but_norm = recorded(5.0, "norm=none")
    same_network = recorded(7.0, "norm=none", "data.batch_size=16")
    other_network = recorded(11.0, "model.width=9", "norm=layer")
    everything = [*same_but_seed, same_but_norm, same_network, other_network]
    for records, median in (
        (everything, 2.0),
        ([same_but_norm, same_network, other_network], 5.0),
        ([same_network, other_network], 7.0),
    ):
        found = estimate([asked], records)
        # Exact but for the rounding of a product and a sum of two floats.
        assert found.seconds == pytest.approx(100 * median + SECONDS_AROUND_A_RUN, rel=1e-12)
        assert found.rough_runs == 0
    assert estimate([asked], [other_network]).rough_runs == 1


def test_without_records_it_is_rough_positive_and_grows_with_the_work() -> None:
    few, many = (estimate([run("norm=layer", f"training.steps={steps}")], []) for steps in (10, 10_000))
    small, large = (
        estimate([run("norm=layer", "training.steps=10", f"model.width={width}")], []) for width in (8, 512)
    )
    assert few.rough_runs == many.rough_runs == 1
    assert 0 < few.seconds < many.seconds and 0 < small.seconds < large.seconds


def test_records_without_times_count_for_nothing() -> None:
    failed = make_record(spec=dict(run("norm=layer").spec), status="failed")
    assert estimate([run("norm=layer")], [failed]).rough_runs == 1
