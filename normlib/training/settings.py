"""The settings that a run's numbers depend on, as one typed dataclass per section, which Hydra checks.

A run's spec holds their values, so this file is not in a run's id: a better help text trains nothing again. Never
imports torch.
"""

from __future__ import annotations

from dataclasses import dataclass

from normlib.settings import setting


@dataclass
class NormSettings:
    """What every norm has besides its own settings."""

    gamma_noise: float = setting(
        0.0, help="size of the noise added to the norms' scales, or shifts without scales, before the first step"
    )
    weights: str | None = setting(
        None,
        help="a method on weights besides the norm, such as weight_standardization, for the layer ahead of every site",
    )
    frozen: str | None = setting(
        None,
        choices=("statistics", "affine", "all"),
        help="what never moves: the running statistics (which then normalize in training too), scales and shifts, or both",
    )
    fit_on_batches: int = setting(
        0,
        help="training batches for fitting scales and shifts to the outputs of the pretrained norms; 0 is no fit",
    )


@dataclass
class ModelSettings:
    """What every model has besides its own settings."""

    weights: str | None = setting(
        None,
        help="what the network starts from: DEFAULT for its library's weights, or a .safetensors or .pt file; the same for every arm",
    )


@dataclass
class DataSettings:
    """What every dataset has besides its own settings."""

    batch_size: int = setting(32, help="samples in a training batch")
    split_seed: int = setting(0, help="seed of the split into train, validation and test, for data that come unsplit")
    flip: bool = setting(False, help="flip training images left to right at random")
    crop: int = setting(0, help="pad training images by this many pixels and crop them at random; 0 is no crop")


@dataclass
class SiteSettings:
    """Every site of the network: where the norm stands, and over which batch it takes statistics."""

    activation: str = setting("relu", choices=("relu", "sigmoid", "tanh", "gelu"), help="the activation at every site")
    placement: str = setting(
        "before", choices=("before", "after"), help="whether the norm stands before or after the activation"
    )
    dropout: float = setting(0.0, help="share of values dropped behind each site in training")
    norm_batch_size: int | None = setting(
        None, help="samples in the statistics of a batch-dependent norm; null is the whole batch"
    )
    horizon: int | None = setting(
        None,
        help="samples that running averages cover (momentum = batch size / horizon); null keeps each norm's momentum",
    )


@dataclass
class InitSettings:
    """How the trunk is filled at the start."""

    scheme: str = setting(
        "he", choices=("he", "torch"), help="he: normal with variance gain^2 / fan-in; torch: the defaults of torch.nn"
    )
    scale: float = setting(1.0, help="factor on all initial weights")


RULES = ("linear", "sqrt", "constant")
LR = "learning rate at batch size 32"
LR_RULE = "how the learning rate grows with the batch size: in proportion, by its square root, or not at all"
WEIGHT_DECAY = "how strongly weights decay"
DECAY_NORM = "whether weight decay acts on the norms' parameters too"


@dataclass
class SGDSettings:
    """SGD with momentum."""

    name: str = "sgd"
    lr: float = setting(0.1, help=LR)
    lr_rule: str = setting("linear", choices=RULES, help=LR_RULE)
    momentum: float = setting(0.9, help="weight of the past steps")
    nesterov: bool = setting(False, help="Nesterov's momentum")
    weight_decay: float = setting(0.0, help=WEIGHT_DECAY)
    decay_norm: bool = setting(False, help=DECAY_NORM)


@dataclass
class AdamWSettings:
    """AdamW (arXiv:1711.05101)."""

    name: str = "adamw"
    lr: float = setting(1e-3, help=LR)
    lr_rule: str = setting("sqrt", choices=RULES, help=LR_RULE)
    beta1: float = setting(0.9, help="weight of the past in the average of gradients")
    beta2: float = setting(0.999, help="weight of the past in the average of squared gradients")
    eps: float = setting(1e-8, help="added to the root of the average of squared gradients")
    weight_decay: float = setting(1e-2, help=WEIGHT_DECAY)
    decay_norm: bool = setting(False, help=DECAY_NORM)


@dataclass
class ConstantSettings:
    """The same learning rate from the first step to the last."""

    name: str = "constant"


@dataclass
class CosineSettings:
    """A linear warm-up, then half a cosine down to zero (arXiv:1608.03983)."""

    name: str = "cosine"
    warmup: float = setting(0.0, help="share of the run over which the learning rate rises")


@dataclass
class OneCycleSettings:
    """Up along a cosine, then down to almost zero (arXiv:1708.07120, torch's OneCycleLR)."""

    name: str = "one_cycle"
    warmup: float = setting(0.3, help="share of the run over which the learning rate rises")


OPTIMIZERS = {"sgd": SGDSettings, "adamw": AdamWSettings}
SCHEDULES = {"constant": ConstantSettings, "cosine": CosineSettings, "one_cycle": OneCycleSettings}


@dataclass
class TrainingSettings:
    """The budget of a run and how a step is made."""

    epochs: int | None = setting(5, help="passes over the training set")
    steps: int | None = setting(None, help="optimizer steps, in place of epochs")
    precision: str = setting(
        "32", choices=("32", "bf16-mixed"), help="number format of the computation: float32, or bfloat16 under autocast"
    )
    gradient_clip: float | None = setting(
        None, help="largest norm of all gradients together; larger ones are scaled down to it; null is no limit"
    )
    accumulate: int = setting(
        1,
        help="batches whose gradients make one update; norms see one batch, the learning rate follows all of them",
    )
    onednn: bool | None = setting(
        None, help="whether convolutions on a CPU use oneDNN; null decides by size, the same for every norm"
    )


@dataclass
class EvaluationSettings:
    """When a run is evaluated, and with which statistics. Training is bit-identical under all of these."""

    points: int = setting(1, help="evaluations on validation, evenly spaced over the run, the last at its end")
    batch_size: int = setting(512, help="samples in an evaluation batch")
    statistics: str = setting(
        "running",
        choices=("running", "precise", "batch", "weighed"),
        help=(
            "what norms with running statistics use: those, newly taken ones of the present weights (arXiv:2105.07576), "
            "the evaluation batch's, or the sample's own mixed with running ones (arXiv:1906.03548)"
        ),
    )
    precise_samples: int = setting(1024, help="training samples, not augmented, for precise statistics")
    own_weight: float | None = setting(
        None, help="share of the sample's own moments in weighed statistics, from 0 to 1; choose it on validation"
    )
