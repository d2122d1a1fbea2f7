"""Small data for the tests of networks: texts with their next tokens, texts with classes, images with a class at each pixel."""

from __future__ import annotations

from pathlib import Path

import torch

from normlib.data.dataset import Dataset, Samples

LENGTH, VOCABULARY, CLASSES = 6, 11, 3
SIZES = {"train": 16, "validation": 8, "test": 8}


class FewTexts(Dataset):
    """Texts in which each token is followed by the next number."""

    input_shape, sizes, version = (LENGTH,), SIZES, "texts-1"
    task, vocabulary, characters_per_token = "language_modeling", VOCABULARY, 1.0

    def load(self, data_dir: Path) -> dict[str, Samples]:
        starts = torch.arange(sum(SIZES.values())).unsqueeze(1)
        ids = (starts + torch.arange(LENGTH + 1)) % VOCABULARY
        return {"all": Samples(ids[:, :-1].contiguous(), ids[:, 1:].contiguous())}


class FewLabelledTexts(FewTexts):
    """The same texts, each with a class: that of its first token."""

    task, num_classes = "classification", CLASSES

    def load(self, data_dir: Path) -> dict[str, Samples]:
        inputs = super().load(data_dir)["all"].inputs
        return {"all": Samples(inputs, inputs[:, 0] % CLASSES)}


class FewMasks(Dataset):
    """Images with a class at each pixel: which third of the values it lies in."""

    input_shape, sizes, version = (1, 8, 8), SIZES, "masks-1"
    task, num_classes = "segmentation", CLASSES

    def load(self, data_dir: Path) -> dict[str, Samples]:
        inputs = torch.rand(sum(SIZES.values()), 1, 8, 8, generator=torch.Generator().manual_seed(0))
        return {"all": Samples(inputs, (inputs[:, 0] * CLASSES).long())}


FEW = {"few_texts": FewTexts, "few_labelled_texts": FewLabelledTexts, "few_masks": FewMasks}


def error_rate_after_training(network: torch.nn.Module, samples: Samples, classes_dim: int, steps: int) -> float:
    """The share of wrong outputs after `steps` steps of Adam on all samples, with the classes in dimension `classes_dim`."""
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(steps):
        outputs = network(samples.inputs).movedim(classes_dim, 1)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(outputs, samples.targets).backward()
        optimizer.step()
    return float((outputs.argmax(1) != samples.targets).double().mean())
