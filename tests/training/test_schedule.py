"""Checks the learning-rate factors against torch's schedulers, and that the shape's hash is blind to the base rate."""

from __future__ import annotations

import itertools
import math
import warnings

import pytest
import torch

from normlib.training.schedule import START_FACTOR, learning_rate_factors, shape_hash
from normlib.training.settings import SCHEDULES

TOTALS = (1, 2, 3, 4, 7, 10, 101, 1000)
# Both evaluate a cosine in float64 and multiply factors of order one; torch's cosine goes step by step, which adds up
# one rounding of 1e-16 a step.
ROUNDING = 1e-12


def of_torch(scheduler: type, count: int, **settings: object) -> list[float]:
    """The learning rates of a torch scheduler around a peak of one, step by step."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = scheduler(optimizer, **settings)
    rates = []
    for step in range(count):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if step < count - 1:
            schedule.step()
    return rates


def worst(ours: tuple[float, ...], theirs: list[float]) -> float:
    assert len(ours) == len(theirs)
    return max(abs(one - other) for one, other in zip(ours, theirs))


@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("total_steps", TOTALS)
def test_one_cycle_is_torchs(total_steps: int, warmup: float) -> None:
    ours = learning_rate_factors({"name": "one_cycle", "warmup": warmup}, total_steps)
    try:
        theirs = of_torch(
            torch.optim.lr_scheduler.OneCycleLR, total_steps,
            max_lr=1.0, total_steps=total_steps, pct_start=warmup, cycle_momentum=False,
        )  # fmt: skip
    except ZeroDivisionError:  # torch's, where the warm-up is exactly one step long
        assert warmup * total_steps == 1
        assert ours[0] == 1.0
        return
    assert worst(ours, theirs) < ROUNDING


@pytest.mark.parametrize("total_steps", TOTALS)
def test_cosine_is_torchs(total_steps: int) -> None:
    ours = learning_rate_factors({"name": "cosine", "warmup": 0.0}, total_steps)
    theirs = of_torch(torch.optim.lr_scheduler.CosineAnnealingLR, total_steps, T_max=total_steps)
    assert worst(ours, theirs) < ROUNDING


def test_planted_schedule_that_is_one_step_late_is_found() -> None:
    theirs = of_torch(torch.optim.lr_scheduler.CosineAnnealingLR, 101, T_max=101)
    late = learning_rate_factors({"name": "cosine", "warmup": 0.0}, 101)
    assert worst((late[0], *late[:-1]), theirs) > 1e-3


@pytest.mark.parametrize("total_steps", [10, 40])
def test_a_warm_up_ahead_of_the_cosine_is_linear(total_steps: int) -> None:
    factors = learning_rate_factors({"name": "cosine", "warmup": 0.25}, total_steps)
    warm = math.ceil(0.25 * total_steps)
    steps = [after - before for before, after in itertools.pairwise(factors[:warm])]
    assert all(step == pytest.approx(steps[0]) for step in steps)
    assert factors[0] == pytest.approx(1 / (0.25 * total_steps + 1))
    assert max(factors) <= 1
    assert list(factors[warm:]) == sorted(factors[warm:], reverse=True)


@pytest.mark.parametrize("name", sorted(SCHEDULES))
@pytest.mark.parametrize("total_steps", TOTALS)
def test_every_schedule_gives_a_factor_a_step_between_zero_and_one(name: str, total_steps: int) -> None:
    for warmup in (0.0, 0.3, 0.99):
        factors = learning_rate_factors({"name": name, "warmup": warmup}, total_steps)
        assert len(factors) == total_steps
        assert all(0 <= factor <= 1 for factor in factors)


def test_constant_is_constant() -> None:
    assert learning_rate_factors({"name": "constant"}, 5) == (1.0,) * 5


def test_one_cycle_starts_at_a_25th_of_its_peak() -> None:
    assert learning_rate_factors({"name": "one_cycle", "warmup": 0.3}, 100)[0] == pytest.approx(START_FACTOR)


def test_the_shape_hash_knows_shape_and_length_but_no_rate(train) -> None:
    small = ("model.width=8", "model.depth=2", "training.steps=3")
    hashes = {
        override: train(*small, override).hashes["schedule"]
        for override in ("optimizer.lr=0.1", "optimizer.lr=0.01", "data.batch_size=8", "optimizer=adamw",
                         "schedule.warmup=0.5", "schedule=cosine", "schedule=constant", "training.steps=4")
    }  # fmt: skip
    same = [
        hashes.pop(key) for key in ("optimizer.lr=0.1", "optimizer.lr=0.01", "data.batch_size=8", "optimizer=adamw")
    ]
    assert len(set(same)) == 1
    assert len({same[0], *hashes.values()}) == 1 + len(hashes)
    assert same[0] == shape_hash(learning_rate_factors({"name": "one_cycle", "warmup": 0.3}, 3))


def test_torch_warns_of_nothing_here() -> None:
    """The comparison steps torch's schedulers in the order that they ask for; a warning would mean another order."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        of_torch(torch.optim.lr_scheduler.CosineAnnealingLR, 3, T_max=3)
