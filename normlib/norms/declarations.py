"""What a norm declares in class attributes. The contract of `normlib.testing` checks that it is true. Computes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

INVARIANCES = (
    "input_scale", "input_shift", "channel_scale", "channel_shift", "sample_scale", "sample_shift",
    "batch_permutation", "channel_permutation",
)  # fmt: skip
"""What a norm may be blind to in training, apart from epsilon: a positive factor or a shift of the input, of each channel, of each
sample. If samples or channels are permuted, the output is permuted in the same way."""


class Declarations:
    """The class attributes that a norm may set.

    The defaults describe a norm of each sample with a scale and a shift.
    """

    #: Which part of a site it takes: "norm" (between layer and activation), "site" (brings its own activation; its constructor
    #: takes `activate`), "weight" (works on the weights of the layer ahead), "branch" (needs residual branches).
    slot: ClassVar[Literal["norm", "site", "weight", "branch"]] = "norm"
    #: Whether, in training, one sample's output depends on the others.
    depends_on_batch: ClassVar[bool] = False
    #: What the gradient holds constant although it depends on the input. Plain finite differences do not apply then.
    constant_in_gradient: ClassVar[str] = ""
    #: In words: what it needs of its input or its network, beyond channels.
    needs: ClassVar[str] = ""
    #: Why it cannot be an arm of a comparison. Empty if it can.
    not_an_arm: ClassVar[str] = ""
    #: How many numbers it trains, and how many it keeps in persistent buffers: formulas in C, at default settings.
    parameter_count: ClassVar[str] = "2C"
    buffer_count: ClassVar[str] = "0"
    #: Where each parameter starts.
    starts_at: Mapping[str, float] = {"weight": 1.0, "bias": 0.0}
    #: Some of `INVARIANCES`, at default settings.
    invariances: ClassVar[frozenset[str]] = frozenset()
    #: Checks of the contract that it cannot pass, each with the reason.
    exceptions: ClassVar[Mapping[str, str]] = {}
    #: Whether `transform` takes float16 and bfloat16 as they are, with float32 weights. Kernels that take statistics in
    #: float32 do.
    takes_half: ClassVar[bool] = False
    #: Whether `forward` takes a mask.
    takes_mask: ClassVar[bool] = False
