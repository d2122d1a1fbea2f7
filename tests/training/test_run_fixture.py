"""Checks the tests' own short cut to a run: it is the run that the plan makes, id and command included."""

from __future__ import annotations

import pytest

from normlib.experiments.plan import make_run as plan_run


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("norm=group", "norm.num_groups=4", "model=convnet", "model.width=8", "seed=3"),
        (
            "data=synthetic",
            "data.shape=[3,8,8]",
            "optimizer=adamw",
            "schedule=cosine",
            "schedule.warmup=0.1",
            "training.steps=7",
        ),
    ],
    ids=len,
)
def test_the_short_cut_makes_the_plans_run(overrides: tuple[str, ...], make_run) -> None:
    expected, _ = plan_run([*overrides, "accelerator=cpu"])
    assert make_run(*overrides) == expected
