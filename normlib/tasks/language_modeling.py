"""Language modeling: the next token at each position of each sequence."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from normlib.tasks import register
from normlib.tasks.metric import Metric
from normlib.tasks.task import LOSS, Task, check_class_numbers, declared, require, shape_of

if TYPE_CHECKING:
    from normlib.data.dataset import Dataset, Samples

BITS = "bits_per_character"


@register("language_modeling")
class LanguageModeling(Task):
    """The next token of a `vocabulary`: inputs and targets int64 (n, T), outputs (N, T, vocabulary) as logits.

    The loss is cross-entropy in nats a token. Perplexity is its exponential. Bits per character are the same loss in
    another unit, for data that say how many characters a token stands for.
    """

    metrics = (
        Metric(BITS, "bits", higher_is_better=False),
        Metric("perplexity", higher_is_better=False),
        Metric(LOSS, "nats", higher_is_better=False, title="cross-entropy a token"),
    )

    def __init__(self) -> None:
        self.characters_per_token: float | None = None

    def metrics_on(self, dataset: Dataset) -> tuple[Metric, ...]:
        self.characters_per_token = dataset.characters_per_token
        return self.metrics if dataset.characters_per_token is not None else self.metrics[1:]

    def num_outputs(self, dataset: Dataset) -> int:
        return declared(dataset.vocabulary, "vocabulary", dataset, "language_modeling", least=2)

    def output_shape(self, dataset: Dataset) -> tuple[int, ...]:
        return (*dataset.input_shape, self.num_outputs(dataset))

    def check_samples(self, samples: Samples, dataset: Dataset, split: str) -> None:
        targets, where = samples.targets, f"task=language_modeling, {split} of {type(dataset).__name__}"
        require(
            targets.shape == samples.inputs.shape,
            f"{where}: targets are the next token of each input, {shape_of(samples.inputs)}, got {shape_of(targets)}",
        )
        check_class_numbers(targets, self.num_outputs(dataset), where)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs.flatten(0, -2), targets.flatten())

    def sums(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        logits = outputs.float().flatten(0, -2)
        return {
            "samples": torch.tensor(len(targets), device=targets.device),
            "tokens": torch.tensor(targets.numel(), device=targets.device),
            "loss": F.cross_entropy(logits, targets.flatten(), reduction="sum").double(),
        }

    def figures(self, sums: Mapping[str, Tensor]) -> dict[str, float]:
        nats = float(sums["loss"] / sums["tokens"])
        found = {"perplexity": math.exp(nats) if nats < math.log(1e300) else math.inf, LOSS: nats}
        if self.characters_per_token is not None:
            found[BITS] = nats / self.characters_per_token / math.log(2)
        return found
