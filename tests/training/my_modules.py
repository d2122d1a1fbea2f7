"""LightningModules as users write them, each in the way that one test is about. The file is loaded by its path."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset, TensorDataset


def lines(count: int, seed: int) -> TensorDataset:
    """Points and whether they lie above a line."""
    points = torch.randn(count, 6, generator=torch.Generator().manual_seed(seed))
    return TensorDataset(points, (points.sum(1) > 0).float())


class Points(pl.LightningDataModule):
    def __init__(self, batch_size: int = 8, workers: int = 0) -> None:
        super().__init__()
        self.batch_size, self.workers = batch_size, workers

    def train_dataloader(self) -> Any:
        return DataLoader(lines(32, 0), self.batch_size, shuffle=True, num_workers=self.workers)

    def val_dataloader(self) -> Any:
        return DataLoader(lines(24, 1), 8)

    def test_dataloader(self) -> Any:
        return DataLoader(lines(40, 2), 8)


class Plain(pl.LightningModule):
    """Norms of torch's own, dropout, an initialization of its own."""

    def __init__(self, width: int = 4, lr: float = 0.01) -> None:
        super().__init__()
        self.lr = lr
        self.net = nn.Sequential(
            nn.Linear(6, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.3), nn.Linear(width, 1)
        )
        nn.init.orthogonal_(self.net[0].weight)

    def loss(self, batch: Any, name: str) -> Tensor:
        logits = self.net(batch[0]).squeeze(1)
        self.log(f"{name}/accuracy", ((logits > 0) == batch[1]).float().mean())
        return F.binary_cross_entropy_with_logits(logits, batch[1])

    def training_step(self, batch: Any, number: int) -> Tensor:
        return self.loss(batch, "train")

    def validation_step(self, batch: Any, number: int) -> None:
        self.log("val_loss", self.loss(batch, "val"))

    def test_step(self, batch: Any, number: int) -> None:
        self.log("test_loss", self.loss(batch, "test"))

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), self.lr, momentum=0.9)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)]


class WithFactory(Plain):
    """Its norms are made by a factory."""

    def __init__(self, norm_layer: Any = nn.BatchNorm1d, width: int = 4) -> None:
        super().__init__(width)
        self.net[1] = norm_layer(width, eps=1e-3)


class Loaded(Plain):
    """Brings its own data, two training loaders at once, and takes the batch size itself."""

    def __init__(self, batch_size: int = 4) -> None:
        super().__init__()
        self.batch_size = batch_size

    def train_dataloader(self) -> Any:
        return {name: DataLoader(lines(16, seed), self.batch_size, shuffle=True) for name, seed in (("a", 0), ("b", 3))}

    def val_dataloader(self) -> Any:
        return [DataLoader(lines(8, 1), 4), DataLoader(lines(8, 2), 4)]

    def training_step(self, batch: Any, number: int) -> Tensor:
        return self.loss(batch["a"], "train") + self.loss(batch["b"], "train_b")

    def validation_step(self, batch: Any, number: int, dataloader_idx: int = 0) -> None:
        self.log("val_loss", self.loss(batch, "val"))

    test_step = pl.LightningModule.test_step


class Gan(pl.LightningModule):
    """Two optimizers, stepped by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.generator = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 6))
        self.critic = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1))

    def training_step(self, batch: Any, number: int) -> None:
        real, (of_generator, of_critic) = batch[0], self.optimizers()  # type: ignore[misc]
        fake = self.generator(torch.randn(len(real), 2))
        loss = self.critic(fake.detach()).mean() - self.critic(real).mean()
        of_critic.zero_grad()
        self.manual_backward(loss)
        of_critic.step()
        of_generator.zero_grad()
        self.manual_backward(-self.critic(fake).mean())
        of_generator.step()
        self.log("critic_loss", loss)

    def validation_step(self, batch: Any, number: int) -> None:
        source = torch.Generator().manual_seed(0)
        self.log("distance", (self.generator(torch.randn(len(batch[0]), 2, generator=source)) - batch[0]).abs().mean())

    def configure_optimizers(self) -> Any:
        return [torch.optim.Adam(part.parameters(), 1e-2) for part in (self.generator, self.critic)]


class Explodes(Plain):
    def training_step(self, batch: Any, number: int) -> Tensor:
        return self.loss(batch, "train") * (float("nan") if self.global_step == 2 else 1)


class Draws(Plain):
    """An augmentation that draws from torch's global state, in the process that trains."""

    def train_dataloader(self) -> Any:
        def noisy(batch: Any) -> Any:
            points, above = torch.utils.data.default_collate(batch)
            return points + torch.randn_like(points), above

        return DataLoader(lines(16, 0), 4, shuffle=True, collate_fn=noisy)

    def val_dataloader(self) -> Any:
        return DataLoader(lines(8, 1), 4)

    test_step = pl.LightningModule.test_step


class Silent(Plain):
    def loss(self, batch: Any, name: str) -> Tensor:
        return F.binary_cross_entropy_with_logits(self.net(batch[0]).squeeze(1), batch[1])

    validation_step = test_step = pl.LightningModule.validation_step


class NoNorm(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.net[1] = nn.Identity()


class Breaks(Plain):
    def training_step(self, batch: Any, number: int) -> Tensor:
        raise RuntimeError("a fault of mine")


def not_a_class() -> Plain:
    return Plain()


class Streams(IterableDataset[Any]):
    def __iter__(self) -> Any:
        return iter(lines(8, 0))
