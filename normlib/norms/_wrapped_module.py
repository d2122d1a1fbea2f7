"""A norm whose scale, shift, momentum and running buffers are those of a module inside.

In: `module` and its `ModuleTraits`, which a subclass sets. What the module does not have is None. A switch that it
cannot follow is refused. This file computes no output.
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
"""Widths for examining a class before anybody has asked for one. The first that its constructor takes is used."""


class _DependsOnBatch:
    """For a norm, what its traits say. For the class, what the traits at its first width and default settings say."""

    def __get__(self, norm: WrappedModule | None, cls: type[WrappedModule]) -> bool:
        if norm is not None:
            return norm.traits.depends_on_batch
        return cls.plain is not None and cls.default_traits().depends_on_batch


class WrappedModule(Norm):
    """Answers for the module inside what a network asks of a norm."""

    module: Any
    traits: ModuleTraits
    #: The class of the module, or the function that it applies.
    plain: ClassVar[Any] = None
    depends_on_batch: ClassVar[Any] = _DependsOnBatch()
    _traits_by_settings: ClassVar[dict[str, ModuleTraits]]

    @classmethod
    def build_module(cls, num_features: int, settings: dict[str, Any]) -> nn.Module:
        """Build a new module."""
        raise NotImplementedError

    @classmethod
    def traits_for(cls, num_features: int, settings: dict[str, Any]) -> ModuleTraits:
        """The traits of the module with these settings. Raises ValueError if they cannot be found out.

        They are found once. In a notebook they are found each time, because the module may call a function of an edited
        cell.
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
        return f"{self._name} is a plain module, so normlib cannot set {setting} for it; derive it from normlib.RunningNorm, which has that"

    @property
    def weight(self) -> Any:
        """The module's scale, None if it has none."""
        return None if self.traits.scale is None else self.module.get_parameter(self.traits.scale)

    @property
    def bias(self) -> Any:
        """The module's shift. If it is None, the site adds one."""
        return None if self.traits.shift is None else self.module.get_parameter(self.traits.shift)

    @property
    def has_running_statistics(self) -> bool:
        """Whether training moves buffers of the module."""
        return bool(self.traits.moving)

    @property
    def momentum(self) -> Any:
        """The module's attribute `momentum`, None if it has none."""
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
        """The module's attribute `eps`, 0 if it has none."""
        return getattr(self.module, "eps", 0.0)

    @eps.setter
    def eps(self, eps: float) -> None:
        if hasattr(self.module, "eps"):
            self.module.eps = eps

    # ---- the switches -----------------------------------------------------------------------------------------

    @property
    def statistics(self) -> str:
        """ "auto": as the module does it. "running": as it does it in eval mode, even after `train()`."""
        return self._statistics

    @statistics.setter
    def statistics(self, wanted: str) -> None:
        if self.has_running_statistics and wanted not in ("auto", "running"):
            raise ValueError(f"{self._refusal('statistics')} to anything but 'auto' and 'running', got {wanted!r}")
        Switches.statistics.fset(self, wanted)  # type: ignore[attr-defined]
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """As for every module. With ``statistics="running"`` the plain module stays in eval mode."""
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
