"""The diabetes data that come with scikit-learn: 442 patients, embedded, no download."""

from __future__ import annotations

from pathlib import Path

import torch

from normlib.data import register
from normlib.data.dataset import Dataset, Samples


@register("diabetes")
class Diabetes(Dataset):
    """Progression of diabetes after a year, a real number, from 10 measurements (Efron et al. 2004): 292 patients to train, 50 to validate, 100 to test."""

    input_shape = (10,)
    task = "regression"
    num_targets = 1
    sizes = {"train": 292, "validation": 50, "test": 100}
    version = "efron-2004-442"
    fixed = True

    def load(self, data_dir: Path) -> dict[str, Samples]:
        from sklearn.datasets import load_diabetes

        inputs, targets = load_diabetes(return_X_y=True, scaled=False)
        return {"all": Samples(torch.from_numpy(inputs).float(), torch.from_numpy(targets).float().unsqueeze(1))}
