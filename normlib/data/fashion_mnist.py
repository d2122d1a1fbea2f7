"""Fashion-MNIST, through torchvision."""

from __future__ import annotations

from normlib.data import register
from normlib.data.vision import TorchvisionDataset


@register("fashion_mnist")
class FashionMnist(TorchvisionDataset):
    """28x28 grey images of clothing (arXiv:1708.07747): 55,000 to train, 5,000 to validate, 10,000 to test (needs ``normlib[vision]``)."""

    torchvision_name = "FashionMNIST"
    input_shape = (1, 28, 28)
    num_classes = 10
    sizes = {"train": 55000, "validation": 5000, "test": 10000}
    version = "fashion-mnist"
