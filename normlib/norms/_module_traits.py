"""Finds out by numbers what a plain module is: what it depends on, what it keeps, which parameter is its shift.

In: a function that builds the module. Out: its `ModuleTraits`. Small random inputs go through fresh modules in training
mode. No module in use is touched, and no global random number is drawn.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

SAMPLES = 6
POSITIONS = ((8, 4), (8,), (), (4, 4, 2))
"""The shapes that are tried. The first that the module takes serves for everything else."""
RANKS = range(2, 6)
"""The numbers of dimensions of such inputs."""
SAME = 1e-4
"""Largest relative difference of two equal outputs. Inputs are float64; a module that computes in float32 differs by 1e-6."""
MOMENTA = (0.1, 0.2)


@dataclass(frozen=True)
class ModuleTraits:
    """What a plain module takes, keeps and trains.

    `ranks`: the numbers of dimensions of the inputs that it takes, out of `RANKS`. `moving`: the floating buffers that
    training moves. `shift`: the name of the parameter that is added to each channel of the output. `scale`: the name of
    the one that multiplies it. Both are None where there is none. `has_torch_momentum`: whether an attribute `momentum`
    weighs the new value of every moving buffer, as in torch.nn.
    """

    ranks: tuple[int, ...]
    depends_on_batch: bool
    moving: tuple[str, ...]
    shift: str | None
    scale: str | None
    has_torch_momentum: bool


def find_traits(build: Callable[[], nn.Module], num_features: int) -> ModuleTraits:
    """Find out the traits of the module that `build` makes for `num_features` channels.

    Raises ValueError if the module takes none of the inputs (6, C, 8, 4), (6, C, 8), (6, C) and (6, C, 4, 4, 2).
    """
    with _without_side_effects():
        inputs = _accepted_inputs(build, num_features)
        x = inputs[0]
        together, other = _draw(x.shape, 1), _draw(x.shape, 2)
        other[:1] = together[:1]
        alone = _same(_output(build, together)[:1], _output(build, other)[:1])
        moving = _moving(build, x)
        shift, scale = _shift_and_scale(build, x)
        ranks = tuple(sorted(x.dim() for x in inputs))
        return ModuleTraits(ranks, not alone, tuple(moving), shift, scale, _has_torch_momentum(build, x, moving))


@contextlib.contextmanager
def _without_side_effects() -> Iterator[None]:
    """Run on the CPU, without gradients and autocast, and restore the global random state."""
    with torch.random.fork_rng(devices=[]), torch.device("cpu"), torch.no_grad(), torch.autocast("cpu", enabled=False):
        yield


def _accepted_inputs(build: Callable[[], nn.Module], num_features: int) -> list[Tensor]:
    accepted, refused = [], ""
    for positions in POSITIONS:
        x = _draw((SAMPLES, num_features, *positions), 0)
        module = _module(build)
        try:
            y = module(x)
        except Exception as error:  # any kind: modules refuse inputs in many ways
            refused = refused or f"{type(error).__name__}: {error}"
            continue
        if isinstance(y, Tensor) and y.shape == x.shape:
            accepted.append(x)
        else:
            came = f"shape {tuple(y.shape)}" if isinstance(y, Tensor) else f"a {type(y).__name__}"
            refused = refused or f"shape {tuple(x.shape)} came out as {came}"
    if not accepted:
        raise ValueError(
            f"a norm takes (N, C, *positions) and returns the same shape, but this one took no input with C = {num_features} and 0 to 3 "
            f"dimensions of positions ({refused}); correct it, or derive it from normlib.Norm, which tries no inputs"
        )
    return accepted


def _module(build: Callable[[], nn.Module]) -> nn.Module:
    """A fresh module in training mode and float64. It is the same at each call, whatever it draws."""
    torch.manual_seed(0)
    return build().double().train()


def _output(build: Callable[[], nn.Module], x: Tensor, name: str = "", change: Tensor | None = None) -> Tensor:
    """The output of a fresh module. Its parameters are moved away from where they start, one of them further."""
    module = _module(build)
    for seed, parameter in enumerate(module.parameters()):
        parameter.add_(_draw(parameter.shape, 10 + seed), alpha=0.1)
    if change is not None:
        module.get_parameter(name).add_(change)
    output: Tensor = module(x)
    return output.double()


def _moving(build: Callable[[], nn.Module], x: Tensor) -> dict[str, Tensor]:
    """The floating buffers that one training step moves, and by how much."""
    module = _module(build)
    before = {name: buffer.clone() for name, buffer in module.named_buffers()}
    module(x + 0.5)
    after = dict(module.named_buffers())
    moves = {name: after[name] - value for name, value in before.items() if value.is_floating_point() and name in after}
    return {name: move for name, move in moves.items() if bool(move.any())}


def _shift_and_scale(build: Callable[[], nn.Module], x: Tensor) -> tuple[str | None, str | None]:
    """The names of the shift and the scale.

    A change of the shift is added to the output, alike for every sample and position. The output is linear in the
    scale.
    """
    start = _output(build, x)
    shift = scale = None
    for name, parameter in _module(build).named_parameters():
        if parameter.numel() != x.shape[1]:
            continue
        change = _draw(parameter.shape, 5)
        once = _output(build, x, name, change) - start
        per_channel = once.transpose(0, 1).flatten(1)  # (C, values)
        if not bool((per_channel.abs().amax(1) > 0).all()):
            continue
        if _same(per_channel, per_channel[:, :1].expand_as(per_channel)):
            shift = shift or name
        elif _same(_output(build, x, name, 2 * change) - start, 2 * once):
            scale = scale or name
    return shift, scale


def _has_torch_momentum(build: Callable[[], nn.Module], x: Tensor, moving: dict[str, Tensor]) -> bool:
    if not moving or not isinstance(getattr(build(), "momentum", None), float):
        return False

    def moves(momentum: float) -> dict[str, Tensor]:
        def built() -> nn.Module:
            module: Any = build()
            module.momentum = momentum
            return module

        return _moving(built, x)

    less, more = map(moves, MOMENTA)
    ratio = MOMENTA[1] / MOMENTA[0]
    return all(name in more and _same(more[name], ratio * less[name]) for name in less)


def _same(one: Tensor, other: Tensor) -> bool:
    return bool((one - other).abs().max() <= SAME * other.abs().max())


def _draw(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
