"""The Lightning callbacks on a module of a user's own: precise statistics around validation, freezing, resuming."""

from __future__ import annotations

import copy
import logging
import pickle
import random
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset

import normlib
from normlib.callbacks import FreezeStatistics, PreciseStatistics

NUM_SAMPLES, BATCH = 48, 8


class Noisy(Dataset[Any]):
    """Samples whose augmentation draws from every global random state."""

    def __len__(self) -> int:
        return NUM_SAMPLES

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        noise = torch.rand(4) * 0.1 + random.random() * 0.1 + np.random.rand() * 0.1  # noqa: NPY002 - the state is the point
        return torch.sin(torch.arange(4.0) + index) + noise.float(), index % 3


class UsersModule(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(
            nn.Linear(4, 6, bias=False), normlib.BatchNorm(6), nn.ReLU(), nn.Dropout(0.1),
            nn.Linear(6, 6, bias=False), nn.SyncBatchNorm(6), nn.ReLU(),
            nn.Linear(6, 6, bias=False), normlib.BatchRenorm(6, schedule=None), nn.Linear(6, 3),
        )  # fmt: skip
        self.fed: list[Tensor] = []
        self.at_validation: list[dict[str, Tensor]] = []

    @property
    def norms(self) -> list[Any]:
        return [self.net[1], self.net[5], self.net[8]]

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)

    def training_step(self, batch: Any, number: int) -> Tensor:
        self.fed.append(batch[0])
        return nn.functional.cross_entropy(self(batch[0]), batch[1])

    def validation_step(self, batch: Any, number: int) -> None:
        assert not self.training
        self.at_validation.append(buffers(self))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9)


def buffers(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.named_buffers()}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logger = logging.getLogger("pytorch_lightning")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*does not have many workers.*")  # six batches need none
        warnings.filterwarnings("ignore", ".*smaller than the logging interval.*")  # nothing is logged
        warnings.filterwarnings("ignore", ".*treespec, LeafSpec.*")  # Lightning's use of torch's internals
        warnings.filterwarnings("ignore", ".*in eval mode at the start.*")  # a frozen norm is meant
        warnings.filterwarnings("ignore", ".*your dataloader is not resumable.*")  # nor need its order be the same
        warnings.filterwarnings("ignore", ".*callbacks used to create the checkpoint.*")  # one test leaves it out
        yield
    logger.setLevel(level)


def fit(*callbacks: pl.Callback, module: UsersModule | None = None, epochs: int = 2, **settings: Any) -> UsersModule:
    module = module or UsersModule()
    ckpt_path, loader = settings.pop("ckpt_path", None), settings.pop("loader", None)
    pl.seed_everything(1, verbose=False)
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=epochs, callbacks=list(callbacks), logger=False, enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=False, **settings,
    )  # fmt: skip
    if loader is None:
        loader = DataLoader(Noisy(), BATCH, shuffle=True, drop_last=True)
    trainer.fit(module, loader, DataLoader(Noisy(), NUM_SAMPLES), ckpt_path=ckpt_path)
    return module


def test_precise_statistics_are_there_at_validation_and_training_never_notices() -> None:
    plain, precise = fit(val_check_interval=3), fit(PreciseStatistics(num_batches=4), val_check_interval=3)
    assert len(plain.fed) == len(precise.fed) == 12 and all(map(torch.equal, plain.fed, precise.fed))
    assert same(dict(plain.state_dict()), dict(precise.state_dict()))
    assert len(precise.at_validation) == len(plain.at_validation) == 5  # two in each epoch, and one before the first
    assert same(plain.at_validation[0], precise.at_validation[0]), "the sanity check comes before any training"
    for before, after in zip(plain.at_validation[1:], precise.at_validation[1:]):
        changed = {name for name in before if not torch.equal(before[name], after[name])}
        assert changed == {
            "net.1.running_mean", "net.1.running_var", "net.5.running_mean", "net.5.running_var",
            "net.8.running_mean", "net.8.running_std",
        }  # fmt: skip


def test_precise_statistics_are_those_of_the_training_loader() -> None:
    loader = DataLoader(Noisy(), BATCH)  # in order: the first three batches are the first samples
    seen: list[Tensor] = []

    def forward(module: nn.Module, batch: Any) -> None:
        seen.append(batch[0])
        module(batch[0])

    module = fit(PreciseStatistics(3, forward=forward), module=UsersModule(), epochs=1, loader=loader)
    values = torch.cat(seen).double() @ module.net[0].weight.double().T
    assert len(values) == 3 * BATCH
    found = module.at_validation[-1]
    torch.testing.assert_close(
        found["net.1.running_mean"].double(), values.mean(0), rtol=1e-5, atol=1e-6
    )  # a float32 layer
    torch.testing.assert_close(found["net.1.running_var"].double(), values.var(0), rtol=1e-5, atol=1e-6)


def test_kept_statistics_stay_after_validation_and_at_the_end() -> None:
    plain, kept, at_end = (
        fit(*callbacks, epochs=1)
        for callbacks in ([], [PreciseStatistics(put_back=False)], [PreciseStatistics(when="end")])
    )
    for module in (kept, at_end):
        assert all(map(torch.equal, plain.parameters(), module.parameters()))
        assert not any(
            torch.equal(one.running_mean, other.running_mean) for one, other in zip(plain.norms, module.norms)
        )
        assert all(norm.training for norm in module.norms), "the modes come back"
    assert same(kept.at_validation[-1], buffers(kept))
    assert same(plain.at_validation[-1], at_end.at_validation[-1])


def test_statistics_come_back_when_validation_fails() -> None:
    class Failing(UsersModule):
        def validation_step(self, batch: Any, number: int) -> None:
            self.at_validation.append(buffers(self))
            if len(self.at_validation) > 1:
                raise RuntimeError("planted")

    plain, failing = fit(epochs=1), Failing()
    with pytest.raises(RuntimeError, match="planted"):
        fit(PreciseStatistics(), module=failing, epochs=1)
    assert same(buffers(plain), buffers(failing)) and not same(failing.at_validation[-1], buffers(failing))


def test_a_loader_keeps_its_generator_and_its_persistent_workers() -> None:
    def loader() -> Any:
        return DataLoader(
            Noisy(),
            BATCH,
            shuffle=True,
            generator=torch.Generator().manual_seed(5),
            num_workers=1,
            persistent_workers=True,
        )

    settings: dict[str, Any] = {"epochs": 2, "val_check_interval": 3}
    plain, precise = fit(loader=loader(), **settings), fit(PreciseStatistics(2), loader=loader(), **settings)
    assert len(precise.fed) == 12 and all(map(torch.equal, plain.fed, precise.fed))


class Watch(pl.Callback):
    """The norms' state, and whether their scales train, after every batch."""

    def __init__(self) -> None:
        self.states: list[list[Tensor]] = []
        self.trained: list[list[bool]] = []

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *batch: Any) -> None:
        self.states.append([norm.running_mean.clone() for norm in pl_module.norms])
        self.trained.append([norm.weight.requires_grad for norm in pl_module.norms])

    def moved(self, norm: int) -> list[bool]:
        return [not torch.equal(one[norm], other[norm]) for one, other in zip(self.states, self.states[1:])]


@pytest.mark.parametrize("affine", [False, True])
def test_statistics_freeze_after_a_share_of_the_run(affine: bool) -> None:
    watch = Watch()
    module = fit(FreezeStatistics(after=0.5, affine=affine), watch, epochs=2)  # 12 steps
    for norm in range(3):
        assert watch.moved(norm) == [True] * 5 + [False] * 6, f"norm {norm}: six steps move, six do not"
    assert watch.trained == [[True] * 3] * 6 + [[not affine] * 3] * 6
    frozen = buffers(module)
    module.train()
    for norm in (module.norms[0], module.norms[2]):
        norm(torch.randn(8, 6, generator=torch.Generator().manual_seed(0)))
    assert same(frozen, buffers(module)), "normlib's norms stay frozen after train()"


class TwoOptimizers(UsersModule):
    """Steps twice on each batch, as adversarial training does."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch: Any, number: int) -> None:
        for optimizer in self.optimizers():
            optimizer.zero_grad()
            self.manual_backward(super().training_step(batch, number))
            optimizer.step()

    def configure_optimizers(self) -> Any:
        return [torch.optim.SGD(part.parameters(), lr=0.01) for part in (self.net[:4], self.net[4:])]


@pytest.mark.parametrize(
    ("module", "settings", "batches"),
    [
        (UsersModule, {}, 12),
        (UsersModule, {"accumulate_grad_batches": 3}, 12),
        (UsersModule, {"max_steps": 8}, 8),
        (UsersModule, {"max_steps": 4, "accumulate_grad_batches": 2}, 8),
        (UsersModule, {"max_steps": 100}, 12),
        (TwoOptimizers, {}, 12),
        (TwoOptimizers, {"max_steps": 16}, 8),  # of its two optimizers together
    ],
)
def test_half_of_the_run_is_half_of_its_batches(module: type[UsersModule], settings: Any, batches: int) -> None:
    watch = Watch()
    fit(FreezeStatistics(after=0.5), watch, module=module(), epochs=2, **settings)
    assert len(watch.states) == batches
    for norm in range(3):
        assert watch.moved(norm) == [True] * (batches // 2 - 1) + [False] * (batches // 2), f"norm {norm}"


@pytest.mark.parametrize("affine", [False, True])
def test_statistics_freeze_in_a_loop_of_ones_own(affine: bool) -> None:
    module = UsersModule()
    module.net[5] = nn.BatchNorm1d(6)
    for norm in module.norms:
        norm.running_mean.fill_(0.5)
    assert normlib.freeze_statistics(module, affine=affine) == module.norms
    for model in (module, copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        model.train()
        before = buffers(model)
        model.net(torch.randn(8, 4)).sum().backward()
        assert same(before, buffers(model)) and not model.net[5].training
        assert [norm.weight.requires_grad for norm in model.norms] == [not affine] * 3
        assert [norm.weight.grad is None for norm in model.norms] == [affine] * 3
    converted = normlib.convert(module, "batch")
    before = buffers(converted)
    converted.train().net(torch.randn(8, 4))
    assert same(before, buffers(converted)), "converted norms stay frozen"
    with pytest.raises(ValueError, match="Linear has no norm with running statistics"):
        normlib.freeze_statistics(nn.Linear(3, 4))


def test_thawing_a_norm_of_torch() -> None:
    norm = nn.BatchNorm1d(4)
    normlib.freeze_statistics(norm)
    normlib.freeze_statistics(norm)  # twice is once
    assert not norm.train().training
    del norm.train
    assert norm.train().training


def test_a_frozen_norm_normalizes_in_training_with_what_it_has() -> None:
    module, pairs = UsersModule(), []
    for norm in module.norms:
        norm.register_forward_hook(lambda norm, args, y: pairs.append((args[0], y)) if module.training else None)
    fit(FreezeStatistics(after=0.0, affine=True), module=module, epochs=1)
    assert len(pairs) == 3 * 6
    for x, y in pairs:  # mean 0 and variance 1 are what a new norm has; eps is what remains
        torch.testing.assert_close(y, x, rtol=1e-5, atol=1e-6)


def test_a_resumed_run_stays_frozen(tmp_path: Path) -> None:
    class Save(pl.Callback):
        def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *batch: Any) -> None:
            if trainer.global_step == 9:
                trainer.save_checkpoint(tmp_path / "nine.ckpt")

    fit(FreezeStatistics(after=0.5), Save(), epochs=2)
    saved = torch.load(tmp_path / "nine.ckpt", weights_only=False)["state_dict"]
    # As it was; in a longer run, of which 9 steps are not the half; a callback that the checkpoint knows nothing of.
    for after, epochs in ((0.5, 2), (0.5, 4), (0.75, 2)):
        watch, freeze = Watch(), FreezeStatistics(after=after)
        module = fit(freeze, watch, epochs=epochs, ckpt_path=tmp_path / "nine.ckpt")
        assert freeze.frozen and len(watch.states) == 6 * epochs - 9
        for name, value in module.state_dict().items():
            assert "running" not in name or torch.equal(value, saved[name])


def test_frozen_norms_keep_theirs_when_others_are_recomputed() -> None:
    module = fit(FreezeStatistics(after=0.5), PreciseStatistics(), epochs=2)
    first, second = module.at_validation[1:]
    assert not same(first, second)
    assert same(
        {n: v for n, v in second.items() if "running" in n},
        {n: v for n, v in buffers(module).items() if "running" in n},
    )
    module = UsersModule()
    module.norms[1].register_forward_pre_hook(
        lambda norm, args: norm.eval() and None
    )  # as a backbone that a user holds frozen
    fit(PreciseStatistics(), module=module, epochs=1)
    assert torch.equal(module.at_validation[-1]["net.5.running_var"], torch.ones(6))
    assert not torch.equal(module.at_validation[-1]["net.1.running_var"], module.norms[0].running_var)


class Endless(IterableDataset[Any]):
    def __iter__(self) -> Iterator[Any]:
        return iter((torch.sin(torch.arange(4.0) + i), i % 3) for i in range(10**6))


def test_wrong_uses_say_rule_and_fix() -> None:
    for wrong, message in (
        (lambda: PreciseStatistics(0), "at least one batch, got num_batches=0"),
        (lambda: PreciseStatistics(when="never"), "got 'never'"),  # type: ignore[arg-type]
        (lambda: FreezeStatistics(1.0), r"from 0 to below 1, got 1\.0"),
    ):
        with pytest.raises(ValueError, match=message):
            wrong()
    with pytest.raises(ValueError, match="give the Trainer max_steps"):
        fit(FreezeStatistics(0.5), epochs=1, loader=DataLoader(Endless(), BATCH))

    class Without(UsersModule):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.Sequential(nn.Linear(4, 3))

    for callback in (PreciseStatistics(), FreezeStatistics(0.5)):
        with pytest.raises(ValueError, match="Without has none; leave the callback out"):
            fit(callback, module=Without(), epochs=1)
