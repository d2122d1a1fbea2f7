"""Makes a norm of any `torch.nn.Module` that takes `num_features`, or of a function of a tensor.

In: a class or a function that knows nothing of normlib. Out: a class of norms whose `module` is the plain one. This
file does not change what the module computes, in which precision, or where it starts.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import Proxy

from normlib.norms._applied_function import AppliedFunction
from normlib.norms._layout import laid_out_like
from normlib.norms._module_traits import RANKS
from normlib.norms._wrapped_module import WrappedModule
from normlib.norms.base import Norm
from normlib.registry import RegistryError

SUPPLIED = {"num_features", "channel_dim", "device", "dtype"}


class PlainNorm(WrappedModule):
    """The norm around a plain `module`. It checks shapes, moves channels that are last, and makes ghost batches.

    These are found by numbers: `depends_on_batch`, the buffers that training moves, and the parameters that are
    `weight` (the scale) and `bias` (the shift). If frozen, the module stays in eval mode. With
    ``update_running=False``, copies take the place of its buffers. A ValueError refuses masks, statistics other than
    the module's own, ghost batches of a module with moving buffers, and a `momentum` that does not weigh the new value.
    """

    def __init__(
        self,
        num_features: int,
        channel_dim: int = 1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **settings: Any,
    ) -> None:
        nn.Module.__init__(self)
        if channel_dim not in (1, -1):
            raise ValueError(f"channel_dim is 1 (N, C, *positions) or -1 (N, *positions, C), got {channel_dim}")
        self.num_features, self.channel_dim, self.settings = num_features, channel_dim, settings
        self.norm_batch_size, self.update_running, self._statistics = None, True, "auto"
        self.module = self.build_module(num_features, settings).to(device=device, dtype=dtype)
        self.traits = self.traits_for(num_features, settings)
        self.affine = self.traits.scale is not None or self.traits.shift is not None

    @classmethod
    def build_module(cls, num_features: int, settings: dict[str, Any]) -> nn.Module:
        if not isinstance(cls.plain, type):
            return AppliedFunction(cls.plain, settings)
        asked = {"channel_dim": 1} if "channel_dim" in inspect.signature(cls.plain).parameters else {}
        module: nn.Module = cls.plain(num_features=num_features, **asked, **settings)
        return module

    # ---- what a network asks of a norm ------------------------------------------------------------------------

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """The module's output for `x` (N, C, *positions), in the same layout.

        With ``channel_dim=-1``, `x` is (N, *positions, C). Raises ValueError for a mask, for other channels, for a rank
        that the module does not take, and for an output of another shape. Raises TypeError for an input that is not of
        real floating numbers.
        """
        if isinstance(x, Proxy):
            return x.tracer.create_proxy("call_module", x.tracer.path_of_module(self), (x,), {})
        self.check_input(x)
        if mask is not None:
            raise ValueError(
                f"{self._name} is a plain module, which takes no mask, so padding would enter its statistics"
            )
        if x.dim() in RANKS and x.dim() not in self.traits.ranks:
            raise ValueError(
                f"{self._name} is a plain module that takes inputs of {' or '.join(map(str, self.traits.ranks))} dimensions, but got "
                f"shape {tuple(x.shape)}; at this rank it raised an error or returned another shape"
            )
        moved = x if self.channel_dim == 1 else x.movedim(-1, 1)
        groups = self.num_groups_of_samples(x.shape[0])
        if groups > 1 and self.traits.moving:
            raise ValueError(
                f"{self._refusal('norm_batch_size')}: each part of a batch would move {', '.join(self.traits.moving)} once more; "
                f"leave norm_batch_size={self.norm_batch_size} out"
            )
        parts = moved.tensor_split(groups) if groups > 1 else (moved,)
        outputs = [self._apply_module(part) for part in parts]
        y = outputs[0] if groups == 1 else torch.cat(outputs)
        if self.channel_dim != 1:
            y = y.movedim(1, -1)
        return y if y.stride() == x.stride() else laid_out_like(x, y)

    def _apply_module(self, x: Tensor) -> Tensor:
        if self.update_running or not self.traits.moving:
            y: Tensor = self.module(x)
        else:
            copies = {name: buffer.clone() for name, buffer in self.module.named_buffers()}
            y = torch.func.functional_call(self.module, copies, (x,))
        if y.shape != x.shape:
            raise ValueError(
                f"a norm returns the shape of its input, but {self._name} made {tuple(y.shape)} of {tuple(x.shape)}"
            )
        return y

    def reset_parameters(self) -> None:
        """Put parameters and buffers back to where the module's constructor sets them."""
        fresh = self.build_module(self.num_features, self.settings)
        self.module.load_state_dict(fresh.state_dict())

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _blank, (self.plain,), self.__dict__


@functools.cache
def plain_norm(plain: Any) -> type[PlainNorm]:
    """The class of norms around a module class that takes `num_features`, or around a function of a tensor.

    Its settings are the constructor's other arguments, or the function's arguments behind the tensor. Raises
    RegistryError.
    """
    if isinstance(plain, type) and issubclass(plain, nn.Module):
        constructor: Any = inspect.getattr_static(plain, "__init__")
        if "num_features" not in inspect.signature(constructor).parameters:
            raise RegistryError(
                f"a norm is built for a number of channels, so the constructor of {plain.__qualname__} takes num_features; "
                f"it takes {inspect.signature(constructor)}"
            )
    elif inspect.isfunction(plain) and inspect.signature(plain).parameters:
        constructor = plain
    else:
        raise RegistryError(
            "a norm is a class that inherits from torch.nn.Module or from normlib.Norm, or with wraps= a function of a tensor "
            f"(def, with the tensor first), but {plain!r} is none of these"
        )

    @functools.wraps(constructor)
    def __init__(self: PlainNorm, num_features: int, **given: Any) -> None:
        PlainNorm.__init__(self, num_features, **given)

    own = [p for p in list(inspect.signature(constructor).parameters.values())[1:] if p.name not in SUPPLIED]
    supplied = list(inspect.signature(PlainNorm).parameters.values())[:4]
    members = {
        "__init__": __init__,
        "__signature__": inspect.Signature(supplied + [p.replace(kind=p.KEYWORD_ONLY) for p in own]),
        "__doc__": plain.__doc__ or "",
        "__module__": plain.__module__,
        "__qualname__": plain.__qualname__,
        "plain": plain if isinstance(plain, type) else staticmethod(plain),
        "_traits_by_settings": {},
    }
    return type(plain.__name__, (PlainNorm,), members)


def as_norm(registered: Any) -> Any:
    """A class of norms as it is. For a plain module or function, the class of norms around it."""
    return registered if isinstance(registered, type) and issubclass(registered, Norm) else plain_norm(registered)


def as_registered(cls: type) -> Any:
    """What a user has registered: the plain module or function inside a class of norms, otherwise the class."""
    return cls.plain if issubclass(cls, PlainNorm) and cls.plain is not None else cls


def _blank(plain: Any) -> PlainNorm:
    cls = plain_norm(plain)
    return cls.__new__(cls)
