"""A norm whose numbers are those of a module inside: its scale and shift, its momentum, and what it can be switched to.

In come `module` and its `ModuleTraits`, which a subclass sets. What the module has not is None, and what it cannot be told is
refused. This file computes no output.
"""

from __future__ import annotations

import json
import sys
from typing import Any, ClassVar, Self

from torch import nn

from normlib.norms._module_traits import ModuleTraits, find_traits
from normlib.norms.base import Norm
from normlib.norms.switches import Switches

WIDTHS = (16, 32, 48, 64, 1)
"""Channels with which a class is examined before anybody has asked for some; the first that its constructor takes."""


class _DependsOnBatch:
    """For a norm, what its traits say. For the class, what those of its first width with default settings say."""

    def __get__(self, norm: WrappedModule | None, cls: type[WrappedModule]) -> bool:
        if norm is not None:
            return norm.traits.depends_on_batch
        return cls.plain is not None and cls.default_traits().depends_on_batch


class WrappedModule(Norm):
    """What is asked of a norm, answered by the module in it."""

    module: Any
    traits: ModuleTraits
    #: The class of the module, or the function that it applies.
    plain: ClassVar[Any] = None
    depends_on_batch: ClassVar[Any] = _DependsOnBatch()
    _traits_by_settings: ClassVar[dict[str, ModuleTraits]]

    @classmethod
    def build_module(cls, num_features: int, settings: dict[str, Any]) -> nn.Module:
        """A new module."""
        raise NotImplementedError

    @classmethod
    def traits_for(cls, num_features: int, settings: dict[str, Any]) -> ModuleTraits:
        """What the module is with these settings. Raises ValueError where that cannot be found out.

        Examined once, but in a notebook each time: there the module may call a function of another cell, which was edited.
        """
        key = json.dumps([num_features, settings], sort_keys=True, default=str)
        found = cls._traits_by_settings.get(key)
        if found is None:
            try:
                found = find_traits(lambda: cls.build_module(num_features, settings), num_features)
            except ValueError as error:
                raise ValueError(f"{cls.__qualname__}: {error}") from error
        if hasattr(sys.modules.get(cls.__module__), "__file__"):
            cls._traits_by_settings[key] = found
        return found

    @classmethod
    def default_traits(cls) -> ModuleTraits:
        """The traits with default settings, at the first of `WIDTHS` that the constructor takes."""
        for width in WIDTHS[:-1]:
            try:
                return cls.traits_for(width, {})
            except ValueError:
                continue
        return cls.traits_for(WIDTHS[-1], {})

    def _refusal(self, setting: str) -> str:
        return f"{self._name} is a plain module, so normlib cannot set {setting} for it (normlib.RunningNorm has that)"

    @property
    def weight(self) -> Any:
        """The module's scale, None where it has none."""
        return None if self.traits.scale is None else self.module.get_parameter(self.traits.scale)

    @property
    def bias(self) -> Any:
        """The module's shift, None where it has none: the site then adds one."""
        return None if self.traits.shift is None else self.module.get_parameter(self.traits.shift)

    @property
    def has_running_statistics(self) -> bool:
        """Whether training moves buffers of the module."""
        return bool(self.traits.moving)

    @property
    def momentum(self) -> Any:
        """The module's attribute of that name, None where it has none."""
        return getattr(self.module, "momentum", None)

    @momentum.setter
    def momentum(self, momentum: float) -> None:
        if not self.traits.has_torch_momentum:
            raise ValueError(
                f"{self._refusal('momentum')}: it has no attribute `momentum` that weighs the new value of "
                f"{', '.join(self.traits.moving) or 'running statistics'}, as torch.nn's does"
            )
        self.module.momentum = momentum

    @property
    def eps(self) -> Any:
        """The module's attribute of that name, 0 where it has none."""
        return getattr(self.module, "eps", 0.0)

    @eps.setter
    def eps(self, eps: float) -> None:
        if hasattr(self.module, "eps"):
            self.module.eps = eps

    # ---- the switches -----------------------------------------------------------------------------------------

    @property
    def statistics(self) -> str:
        """As the module has it, "auto", or as the module has it in eval mode, after `train()` too, "running"."""
        return self._statistics

    @statistics.setter
    def statistics(self, wanted: str) -> None:
        if self.has_running_statistics and wanted not in ("auto", "running"):
            raise ValueError(f"{self._refusal('statistics')} to anything but 'auto' and 'running', got {wanted!r}")
        Switches.statistics.fset(self, wanted)  # type: ignore[attr-defined]
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """As of every module; with ``statistics="running"`` the plain module stays in eval mode."""
        super().train(mode)
        self.module.train(mode and self._statistics != "running")
        return self

    def train_affine(self, train: bool = True) -> None:
        """Whether the module's parameters are trained."""
        for parameter in self.parameters():
            parameter.requires_grad_(train)

    def extra_repr(self) -> str:
        shown = [f"{self.num_features}"]
        shown += [f"channel_dim={self.channel_dim}"] if self.channel_dim != 1 else []
        shown += [f"norm_batch_size={self.norm_batch_size}"] if self.norm_batch_size is not None else []
        return ", ".join(shown)
