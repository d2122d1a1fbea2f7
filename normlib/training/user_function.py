"""Calls a user's training function, once per run: `train(norm_layer, seed, **condition)` returns its figures.

In: a run whose spec names a function. Out: what it returned. normlib does not see what the function does, so its
records prove no pairing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from normlib.errors import NormlibError
from normlib.plugins import load_named
from normlib.results.store.record import finite_or_none
from normlib.tasks.metric import column_name, known_metric
from normlib.training.fitted import Fitted
from normlib.training.installation import add_noise, norm_factory, scale_or_shift
from normlib.training.seeding import generator, global_stream
from normlib.training.spec import Run


class UserFunctionError(NormlibError, ValueError):
    """A function did not return comparable figures. The message states the rule, what came and the fix."""


def call_function(run: Run) -> Fitted:
    """Call the run's function with a factory of the arm's norms. Raises UserFunctionError if it returns no figures."""
    spec = run.spec
    function = load_named(run.sources["function"], "function")
    started = time.perf_counter()
    with global_stream(spec["seed"], "function"):
        returned = function(_norm_layer(spec), spec["seed"], **spec["condition"])
    seconds = time.perf_counter() - started
    figures = _figures(returned, run.sources["function"])
    facts = [metric for name in figures if (metric := known_metric(name)) is not None]
    first = next(iter(figures))
    return Fitted(
        metrics={
            "train": {},
            "validation": {},
            "test": {name: finite_or_none(value) for name, value in figures.items()},
        },
        metric_facts=facts,
        train_curve={"step": [], "loss": []},
        validation_curve={},
        hashes={},
        batch_sizes={},
        environment={},
        planned_steps=0,
        steps=0,
        samples=0,
        seconds=seconds,
        broken=None if math.isfinite(figures[first]) else f"{first} is not finite",
        state={},
    )


def _norm_layer(spec: Mapping[str, Any]) -> Any:
    """A factory of the arm's norms: ``norm_layer(num_features)``, with ``channel_dim=-1`` for (N, *positions, C)."""
    settings = spec["norm"]
    make = norm_factory(settings)
    made = 0

    def norm_layer(num_features: int, channel_dim: int = 1, **others: Any) -> nn.Module:
        nonlocal made
        norm = make(num_features, **({} if channel_dim == 1 else {"channel_dim": channel_dim}))
        if settings["gamma_noise"]:
            parameter = scale_or_shift(norm)
            if parameter is not None:
                add_noise(parameter, settings["gamma_noise"], generator(spec["seed"], "gamma_noise", made))
        made += 1
        return norm

    return norm_layer


def _figures(returned: Any, where: str) -> dict[str, float]:
    if not isinstance(returned, Mapping) or not returned:
        raise UserFunctionError(
            f"function={where} must return a dict of its figures, as in {{'accuracy': 0.93}}, but it returned {type(returned).__name__}"
        )
    figures = {}
    for name, value in returned.items():
        if isinstance(value, torch.Tensor) and value.numel() == 1:
            value = float(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UserFunctionError(f"function={where}: {name} must be a number, but it is {type(value).__name__}")
        figures[column_name(str(name))] = float(value)
    return figures
