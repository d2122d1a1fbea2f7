"""The 8x8 handwritten digits that come with scikit-learn: 1,797 images, embedded, no download."""

from __future__ import annotations

from pathlib import Path

import torch

from normlib.data import register
from normlib.data.dataset import Dataset, Samples


@register("digits")
class Digits(Dataset):
    """8x8 grey digits (scikit-learn's copy of the UCI test set): 1,297 to train, 200 to validate, 300 to test."""

    input_shape = (1, 8, 8)
    num_classes = 10
    sizes = {"train": 1297, "validation": 200, "test": 300}
    version = "uci-digits-1797"
    fixed = True

    def load(self, data_dir: Path) -> dict[str, Samples]:
        from sklearn.datasets import load_digits

        digits = load_digits()
        images = torch.from_numpy(digits.images).float().unsqueeze(1)  # (1797, 1, 8, 8)
        return {"all": Samples(images, torch.from_numpy(digits.target).long())}
