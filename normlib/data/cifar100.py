"""CIFAR-100, through torchvision."""

from __future__ import annotations

from normlib.data import register
from normlib.data.vision import TorchvisionDataset


@register("cifar100")
class Cifar100(TorchvisionDataset):
    """32x32 colour images in 100 classes (Krizhevsky 2009): 45,000 to train, 5,000 to validate, 10,000 to test (needs ``normlib[vision]``)."""

    torchvision_name = "CIFAR100"
    input_shape = (3, 32, 32)
    num_classes = 100
    sizes = {"train": 45000, "validation": 5000, "test": 10000}
    version = "cifar-100-python"
