"""The base class of every norm: checks, memory layout, precision and switches.

In: a tensor of any rank with its channels in dimension 1 or last. Out: a tensor of the same shape, type and memory
format. A norm of your own implements one method, `normalize`. This file takes no statistics itself.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Proxy

from normlib.norms._layout import autocasts, laid_out_like, refuse_input, valid_positions
from normlib.norms.declarations import Declarations
from normlib.norms.kernels.affine import scale_and_shift
from normlib.norms.kernels.batch_moments import calls_kernels
from normlib.norms.kernels.inspection import statistics_dtype
from normlib.norms.place import NetworkHooks
from normlib.norms.switches import Switches


class Norm(NetworkHooks, Declarations, Switches):
    """A normalization layer: `normalize` standardizes, then every channel is scaled by `weight` and shifted by `bias`.

    A subclass calls ``super().__init__(num_features, ...)`` and implements `normalize` on (N, C, *positions) in float32
    or better. It describes itself in the class attributes of `Declarations`. A norm with running statistics derives
    from `normlib.RunningNorm` instead.

    Settings:
        eps: a small number under the root (or beside what divides), against division by zero
        affine: whether each channel has a scale and a shift that are trained
        bias: whether there is a shift beside the scale
    """

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
        nn.Module.__init__(self)  # not super(): BatchNorm has torch's batch norm between this class and nn.Module
        if num_features < 1:
            raise ValueError(f"{self._name} needs at least one channel, got num_features={num_features}")
        if eps < 0:
            raise ValueError(f"{self._name} adds eps to a variance, so eps must not be negative; got {eps}")
        if channel_dim not in (1, -1):
            raise ValueError(
                f"channel_dim is 1 (N, C, *positions) or -1 (N, *positions, C), got {channel_dim}; permute the input for other layouts"
            )
        self.num_features, self.eps, self.affine, self.channel_dim = num_features, eps, affine, channel_dim
        for name, is_present, start in (("weight", affine, torch.ones), ("bias", affine and bias, torch.zeros)):
            self.register_parameter(
                name, nn.Parameter(start(num_features, device=device, dtype=dtype)) if is_present else None
            )
        #: In training, batch statistics are over groups of about so many samples; None: over all. No effect without `depends_on_batch`.
        self.norm_batch_size: int | None = None
        self._statistics, self.update_running = "auto", True

    # ---- what a norm implements -------------------------------------------------------------------------------

    def normalize(self, x: Tensor) -> Tensor:
        """Standardize `x` (N, C, *positions), in float32 or better. The base class scales and shifts the result."""
        raise NotImplementedError(
            f"{type(self).__qualname__} has to implement normalize(self, x), for x of shape (N, C, *positions)"
        )

    def transform(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """`normalize`, then scale and shift. Override it for a kernel that does all three, or for `takes_mask`.

        `mask` (N, 1, *positions) is given only with `takes_mask`. Where it is False, `x` is zero, and then `x` is in
        float32 or better.
        """
        if mask is not None:
            raise NotImplementedError(
                f"{type(self).__qualname__} declares takes_mask, so it has to implement transform(self, x, mask)"
            )
        groups = self.num_groups_of_samples(x.shape[0])
        if groups > 1:
            return self.scale_and_shift(torch.cat([self.normalize(part) for part in x.tensor_split(groups)]))
        return self.scale_and_shift(self.normalize(x))

    # ---- what a norm may call ---------------------------------------------------------------------------------

    def scale_and_shift(self, x_hat: Tensor) -> Tensor:
        """weight * x_hat + bias, per channel, with the weight and the bias that the norm has."""
        return scale_and_shift(x_hat, *self.parameters_as(x_hat))

    def parameters_as(self, x: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """`weight` and `bias` in the type of `x`, or in float32 if that is half precision."""
        parameters = self._parameters  # quicker than nn.Module's attributes; a parametrization removes its own from it
        weight: Tensor | None = parameters["weight"] if "weight" in parameters else self.weight  # noqa: SIM401 (slower)
        bias: Tensor | None = parameters["bias"] if "bias" in parameters else self.bias  # noqa: SIM401 (slower)
        dtype = statistics_dtype(x)
        if weight is not None and weight.dtype is not dtype:
            weight = weight.to(dtype)
        if bias is not None and bias.dtype is not dtype:
            bias = bias.to(dtype)
        return weight, bias

    def stop_gradient(self, value: Tensor) -> Tensor:
        """`value` without its gradient.

        Pass everything that `constant_in_gradient` names through here. Then finite differences can hold it constant
        too.
        """
        return value.detach()

    def num_groups_of_samples(self, num_samples: int) -> int:
        """How many groups the samples are split into for their statistics.

        This is floor(N / norm_batch_size), at least one. `Tensor.tensor_split` makes the groups as equal as possible.
        So none is smaller than `norm_batch_size` unless N is.
        """
        if self.norm_batch_size is None or not self.training or not self.depends_on_batch:
            return 1
        if self.norm_batch_size < 1:
            raise ValueError(
                f"norm_batch_size is at least 1 sample, or None for all of them; got {self.norm_batch_size}"
            )
        return max(1, num_samples // self.norm_batch_size)

    def require_several_values(
        self, count: int, x: Tensor, over: str, fix: str, outcome: str = "the output would always be zero"
    ) -> None:
        """Refuse statistics over a single value, which mean nothing. `outcome` says what would come out."""
        if count < 2:
            samples = x.shape[0] if self.depends_on_batch else "any"
            raise ValueError(
                f"{self._name} takes its statistics over {over}, but an input of shape ({samples}, {', '.join(map(str, x.shape[1:]))}) "
                f"(samples, channels, *positions) has only one value for each: {outcome}; {fix}"
            )

    # ---- the forward pass -------------------------------------------------------------------------------------

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Normalize `x`, of rank 2 or more. The output has its shape, type and memory format.

        `mask` (N, *positions) is True where a position is valid. Other positions enter neither statistics nor
        gradients, and come out as zero. Each sample, or the batch, is treated as if cut to its valid values. Without
        any valid value nothing happens to it. A single valid value for a statistic is refused on a CPU. On a GPU and
        when compiled, it comes out as if at its mean, and moves no state.

        Raises ValueError for another number of channels and for a bad mask. Raises TypeError for an input that is not
        of real floating numbers.
        """
        if isinstance(x, Proxy):  # torch.fx takes the norm as one call, as it takes torch's own
            return x.tracer.create_proxy(
                "call_module", x.tracer.path_of_module(self), (x, *(() if mask is None else (mask,))), {}
            )
        self.check_input(x)
        moved = x if self.channel_dim == 1 else x.movedim(-1, 1)  # (N, C, *positions)
        valid = None if mask is None else valid_positions(self, x, mask)
        if valid is not None:  # no infinity or NaN of the padding gets past here, forward or backward
            moved = moved.masked_fill(~valid, 0)
        if x.numel() == 0 and not self._waits_for_others():
            y = self.scale_and_shift(moved)  # no values, so no statistics and no change of state
        elif autocasts(x):
            with torch.autocast(x.device.type, enabled=False):
                y = self._transform(self._in_precision(moved, valid), valid, True)
        else:
            y = self._transform(self._in_precision(moved, valid), valid, x.dtype is torch.float16)
        if valid is not None:
            y = y.masked_fill(~valid, 0)
        if y.dtype is not x.dtype:
            y = y.to(x.dtype)
        if self.channel_dim != 1:
            y = y.movedim(1, -1)
        return y if y.stride() == x.stride() else laid_out_like(x, y)

    def _transform(self, x: Tensor, mask: Tensor | None, in_half: bool) -> Tensor:
        return self.transform(x) if mask is None else self.transform(x, mask)

    def _waits_for_others(self) -> bool:
        return False  # otherwise an empty batch goes on too

    def _in_precision(self, x: Tensor, mask: Tensor | None) -> Tensor:
        dtype = statistics_dtype(x)
        if x.dtype is dtype or (mask is None and self.takes_half and (self.affine or x.is_cuda) and calls_kernels(x)):
            return x
        return x.to(dtype)

    def check_input(self, x: Tensor) -> None:
        """Refuse an input that is not of real floating numbers, or that does not have `num_features` channels."""
        if x.dim() < 2 or x.shape[self.channel_dim] != self.num_features or not x.is_floating_point():
            refuse_input(self, x)

    def reset_parameters(self) -> None:
        """Put parameters back to where they start (`starts_at`), and the running statistics too.

        Raises ValueError for a parameter that `starts_at` does not name.
        """
        for name, parameter in self.named_parameters(recurse=False):
            if name not in self.starts_at:
                raise ValueError(f"{self._name} does not say where {name!r} starts; add it to its starts_at")
            nn.init.constant_(parameter, self.starts_at[name])

    @property
    def _name(self) -> str:
        return type(self).__name__

    def extra_repr(self) -> str:
        shown = [f"{self.num_features}", f"eps={self.eps:g}", f"affine={self.affine}"]
        shown += [f"channel_dim={self.channel_dim}"] if self.channel_dim != 1 else []
        shown += [f"norm_batch_size={self.norm_batch_size}"] if self.norm_batch_size is not None else []
        shown += [f"statistics={self.statistics!r}"] if self.statistics != "auto" else []
        return ", ".join(shown)
