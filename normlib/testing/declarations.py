"""Checks on declarations: what a norm's class says of it is what can be measured."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from normlib.norms.base import Norm
from normlib.norms.declarations import INVARIANCES
from normlib.testing.formulas import evaluate
from normlib.testing.requirements import ROUNDING, require
from normlib.testing.subject import Subject, draw, norms_in, set_clock, subject

# Epsilon, 1e-5 in most norms, changes by up to a tenth of this what an invariant norm makes of a scaled input of order one;
# what is not invariant changes by much more.
INVARIANT = 1e-4
# F, the inputs of one output, of the small network's convolution: C times its 3 x 3 kernel.
KERNEL = 9


def check_dependence(norm: str | type[Norm], **settings: Any) -> None:
    """In training, a sample's output depends on the rest of the batch if and only if the norm declares `depends_on_batch`."""
    of = subject(norm, **settings)
    x = draw(of.images) * 30 + 100  # far from the running averages: batch renorm within its bounds is the same alone
    module = of.warmed_up()
    module.update_running = False
    together, alone = module(x), torch.cat([module(sample[None]) for sample in x])
    same = bool((together - alone).abs().max() <= ROUNDING * together.abs().max())
    declared = of.cls.depends_on_batch
    require(
        same != declared,
        f"declares depends_on_batch={declared}, but a sample's output {'does not change' if same else 'changes'} with its batch",
    )


def check_invariances(norm: str | type[Norm], **settings: Any) -> None:
    """In training, the output is blind to every change of the input that the norm declares in `invariances`."""
    of = subject(norm, **settings)
    if settings:
        return  # declared is what holds at default settings
    wrong = sorted(of.cls.invariances - true_invariances(of))
    require(not wrong, f"declares the invariances {', '.join(wrong)}, but the output changes")


def true_invariances(of: Subject) -> frozenset[str]:
    """Which of `INVARIANCES` hold of a new norm, at the start of a run and, where it has a clock, long after."""
    found = set(INVARIANCES)
    for late in (False, True):
        module: Any = of.build().double()
        if late and not set_clock(module):
            continue
        module.update_running = False
        module.eps = min(module.eps, 1e-12)
        x = draw(of.images, dtype=torch.float64)
        y = module(x).detach()
        for name in INVARIANCES:
            changed, expected = _changed(name, x, y)
            if float((module(changed).detach() - expected).abs().max()) > INVARIANT * float(y.abs().max()):
                found.discard(name)
    return frozenset(found)


def _changed(name: str, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """The input changed as the invariance says, and the output that is then expected."""
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
    """At default settings the numbers in parameters and in persistent buffers are the declared ones, formulas in C."""
    of = subject(norm, **settings)
    if settings:
        return
    for channels in (of.channels, 3 * of.channels):
        counts = _counts(of, channels)
        declared = {"parameter_count": of.cls.parameter_count, "buffer_count": of.cls.buffer_count}
        for (what, formula), count in zip(declared.items(), counts, strict=True):
            value = evaluate(formula, C=channels, F=channels * KERNEL)
            require(
                value == count,
                f"declares {what}={formula!r}, which is {value} at C={channels}, but has {count} numbers",
            )


def check_start(norm: str | type[Norm], **settings: Any) -> None:
    """Every parameter starts at the value declared in `starts_at`, whatever the global random numbers."""
    of = subject(norm, **settings)
    module = of.build()
    for name, parameter in module.named_parameters():
        starts_at = {**module.starts_at, **{key: value for key, value in settings.items() if key in module.starts_at}}
        require(name in starts_at, f"has a parameter {name!r}, but starts_at tells only of {sorted(starts_at)}")
        declared = float(starts_at[name])
        values = parameter.detach()
        require(
            torch.equal(values, torch.full_like(values, declared)),
            f"declares that {name} starts at {declared:g}, got values from {float(values.min()):g} to {float(values.max()):g}",
        )


def check_random_numbers(norm: str | type[Norm], **settings: Any) -> None:
    """Building the norm and using it draw none of the global random numbers, which others would then miss."""
    of = subject(norm, **settings)
    state = torch.get_rng_state()
    module = of.build()
    require(torch.equal(state, torch.get_rng_state()), "building the norm draws from the global random numbers")
    module(draw(of.images))
    module.eval()(draw(of.images))
    require(torch.equal(state, torch.get_rng_state()), "using the norm draws from the global random numbers")


def _counts(of: Subject, channels: int) -> tuple[int, int]:
    """Numbers in parameters and in persistent buffers of one norm, with what it adds to the layer ahead."""
    if of.cls.slot in ("norm", "site"):
        module: Any = of.build(channels)
        of_the_layers: set[int] = set()
    else:
        module = of.network(positions=2, channels=channels)
        if of.cls.slot == "branch":
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
