"""The base class of every norm: the checks, the layout, the precision and the switches that all of them share.

In comes a tensor of any rank with its channels in dimension 1 (or last), out goes a tensor of the same shape, type
and memory format. A norm of your own implements one method, `normalize`. This file takes no statistics itself.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from normlib.norms._running import move_towards
from normlib.norms._weighed import normalize_weighed
from normlib.norms.kernels.inspection import may_read_values, statistics_dtype
from normlib.norms.kernels.masked import valid_positions
from normlib.norms.place import Place
from normlib.norms.switches import Switches

INVARIANCES = (
    "input_scale", "input_shift", "channel_scale", "channel_shift", "sample_scale", "sample_shift",
    "batch_permutation", "channel_permutation",
)  # fmt: skip
"""What a norm may be blind to in training, epsilon aside: a positive factor or a shift of the whole input, of each channel, of each
sample. Under a permutation of samples or channels the output is permuted alike."""


class Norm(Switches):
    """A normalization layer: `normalize` standardizes, then every channel is scaled by `weight` and shifted by `bias`.

    A subclass calls ``super().__init__(num_features, ...)`` and implements `normalize` on (N, C, *positions) in float32
    or better. What it is stands in class attributes, which the contract of `normlib.testing` holds it to.
    """

    #: Which part of a site it takes: "norm" (between layer and activation), "site" (brings its own activation; its constructor
    #: takes `activate`), "weight" (works on the weights of the layer ahead), "branch" (needs residual branches).
    slot: ClassVar[Literal["norm", "site", "weight", "branch"]] = "norm"
    #: Whether, in training, one sample's output depends on the others.
    depends_on_batch: ClassVar[bool] = False
    #: What the gradient takes as constant although it depends on the input; finite differences do not apply then.
    constant_in_gradient: ClassVar[str] = ""
    #: What it needs of its input or its network beyond channels, in words.
    needs: ClassVar[str] = ""
    #: Why it cannot be an arm of a comparison; empty where it can.
    not_an_arm: ClassVar[str] = ""
    #: How many numbers it trains and how many it keeps in persistent buffers, at default settings, as formulas in C.
    parameter_count: ClassVar[str] = "2C"
    buffer_count: ClassVar[str] = "0"
    #: Where each parameter starts.
    starts_at: ClassVar[Mapping[str, float]] = {"weight": 1.0, "bias": 0.0}
    #: Some of `INVARIANCES`, at default settings.
    invariances: ClassVar[frozenset[str]] = frozenset()
    #: Checks of the contract that it cannot pass, each with the reason.
    exceptions: ClassVar[Mapping[str, str]] = {}
    #: Whether `transform` takes float16 and bfloat16 as they are where `may_read_values` and beside float32 weights, as kernels that
    #: take statistics in float32 do.
    takes_half: ClassVar[bool] = False
    #: Whether `forward` takes a mask; the norm then implements `transform_masked`.
    takes_mask: ClassVar[bool] = False
    weight: Any  # nn.Parameter or None, as in torch.nn
    bias: Any

    def __init__(
        self,
        num_features: int,
        *,
        eps: float = 1e-5,
        affine: bool = True,
        bias: bool = True,
        channel_dim: int = 1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        nn.Module.__init__(self)  # by name: BatchNorm has torch's batch norm between this class and nn.Module
        self.num_features, self.eps, self.affine = num_features, eps, affine
        for name, there, start in (("weight", affine, torch.ones), ("bias", affine and bias, torch.zeros)):
            self.register_parameter(
                name, nn.Parameter(start(num_features, device=device, dtype=dtype)) if there else None
            )
        self._set_switches(channel_dim)

    def _set_switches(self, channel_dim: int) -> None:
        """The attributes that are no part of the state_dict: where the channels are, and the three switches."""
        if self.num_features < 1:
            raise ValueError(f"{self._name} needs at least one channel, got num_features={self.num_features}")
        if self.eps < 0:
            raise ValueError(f"{self._name} adds eps to a variance, so eps is not negative; got {self.eps}")
        if channel_dim not in (1, -1):
            raise ValueError(
                f"channel_dim is 1 (N, C, *positions) or -1 (N, *positions, C), got {channel_dim}; permute the input for other layouts"
            )
        self.channel_dim = channel_dim
        #: In training, take batch statistics over consecutive groups of about this many samples. Inert where
        #: `depends_on_batch` is False; None takes them over all samples.
        self.norm_batch_size: int | None = None
        self._statistics, self.update_running = "auto", True

    # ---- what a norm implements -------------------------------------------------------------------------------

    def normalize(self, x: Tensor) -> Tensor:
        """Standardize `x` (N, C, *positions), given in float32 or better; the base class scales and shifts the result."""
        raise NotImplementedError(
            f"{type(self).__qualname__} has to implement normalize(self, x), for x of shape (N, C, *positions)"
        )

    def transform(self, x: Tensor, guarded: bool) -> Tensor:
        """`normalize`, scale and shift. A norm whose kernel does all three at once, or that keeps running statistics, overrides this.

        `guarded`: x was computed in half precision, where a batch that is not finite must not enter running statistics.
        """
        groups = self.num_groups_of_samples(x.shape[0])
        if groups > 1:
            return self.scale_and_shift(torch.cat([self.normalize(part) for part in x.tensor_split(groups)]))
        return self.scale_and_shift(self.normalize(x))

    def transform_masked(self, x: Tensor, mask: Tensor, guarded: bool) -> Tensor:
        """`transform` with statistics over valid values alone, in a norm with `takes_mask`.

        `mask` is (N, 1, *positions), True where a position is valid; elsewhere `x`, in float32 or better, is zero, and what comes
        out is dropped.
        """
        raise NotImplementedError(
            f"{type(self).__qualname__} declares takes_mask, so it has to implement transform_masked(self, x, mask, guarded)"
        )

    # ---- what a norm may call ---------------------------------------------------------------------------------

    def scale_and_shift(self, x_hat: Tensor) -> Tensor:
        """weight * x_hat + bias, a weight and a bias per channel, as far as the norm has them."""
        weight, bias = self.parameters_as(x_hat)
        if weight is None:
            return x_hat
        per_channel = (1, -1) + (1,) * (x_hat.dim() - 2)
        if bias is None:
            return x_hat * weight.view(per_channel)
        return torch.addcmul(bias.view(per_channel), x_hat, weight.view(per_channel))

    def parameters_as(self, x: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """`weight` and `bias` in the type of `x`, or in float32 where that is half precision."""
        parameters = self._parameters  # quicker than nn.Module's attributes; a parametrization takes its own out of it
        weight: Tensor | None = parameters["weight"] if "weight" in parameters else self.weight  # noqa: SIM401 (slower)
        bias: Tensor | None = parameters["bias"] if "bias" in parameters else self.bias  # noqa: SIM401 (slower)
        dtype = statistics_dtype(x)
        if weight is not None and weight.dtype is not dtype:
            weight = weight.to(dtype)
        if bias is not None and bias.dtype is not dtype:
            bias = bias.to(dtype)
        return weight, bias

    def held_constant(self, value: Tensor) -> Tensor:
        """`value` without its gradient. What `constant_in_gradient` speaks of goes through here, so that finite differences can hold it too."""
        return value.detach()

    def num_groups_of_samples(self, num_samples: int) -> int:
        """Into how many groups the samples are split for their statistics: floor(N / norm_batch_size), at least one.

        `Tensor.tensor_split` then makes them as equal as possible, so that none is smaller than `norm_batch_size` unless N is.
        """
        if self.norm_batch_size is None or not self.training or not self.depends_on_batch:
            return 1
        if self.norm_batch_size < 1:
            raise ValueError(
                f"norm_batch_size is at least 1 sample, or None for all of them; got {self.norm_batch_size}"
            )
        return max(1, num_samples // self.norm_batch_size)

    def move_running_statistics(self, new_values: Mapping[str, Tensor], momentum: float | None, guarded: bool) -> None:
        """Move the running buffers of these names towards new values by `momentum` (None: the mean of all batches).

        For a norm with the buffer `num_batches_tracked`, which counts the batch. `guarded` is what `transform` was told.
        """
        counter: Any = self.num_batches_tracked
        move_towards({getattr(self, name): value for name, value in new_values.items()}, counter, momentum, guarded)

    def require_several_values(
        self, count: int, x: Tensor, over: str, fix: str, outcome: str = "it would always come out as zero"
    ) -> None:
        """Refuse statistics over a single value: they say nothing of it, and `outcome` is what would come of that."""
        if count < 2:
            samples = x.shape[0] if self.depends_on_batch else "any"
            raise ValueError(
                f"{self._name} takes its statistics over {over}, but an input of shape ({samples}, {', '.join(map(str, x.shape[1:]))}) "
                f"(samples, channels, *positions) has only one value for each: {outcome}; {fix}"
            )

    # ---- what a run may tell and ask ------------------------------------------------------------------------------

    def enter(self, place: Place) -> None:
        """Called once, when the norm has moved into a network: here it may act on the layer ahead of it.

        Raises `CannotEnter` where the place has not what it needs; the run is then skipped with that reason.
        """

    def set_total_steps(self, total_steps: int) -> None:
        """Tell the norm how many training steps the run has; only schedules in fractions of the run need it."""

    def report(self) -> dict[str, float]:
        """Figures of the norm's own for the record of a run, by name."""
        return {}

    # ---- the way through --------------------------------------------------------------------------------------

    @property
    def takes_part_when_empty(self) -> bool:
        """Whether an empty batch goes through `transform` too, because other processes wait for this one."""
        return False

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Normalize `x`, of rank 2 or more; the output has its shape, type and memory format.

        `mask` (N, *positions), True where a position is valid: what lies elsewhere enters neither statistics nor gradients, and
        comes out as zero. Each sample, or the batch, is as if cut to its valid values: without any, nothing happens to it; one
        alone for a statistic is refused, on a CPU; on a GPU and when compiled it comes out as if at its mean, and moves no state.
        """
        self.check_shape(x)
        moved = x if self.channel_dim == 1 else x.movedim(-1, 1)  # (N, C, *positions)
        if mask is not None:
            y = self._forward_masked(x, moved, mask)
        elif x.numel() == 0 and not self.takes_part_when_empty:
            y = self.scale_and_shift(moved)  # nothing to take statistics of, no state changes
        elif self._statistics == "weighed":
            y = normalize_weighed(self, moved)
        elif _autocasts(x):
            with torch.autocast(x.device.type, enabled=False):
                y = self.transform(self._in_precision(moved), True)
        else:
            y = self.transform(self._in_precision(moved), x.dtype is torch.float16)
        if y.dtype is not x.dtype:
            y = y.to(x.dtype)
        if self.channel_dim != 1:
            y = y.movedim(1, -1)
        return y if y.stride() == x.stride() else _laid_out_like(x, y)

    def _forward_masked(self, x: Tensor, moved: Tensor, mask: Tensor) -> Tensor:
        if not self.takes_mask:
            raise ValueError(
                f"{self._name} takes no mask, so padding would enter its statistics; call it without one, or use a norm that "
                "takes one: `takes_mask` says so"
            )
        valid = valid_positions(self._name, x, mask, self.channel_dim)
        moved = moved.masked_fill(
            ~valid, 0
        )  # neither infinity nor NaN of the padding goes on from here, forward or back
        if x.numel() == 0 and not self.takes_part_when_empty:
            return self.scale_and_shift(moved)
        if self._statistics == "weighed":
            return normalize_weighed(self, moved, valid).masked_fill(~valid, 0)
        autocasts = _autocasts(x)
        with torch.autocast(x.device.type, enabled=False) if autocasts else contextlib.nullcontext():
            y = self.transform_masked(moved.to(statistics_dtype(x)), valid, autocasts or x.dtype is torch.float16)
        return y.masked_fill(~valid, 0)

    def _in_precision(self, x: Tensor) -> Tensor:
        dtype = statistics_dtype(x)
        return x if x.dtype is dtype or (self.takes_half and self.affine and may_read_values(x)) else x.to(dtype)

    def check_shape(self, x: Tensor) -> None:
        """Refuse an input that has not `num_features` channels where they should be."""
        if x.dim() < 2 or x.shape[self.channel_dim] != self.num_features:
            layout = "(N, C, *positions)" if self.channel_dim == 1 else "(N, *positions, C)"
            raise ValueError(
                f"{self._name} takes {layout} with C = num_features = {self.num_features}, but got shape {tuple(x.shape)}; "
                f"build it with the input's number of channels, or set channel_dim={-self.channel_dim} if they are in that dimension"
            )

    @property
    def _name(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        shown = [f"{self.num_features}", f"eps={self.eps:g}", f"affine={self.affine}"]
        shown += [f"channel_dim={self.channel_dim}"] if self.channel_dim != 1 else []
        shown += [f"norm_batch_size={self.norm_batch_size}"] if self.norm_batch_size is not None else []
        shown += [f"statistics={self.statistics!r}"] if self.statistics != "auto" else []
        return ", ".join(shown)


def _autocasts(x: Tensor) -> bool:
    device = "cpu" if x.is_cpu else x.device.type  # the name of a device takes as long as a small kernel
    return device != "meta" and torch.is_autocast_enabled(device)


def _laid_out_like(x: Tensor, y: Tensor) -> Tensor:
    """`y` in the memory format of `x`; where `x` has gaps or overlaps, in the order of its dimensions.

    The strides of dimensions of size 1 say nothing, and torch's own kernels have others there: they are left alone, lest a
    convolution behind chooses another kernel than behind torch's norm.
    """
    if all(ours == theirs for ours, theirs, size in zip(y.stride(), x.stride(), x.shape) if size > 1):
        return y
    target = torch.empty_like(x)
    return y if y.stride() == target.stride() else target.copy_(y)
