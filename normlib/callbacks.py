"""Lightning callbacks for every norm with running statistics, normlib's and torch's, in any LightningModule.

In: a Trainer's run. They change only the running statistics and whether these move. Weights, gradients, the order of
the training data and the global random states stay as they are.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from pytorch_lightning.utilities.combined_loader import CombinedLoader
from pytorch_lightning.utilities.seed import isolate_rng
from torch import nn

from normlib.conversion.freeze import freeze_norms
from normlib.norms.population import (
    Population,
    is_frozen,
    measure_population,
    population_in_place,
    put_population,
    stateful_norms,
)

__all__ = ["FreezeStatistics", "PreciseStatistics"]


class PreciseStatistics(pl.Callback):
    """Replaces running statistics by population statistics from `num_batches` batches of the training loader.

    This is called "precise batch norm". `when="validation"`: before every validation of a fit. With `put_back`, the
    running ones return after it, and training continues as if nothing had happened. `when="end"`: once, at the end of
    the fit, and they stay. Checkpoints saved during the fit hold the running ones. They are computed as by
    `normlib.recompute_statistics`, in a process group from the batches of all processes. Frozen norms, which did not
    move in the last training batch, keep their own.

    The loader gives its batches as always, with augmentation. A batch is the module's input, or a tuple or list that
    starts with it. ``forward(pl_module, batch)`` runs any other.
    """

    def __init__(
        self,
        num_batches: int = 200,
        when: Literal["validation", "end"] = "validation",
        put_back: bool = True,
        forward: Callable[[nn.Module, Any], Any] | None = None,
    ) -> None:
        if num_batches < 1:
            raise ValueError(f"population statistics need at least one batch, got num_batches={num_batches}")
        if when not in ("validation", "end"):
            raise ValueError(f'when is "validation" or "end", got {when!r}')
        self.num_batches, self.when, self.put_back, self.forward = num_batches, when, put_back, forward
        self._moving: list[nn.Module] = []
        self._inside = ExitStack()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._norms = _required_norms(pl_module, type(self).__name__)

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *batch: Any) -> None:
        self._moving = [norm for norm in self._norms if not is_frozen(norm, training=True)]

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.when == "validation" and self._moving and trainer.state.fn == "fit" and not trainer.sanity_checking:
            population = self._population(trainer, pl_module)
            if self.put_back:
                self._inside.enter_context(population_in_place(population))
            else:
                put_population(population)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._inside.close()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._inside.close()

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.when == "end" and self._moving:
            put_population(self._population(trainer, pl_module))

    def _population(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> Population:
        with _training_batches(trainer, self.num_batches) as batches, trainer.precision_plugin.forward_context():
            return measure_population(pl_module, self._moving, batches, self.forward)


class FreezeStatistics(pl.Callback):
    """From the share `after` of the run on, running statistics normalize and no longer move.

    The run is counted in batches, however many optimizers step on each. ``max_epochs`` epochs have as many batches as
    their loaders give. If ``max_steps`` ends the run first, the share is of these steps. `affine`: the norms' scales
    and shifts are no longer trained either (with DDP that needs `find_unused_parameters=True`). Norms are frozen as by
    `normlib.freeze_statistics`, which is for your own training loops. They stay frozen after ``train()`` and in a run
    resumed from a checkpoint.
    """

    def __init__(self, after: float, affine: bool = False) -> None:
        if not 0 <= after < 1:
            raise ValueError(f"after is a share of the run, from 0 to below 1, got {after}")
        self.after, self.affine, self.frozen = after, affine, False

    @property
    def state_key(self) -> str:
        return self._generate_state_key(after=self.after, affine=self.affine)

    def state_dict(self) -> dict[str, Any]:
        return {"frozen": self.frozen}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.frozen = state_dict["frozen"]

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._norms = _required_norms(pl_module, type(self).__name__)
        if _share_done(trainer, 0) is None:
            raise ValueError(
                f"FreezeStatistics(after={self.after}) counts a share of the run, but this run's length is not known; give the "
                "Trainer max_steps, or max_epochs and a training set with a length"
            )

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        share = _share_done(trainer, batch_idx)
        self.frozen = self.frozen or (share is not None and share >= self.after)
        if self.frozen:
            freeze_norms(self._norms, self.affine)


def _share_done(trainer: pl.Trainer, batch_idx: int) -> float | None:
    """The share of the run that is done, by the limit that will be reached first. None if nothing limits the run."""
    shares = []
    epochs, batches = trainer.max_epochs, trainer.num_training_batches
    if epochs is not None and epochs > 0 and 0 < batches < float("inf"):
        shares.append((trainer.current_epoch * batches + batch_idx) / (epochs * batches))
    if trainer.max_steps > 0:
        shares.append(trainer.global_step / trainer.max_steps)
    return max(shares, default=None)


def _required_norms(pl_module: pl.LightningModule, who: str) -> list[nn.Module]:
    norms = stateful_norms(pl_module)
    if not norms:
        raise ValueError(
            f"{who} works on norms with running statistics, but {type(pl_module).__name__} has none; leave the callback out"
        )
    return norms


@contextmanager
def _training_batches(trainer: pl.Trainer, num_batches: int) -> Iterator[Iterator[Any]]:
    """The first batches of a separate pass over the training loader, on the device. It moves no random state."""
    combined = CombinedLoader(trainer.train_dataloader, trainer.fit_loop._combined_loader._mode)  # type: ignore[union-attr]
    combined.flattened = [_pass_of_its_own(loader) for loader in combined.flattened]
    generators = _generators(combined.flattened)
    states = [generator.get_state() for generator in generators]

    def on_device() -> Iterator[Any]:
        for batch, _, number in itertools.islice(combined, num_batches):
            converted = trainer.precision_plugin.convert_input(batch)
            yield trainer.strategy.batch_to_device(converted, dataloader_idx=number)

    with isolate_rng():
        yield on_device()
    for generator, state in zip(generators, states, strict=True):
        generator.set_state(state)


def _pass_of_its_own(loader: Any) -> Any:
    """`loader`, or a copy with other worker processes if its own persist and are busy with the present epoch."""
    if not getattr(loader, "persistent_workers", False):
        return loader
    other = copy.copy(loader)
    other._iterator = None
    return other


def _generators(loaders: Sequence[Any]) -> list[torch.Generator]:
    samplers = [getattr(loader, "sampler", None) for loader in loaders]
    samplers += [getattr(getattr(loader, "batch_sampler", None), "sampler", None) for loader in loaders]
    found = [getattr(holder, "generator", None) for holder in (*loaders, *samplers)]
    return list({id(generator): generator for generator in found if isinstance(generator, torch.Generator)}.values())
