"""The settings of a run, as typed dataclasses: what Hydra checks, what the run's id is a hash of.

A spec is the resolved configuration without what cannot change the numbers (paths, loggers, number of workers).
This file never imports torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

CHOICES: Mapping[str, tuple[str, ...]] = {
    "site.activation": ("relu", "sigmoid", "tanh", "gelu"),
    "site.placement": ("before", "after"),
    "init.scheme": ("he", "torch"),
    "optimizer.lr_rule": ("linear", "sqrt", "constant"),
    "training.precision": ("32", "bf16-mixed"),
    "evaluation.statistics": ("running", "precise", "batch", "weighed"),
}
SECTIONS = ("norm", "model", "data", "task", "site", "init", "optimizer", "schedule", "training", "evaluation")
USER_SECTIONS = ("module", "datamodule", "trainer", "function", "condition")
"""What a spec has in the place of most sections where a LightningModule or a function of the user's own is compared."""
SCALARS = ("seed", "accelerator", "threads")


@dataclass
class NormSettings:
    """What every norm has beside its own settings.

    `gamma_noise`: the size of noise from a stream of its own that is added to the scales (gamma) before the first step, or,
    where a norm has none, to its shifts. The same method from the same trunk then takes another trajectory.
    `weights`: a method on weights, by its name, that the layer ahead of every site gets beside the norm, e.g.
    weight_standardization with group. `frozen`: what is held still from the start, "statistics" (the running ones then normalize,
    in training too), "affine" (scales and shifts) or "all". `fit_on_batches`: over so many training batches, without their
    targets, scales and shifts are fitted to what the norms of pretrained weights gave.
    """

    gamma_noise: float = 0.0
    weights: str | None = None
    frozen: str | None = None
    fit_on_batches: int = 0


@dataclass
class ModelSettings:
    """What every model has beside its own settings.

    `weights`: what the network starts from, DEFAULT for the weights that the model's library has, or the path of a .safetensors
    or .pt file. The trunk is filled from it, the same for every arm, but for a last layer of other outputs. Norms that mean the
    same there go on with their own scales, shifts and statistics.
    """

    weights: str | None = None


@dataclass
class SiteSettings:
    """Every site of the network: where the norm stands and over which batch it takes statistics.

    `norm_batch_size`: samples over which a batch-dependent norm takes statistics; None is the whole batch.
    `horizon`: samples that running averages look back over; None leaves each norm's own momentum, and a number n sets
    momentum to batch_size / n (at most 1) wherever there are running averages.
    """

    activation: str = "relu"
    placement: str = "before"
    dropout: float = 0.0
    norm_batch_size: int | None = None
    horizon: int | None = None


@dataclass
class InitSettings:
    """How the trunk is filled: "he" (normal, variance gain^2/fan_in) or "torch" (torch.nn's defaults), times `scale`."""

    scheme: str = "he"
    scale: float = 1.0


@dataclass
class SGDSettings:
    """SGD with momentum. The learning rate is `lr` at batch size 32, scaled to other batch sizes by `lr_rule`.

    `decay_norm`: whether weight decay also acts on the norms' parameters.
    """

    name: str = "sgd"
    lr: float = 0.1
    lr_rule: str = "linear"
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 0.0
    decay_norm: bool = False


@dataclass
class AdamWSettings:
    """AdamW (arXiv:1711.05101). The learning rate is `lr` at batch size 32, scaled to other batch sizes by `lr_rule`."""

    name: str = "adamw"
    lr: float = 1e-3
    lr_rule: str = "sqrt"
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 1e-2
    decay_norm: bool = False


@dataclass
class ConstantSettings:
    """The same learning rate from the first step to the last."""

    name: str = "constant"


@dataclass
class CosineSettings:
    """Half a cosine down to zero (arXiv:1608.03983), after a linear warm-up over `warmup`, a share of the run."""

    name: str = "cosine"
    warmup: float = 0.0


@dataclass
class OneCycleSettings:
    """Up along a cosine over `warmup`, a share of the run, and down to almost zero (arXiv:1708.07120, torch's OneCycleLR)."""

    name: str = "one_cycle"
    warmup: float = 0.3


OPTIMIZERS = {"sgd": SGDSettings, "adamw": AdamWSettings}
SCHEDULES = {"constant": ConstantSettings, "cosine": CosineSettings, "one_cycle": OneCycleSettings}


@dataclass
class TrainingSettings:
    """The budget: `epochs`, or `steps` (optimizer steps), which takes the place of epochs when it is given.

    `gradient_clip`: the largest norm of all gradients together, to which larger ones are scaled down before an update; None
    leaves them. `accumulate`: batches whose gradients make one update. It is not a larger batch for a norm: statistics are
    taken over data.batch_size samples, while the learning rate is scaled for accumulate times as many.
    `onednn`: whether convolutions on a CPU go through oneDNN; None decides by their size, the same for every norm, and
    the record's environment says how.
    """

    epochs: int | None = 5
    steps: int | None = None
    precision: str = "32"
    gradient_clip: float | None = None
    accumulate: int = 1
    onednn: bool | None = None


@dataclass
class EvaluationSettings:
    """`points`: evaluations on validation, evenly spaced along the run, the last at its end; one fixed `batch_size`.

    `statistics`: what norms with running statistics are evaluated with, at every point and in the final scores; for any other
    norm all four are the same, and training never notices. "running"; "precise" (arXiv:2105.07576), those of all values that
    `precise_samples` of the training set give with the present weights, in whole batches of data.batch_size that flow as in
    training but not augmented (the whole training set where it has fewer); "batch", those of the evaluation batch;
    "weighed" (arXiv:1906.03548), the sample's own moments by `own_weight`, a share to be chosen on validation, and the
    running ones by the rest.
    """

    points: int = 1
    batch_size: int = 512
    statistics: str = "running"
    precise_samples: int = 1024
    own_weight: float | None = None


@dataclass
class DataSettings:
    """What every dataset has beside its own settings. `crop` is the padding in pixels around a random crop."""

    batch_size: int = 32
    split_seed: int = 0
    flip: bool = False
    crop: int = 0


@dataclass(frozen=True)
class Run:
    """One run to do: its spec, the id that follows from it, and what a record says about its origin.

    `changes`: what the model changes in a network of other people's, in words, as far as a plan can see.
    `sources`: where the user's own classes are, `my_file.py:Name`, by what they are ("module", "datamodule").
    """

    id: str
    experiment: str
    labels: Mapping[str, str]
    spec: Mapping[str, Any]
    code: Mapping[str, str]
    data_version: str
    command: str
    plugins: tuple[str, ...] = ()
    skip_reason: str | None = None
    planned_steps: int = 0
    changes: tuple[str, ...] = ()
    control: bool = False
    sources: Mapping[str, str] = field(default_factory=dict)


def run_id(spec: Mapping[str, Any], code: Mapping[str, str], data_version: str) -> str:
    """16 hexadecimal digits that stand for the resolved spec, the code that runs it and the data's version."""
    text = json.dumps([spec, code, data_version], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
