"""A U-Net-like network on generated discs, as a user would write it. It knows nothing of normlib."""

import pytorch_lightning as pl
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset


def discs(count: int, seed: int):
    source = torch.Generator().manual_seed(seed)
    centre = torch.rand(count, 2, 1, 1, generator=source) * 16 + 8
    radius = torch.rand(count, 1, 1, generator=source) * 6 + 3
    rows, columns = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    mask = ((rows - centre[:, 0]) ** 2 + (columns - centre[:, 1]) ** 2 < radius**2).float()
    images = mask * torch.rand(count, 1, 1, generator=source) + 0.7 * torch.randn(count, 32, 32, generator=source)
    return TensorDataset(images.unsqueeze(1), mask.unsqueeze(1))


class Discs(pl.LightningDataModule):
    def __init__(self, batch_size: int = 4, samples: int = 96):
        super().__init__()
        self.batch_size, self.samples = batch_size, samples

    def train_dataloader(self):
        return DataLoader(discs(self.samples, 0), self.batch_size, shuffle=True)

    def val_dataloader(self):
        return DataLoader(discs(64, 1), 16)


def block(inputs: int, outputs: int):
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(), nn.Dropout2d(0.1)
    )


class LitSeg(pl.LightningModule):
    def __init__(self, width: int = 8, lr: float = 3e-3):
        super().__init__()
        self.save_hyperparameters()
        self.down, self.middle, self.up = block(1, width), block(width, 2 * width), block(3 * width, width)
        self.head = nn.Conv2d(width, 1, 1)

    def forward(self, x):
        skip = self.down(x)
        low = F.interpolate(self.middle(F.max_pool2d(skip, 2)), scale_factor=2)
        return self.head(self.up(torch.cat([skip, low], 1)))

    def training_step(self, batch, _):
        loss = F.binary_cross_entropy_with_logits(self(batch[0]), batch[1])
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, _):
        found = self(batch[0]) > 0
        self.log("val_dice", 2 * (found * batch[1]).sum() / (found.sum() + batch[1].sum()).clamp(min=1))

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters(), self.hparams.lr)
        steps = self.trainer.estimated_stepping_batches
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3 * self.hparams.lr, total_steps=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
