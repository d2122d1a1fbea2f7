"""Population statistics: what running statistics estimate, computed from given batches with the weights as they are.

In: a model and batches. Out: the statistics of all values that its norms see, or a model that holds them. It covers
every norm with running statistics, normlib's and torch's. Gradients, optimizers and the model's other state are left
alone.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

from normlib.norms._pool import Pool
from normlib.norms.base import Norm

Population = Mapping[nn.Module, Mapping[str, Tensor]]
"""For each norm, the new values of its running buffers, by name."""


@torch.no_grad()
def recompute_statistics(
    model: nn.Module, batches: Iterable[Any], forward: Callable[[nn.Module, Any], Any] | None = None
) -> None:
    """Put the statistics of all values of `batches` into the running buffers of the model's norms.

    This is called "precise batch norm". The batches flow as in training, each normalized with its own statistics, while
    dropout and the like are off. Every buffer `running_<statistic>` gets that statistic, computed in float64. Means and
    variances are pooled exactly (Chan, Golub, LeVeque 1983; Wu, Johnson 2021, arXiv:2105.07576, section 3). Other
    statistics are averaged over the batches, weighted by the number of their values. Norms that average over samples,
    as instance norm does, get those averages. In a process group, all processes' batches count. Frozen norms stay as
    they are: norms that are frozen by their switches, and torch's norms in eval mode while the model trains.

    Batch renorm's running statistics are averages over batches, and its corrections pull the network towards them. So
    it gets the averages of the batches' means and deviations. For batches of a few values, those deviations are smaller
    than the population's.

    A batch is the model's input, or a tuple or list that starts with it. For any other, give ``forward(model, batch)``.
    Raises ValueError if there is no such norm, or no batch.
    """
    norms = moving_norms(model)
    if not norms:
        raise ValueError(
            f"{type(model).__name__} has no norm with running statistics that may move, so there is nothing to recompute; "
            "call unfreeze() on frozen norms, or train() on torch's"
        )
    put_population(measure_population(model, norms, batches, forward))


@contextmanager
def precise_statistics(
    model: nn.Module, batches: Iterable[Any], forward: Callable[[nn.Module, Any], Any] | None = None
) -> Iterator[None]:
    """``with precise_statistics(model, batches):`` uses the statistics of `recompute_statistics` inside.

    Afterwards the running statistics are back.
    """
    with running_statistics_kept(moving_norms(model)):
        recompute_statistics(model, batches, forward)
        yield


def stateful_norms(model: nn.Module) -> list[nn.Module]:
    """The norms of a model that keep running statistics, normlib's and torch's, each once."""
    return [module for module in model.modules() if _keeps_running_statistics(module)]


def moving_norms(model: nn.Module) -> list[nn.Module]:
    """The stateful norms that are not frozen."""
    return [norm for norm in stateful_norms(model) if not is_frozen(norm, model.training)]


def is_frozen(norm: nn.Module, training: bool) -> bool:
    """Whether training in the model's mode `training` leaves the norm's statistics alone."""
    if isinstance(norm, Norm):
        return not norm.update_running or norm.statistics == "running"
    is_kept_in_eval = isinstance(vars(norm).get("train"), functools.partial)  # by freeze_statistics
    return (training and not norm.training) or is_kept_in_eval


@contextmanager
def running_statistics_kept(norms: Sequence[nn.Module]) -> Iterator[None]:
    """Put every buffer of the norms back to its value afterwards."""
    before = [(buffer, buffer.clone()) for norm in norms for buffer in norm.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in before:
                buffer.copy_(value)


@torch.no_grad()
def measure_population(
    model: nn.Module,
    norms: Sequence[nn.Module],
    batches: Iterable[Any],
    forward: Callable[[nn.Module, Any], Any] | None = None,
) -> Population:
    """The statistics of all values that `norms` see while `batches` flow. The model is left as it was.

    A norm that no batch reached is not in the result. Raises ValueError if there is no batch.
    """
    pools = {norm: Pool(norm) for norm in norms}
    run, came = forward or _run, False
    with ExitStack() as stack:
        stack.enter_context(running_statistics_kept(norms))
        stack.enter_context(_as_in_training(model, norms))
        for norm, pool in pools.items():
            handle = norm.register_forward_pre_hook(_feeding(pool), with_kwargs=True)
            stack.callback(handle.remove)
        for batch in batches:
            run(model, batch)
            came = True
    for pool in pools.values():
        pool.gather()
    if not came and not any(pool.weight for pool in pools.values()):
        raise ValueError("population statistics need batches, but no batch came; give at least one")
    return {norm: pool.buffers() for norm, pool in pools.items() if pool.weight > pool.least}


@torch.no_grad()
def put_population(population: Population) -> None:
    """Write a population's values into the running buffers."""
    for norm, buffers in population.items():
        for name, value in buffers.items():
            norm.get_buffer(name).copy_(value)


@contextmanager
def population_in_place(population: Population) -> Iterator[None]:
    """The population's values are in the running buffers inside, and the old values afterwards."""
    with running_statistics_kept(list(population)):
        put_population(population)
        yield


def _keeps_running_statistics(module: nn.Module) -> bool:
    if isinstance(module, Norm):
        return module.has_running_statistics
    return isinstance(module, _BatchNorm | _InstanceNorm) and module.running_mean is not None


@contextmanager
def _as_in_training(model: nn.Module, norms: Sequence[nn.Module]) -> Iterator[None]:
    """The norms are in training mode, but their running statistics stay. Everything else is in eval mode."""
    modes = [(module, module.training) for module in model.modules()]
    switches = [(norm, norm.statistics, norm.update_running) for norm in norms if isinstance(norm, Norm)]
    model.eval()
    for norm in norms:
        norm.train()
        if isinstance(norm, Norm):
            norm.statistics, norm.update_running = "auto", False
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        for norm, statistics, updates in switches:
            norm.statistics, norm.update_running = statistics, updates


def _feeding(pool: Pool) -> Callable[[nn.Module, Any, Any], None]:
    def feed(norm: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        x = args[0] if args else next(iter(named.values()))
        mask = named.get("mask", args[1] if len(args) > 1 else None)
        if isinstance(norm, _InstanceNorm) and x.dim() == norm._get_no_batch_dim():
            x = x.unsqueeze(0)
        pool.add(x.movedim(-1, 1) if isinstance(norm, Norm) and norm.channel_dim == -1 else x, mask)

    return feed


def _run(model: nn.Module, batch: Any) -> Any:
    x = batch[0] if isinstance(batch, tuple | list) and batch else batch
    if not isinstance(x, Tensor):
        raise ValueError(
            f"a batch is the model's input or a tuple or list that starts with it, but a {type(x).__name__} came; say how the "
            "model takes it with forward=lambda model, batch: ..."
        )
    return model(x)
