"""Checks on declarations: what a norm's class says about it agrees with what is measured."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from normlib.norms.base import Norm
from normlib.norms.declarations import INVARIANCES
from normlib.testing.formulas import evaluate
from normlib.testing.requirements import ROUNDING, require
from normlib.testing.subject import Subject, draw, norms_in, set_clock, subject

# In an invariant norm, epsilon (mostly 1e-5) changes the output for a scaled input of order one by up to a tenth of this.
# Without the invariance the output changes by much more.
INVARIANT = 1e-4
# F, the number of inputs of one output, is C times the 3 x 3 kernel in the small network's convolution.
KERNEL = 9


def check_dependence(norm: str | type[Norm], **settings: Any) -> None:
    """In training, a sample's output depends on the rest of the batch exactly if the norm declares `depends_on_batch`."""
    tested = subject(norm, **settings)
    x = (
        draw(tested.images) * 30 + 100
    )  # far from the running averages: within its bounds, batch renorm does not depend on the batch
    module = tested.warmed_up()
    module.update_running = False
    together, alone = module(x), torch.cat([module(sample[None]) for sample in x])
    same = bool((together - alone).abs().max() <= ROUNDING * together.abs().max())
    declared = tested.cls.depends_on_batch
    require(
        same != declared,
        f"declares depends_on_batch={declared}, but a sample's output {'does not change' if same else 'changes'} with its batch",
    )


def check_invariances(norm: str | type[Norm], **settings: Any) -> None:
    """In training, no change of the input that the norm declares in `invariances` changes the output."""
    tested = subject(norm, **settings)
    if settings:
        return  # the declaration is about default settings
    wrong = sorted(tested.cls.invariances - true_invariances(tested))
    require(not wrong, f"declares the invariances {', '.join(wrong)}, but the output changes")


def true_invariances(tested: Subject) -> frozenset[str]:
    """The `INVARIANCES` that hold for a new norm, at the start of a run and, if it has a clock, late in one."""
    found = set(INVARIANCES)
    for late in (False, True):
        module: Any = tested.build().double()
        if late and not set_clock(module):
            continue
        module.update_running = False
        module.eps = min(module.eps, 1e-12)
        x = draw(tested.images, dtype=torch.float64)
        y = module(x).detach()
        for name in INVARIANCES:
            changed, expected = _changed(name, x, y)
            if float((module(changed).detach() - expected).abs().max()) > INVARIANT * float(y.abs().max()):
                found.discard(name)
    return frozenset(found)


def _changed(name: str, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The input, changed as the invariance says, and the output to expect."""
    what, _, how = name.partition("_")
    dimension = {"input": None, "batch": 0, "sample": 0, "channel": 1}[what]
    if how == "permutation":
        assert dimension is not None
        order = draw((x.shape[dimension],), seed=6).argsort()
        return x.index_select(dimension, order), y.index_select(dimension, order)
    size = [1] * x.dim()
    if dimension is not None:
        size[dimension] = x.shape[dimension]
    by = draw(tuple(size), seed=7, dtype=torch.float64) + (0 if dimension is not None else 2)
    return (x * by.exp() if how == "scale" else x + by), y


def check_counts(norm: str | type[Norm], **settings: Any) -> None:
    """At default settings, the numbers of parameters and of persistent buffer values equal the declared formulas in C."""
    tested = subject(norm, **settings)
    if settings:
        return
    for channels in (tested.channels, 3 * tested.channels):
        counts = _counts(tested, channels)
        declared = {"parameter_count": tested.cls.parameter_count, "buffer_count": tested.cls.buffer_count}
        for (what, formula), count in zip(declared.items(), counts, strict=True):
            value = evaluate(formula, C=channels, F=channels * KERNEL)
            require(
                value == count,
                f"declares {what}={formula!r}, which is {value} at C={channels}, but has {count} numbers",
            )


def check_start(norm: str | type[Norm], **settings: Any) -> None:
    """Every parameter starts at the value in `starts_at`, whatever the global random state."""
    tested = subject(norm, **settings)
    module = tested.build()
    for name, parameter in module.named_parameters():
        starts_at = {**module.starts_at, **{key: value for key, value in settings.items() if key in module.starts_at}}
        require(name in starts_at, f"has a parameter {name!r}, but starts_at names only {sorted(starts_at)}")
        declared = float(starts_at[name])
        values = parameter.detach()
        require(
            torch.equal(values, torch.full_like(values, declared)),
            f"declares that {name} starts at {declared:g}, got values from {float(values.min()):g} to {float(values.max()):g}",
        )


def check_random_numbers(norm: str | type[Norm], **settings: Any) -> None:
    """Building and using the norm draws no global random numbers, which would shift those of others."""
    tested = subject(norm, **settings)
    state = torch.get_rng_state()
    module = tested.build()
    require(torch.equal(state, torch.get_rng_state()), "building the norm draws from the global random numbers")
    module(draw(tested.images))
    module.eval()(draw(tested.images))
    require(torch.equal(state, torch.get_rng_state()), "using the norm draws from the global random numbers")


def _counts(tested: Subject, channels: int) -> tuple[int, int]:
    """The numbers of parameters and of persistent buffer values of one norm, with what it adds to the layer ahead."""
    if tested.cls.slot in ("norm", "site"):
        module: Any = tested.build(channels)
        of_the_layers: set[int] = set()
    else:
        module = tested.network(positions=2, channels=channels)
        if tested.cls.slot == "branch":
            module = norms_in(module)[-1]  # at the end of the branch
            of_the_layers = set()
        else:
            layer = module.layer.weight.shape
            of_the_layers = {id(parameter) for parameter in module.layer.parameters() if parameter.shape == layer}
    parameters = {
        name: parameter for name, parameter in module.named_parameters() if id(parameter) not in of_the_layers
    }
    everything = module.state_dict(keep_vars=True)
    own = {id(parameter) for parameter in module.parameters()}
    buffers = [value.numel() for value in everything.values() if id(value) not in own]
    return sum(parameter.numel() for parameter in parameters.values()), sum(buffers)
