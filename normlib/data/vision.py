"""The base of the datasets from torchvision: loading with checksums, and clear errors without the extra or a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from normlib.data.dataset import DataError, Dataset, Samples


class TorchvisionDataset(Dataset):
    """A dataset of torchvision with its own test set. Validation is a stratified part of its training set."""

    torchvision_name: str
    num_classes = 10
    fixed = True

    def prepare(self, data_dir: Path) -> None:
        for train in (True, False):
            self._open(data_dir, train)

    def load(self, data_dir: Path) -> dict[str, Samples]:
        return {split: self._samples(self._open(data_dir, split == "train")) for split in ("train", "test")}

    def _open(self, data_dir: Path, train: bool) -> Any:
        """The dataset from `data_dir`. torchvision downloads and verifies it if it is not there."""
        try:
            from torchvision import datasets
        except ImportError as error:
            raise DataError(
                f"{self.torchvision_name} comes through torchvision, which does not import ({error}): "
                "pip install 'normlib[vision]'"
            ) from error
        make = getattr(datasets, self.torchvision_name)
        root = str(data_dir.expanduser())
        try:
            return make(root, train=train, download=False)
        except Exception:  # missing files and wrong checksums are RuntimeError; cut or garbled files raise anything
            pass
        try:
            return make(root, train=train, download=True)
        except Exception as error:
            raise DataError(
                f"{self.torchvision_name} is not complete in {root} and could not be downloaded ({type(error).__name__}: "
                f"{' '.join(str(error).split())}): connect to the network, or delete damaged files there, or put torchvision's files there by "
                "hand, or name their folder with data_dir=..."
            ) from error

    def _samples(self, dataset: Any) -> Samples:
        inputs = torch.as_tensor(dataset.data)
        if inputs.dim() == 3:
            inputs = inputs.unsqueeze(1)  # (n, 28, 28) -> (n, 1, 28, 28)
        else:
            inputs = inputs.permute(0, 3, 1, 2).contiguous()  # (n, 32, 32, 3) -> (n, 3, 32, 32)
        return Samples(inputs.float(), torch.as_tensor(dataset.targets).long())
