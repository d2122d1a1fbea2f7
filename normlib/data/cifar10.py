"""CIFAR-10, through torchvision."""

from __future__ import annotations

from normlib.data import register
from normlib.data.vision import TorchvisionDataset


@register("cifar10")
class Cifar10(TorchvisionDataset):
    """32x32 colour images in 10 classes (Krizhevsky 2009): 45,000 to train, 5,000 to validate, 10,000 to test (needs ``normlib[vision]``)."""

    torchvision_name = "CIFAR10"
    input_shape = (3, 32, 32)
    num_classes = 10
    sizes = {"train": 45000, "validation": 5000, "test": 10000}
    version = "cifar-10-python"
