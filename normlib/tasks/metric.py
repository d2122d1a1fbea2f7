"""A metric: the name of a figure of a task, its unit, its direction and the smallest step it can move by.

In: a name. Out: facts. This file computes no figure and imports nothing heavy, so that results can be read with it.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Metric:
    """One figure of a task.

    `unit`: "%" is for a figure that is stored as a fraction and shown times 100; its differences are in points. Any
    other unit is shown as it is, "" for a figure without one. `step`: the smallest step that the figure can move by,
    times the number of samples. It is 1 for a share of samples, and 0 for a continuous figure. `title`: the words in
    tables and figures.
    """

    name: str
    unit: str = ""
    higher_is_better: bool = True
    step: float = 0.0
    title: str = ""

    def __post_init__(self) -> None:
        """Raise ValueError for a name that cannot be a column of a table."""
        if not re.fullmatch(r"[A-Za-z]\w*", self.name):
            raise ValueError(f"a metric's name is letters, digits and underscores, got {self.name!r}")
        if not self.title:
            object.__setattr__(self, "title", self.name.replace("_", " "))

    @property
    def percent(self) -> bool:
        """Whether it is stored as a fraction and shown in percent."""
        return self.unit == "%"

    def facts(self) -> dict[str, Any]:
        """The facts as a record holds them."""
        return dataclasses.asdict(self)

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Metric:
        """The metric that `facts` came from."""
        return cls(**facts)


def shown(metric: Metric, value: float | None) -> str:
    """A figure of a single run in words: percentages with two decimals, others with four digits."""
    if value is None:
        return "not finite"
    return f"{100 * value:.2f} %" if metric.percent else f"{value:.4g} {metric.unit}".rstrip()


def column_name(name: str) -> str:
    """The name of a figure as a column: `val/dice` is `val_dice`."""
    plain = re.sub(r"\W+", "_", name).strip("_")
    return plain if plain[:1].isascii() and plain[:1].isalpha() else f"metric_{plain}"


HIGHER_IS_BETTER = (
    "accuracy", "acc", "top1", "top5", "auc", "auroc", "ap", "map", "f1", "dice", "iou", "miou", "jaccard", "precision",
    "recall", "sensitivity", "specificity", "r2", "score", "bleu", "rouge", "psnr", "ssim", "correlation", "reward", "return",
)  # fmt: skip
"""Words in the names of metrics for which higher is better."""
LOWER_IS_BETTER = (
    "loss", "error", "err", "mse", "rmse", "mae", "nll", "perplexity", "ppl", "brier", "ece", "bits", "bpc", "bpb", "wer", "cer",
    "fid", "divergence", "kl", "distance",
)  # fmt: skip
"""Words in the names of metrics for which lower is better. They count first: an error of an accuracy is an error."""


def known_metric(name: str) -> Metric | None:
    """What the words of a name say about a metric, as in `val_dice`, `train/loss` or `R2Score`.

    None if they do not say its direction. The unit stays open, because a table made elsewhere may hold percentages or
    fractions.
    """
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    parts = {part for word in re.split(r"[^a-z0-9]+", words) for part in (word, word.rstrip("0123456789"))}
    for known, higher in ((LOWER_IS_BETTER, False), (HIGHER_IS_BETTER, True)):
        if parts & set(known):
            return Metric(column_name(name), higher_is_better=higher)
    return None
