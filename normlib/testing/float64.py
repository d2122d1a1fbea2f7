"""Checks float64: a float64 layer computes in float64 from end to end, and its averages are exact."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from normlib.norms.base import Norm
from normlib.testing.requirements import require, require_same_values, state_of
from normlib.testing.subject import draw, set_clock, subject

EXACT = 1e-12  # a few thousand roundings of float64


class _Narrow(TorchDispatchMode):
    """Records every operation that touches a floating tensor narrower than float64."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        tensors: Iterable[Any] = tree_leaves((args, kwargs, result))
        narrow = [
            x for x in tensors if isinstance(x, Tensor) and x.is_floating_point() and x.dtype is not torch.float64
        ]
        if narrow:
            self.seen.append(f"{function} on {narrow[0].dtype} of shape {tuple(narrow[0].shape)}")
        return result


def check_float64(norm: str | type[Norm], **settings: Any) -> None:
    """A float64 layer computes in float64 only, and averages statistics to 12 digits, also with momentum=None."""
    tested = subject(norm, **settings)
    for late in (False, True):
        module: nn.Module = tested.warmed_up(tested.standing()).double()
        if late:
            set_clock(module)
        for training in (True, False):
            with _Narrow() as narrow:
                y = module.train(training)(draw(tested.images, dtype=torch.float64).requires_grad_())
                y.square().sum().backward()
            first = next(iter(narrow.seen), "")
            require(not narrow.seen, f"a float64 layer computes in lower precision: {first}")
    if "dtype" in inspect.signature(tested.cls).parameters:
        for name, value in state_of(tested.build(dtype=torch.float64)).items():
            wide = value.dtype is torch.float64 or not value.is_floating_point()
            require(wide, f"built with dtype=torch.float64, {name} is {value.dtype}")
    made = tested.build()
    if hasattr(made, "momentum") and made.has_running_statistics:
        _check_mean_of_batches(tested.build, tested.images)


def _check_mean_of_batches(build: Any, shape: tuple[int, ...]) -> None:
    """With momentum=None the running statistics are the mean over three batches, each taken alone by a new norm."""
    batches = [draw(shape, seed=seed, dtype=torch.float64) * (seed + 1) + seed for seed in range(3)]
    total, single = build().double(), [build().double() for _ in batches]
    for norm, x in zip(single, batches, strict=True):
        total.momentum = norm.momentum = None
        norm(x)
        total(x)
    averages = [
        {name: value for name, value in state_of(norm).items() if name.startswith("running_")} for norm in single
    ]
    expected = {name: torch.stack([average[name] for average in averages]).mean(0) for name in averages[0]}
    got = {name: value for name, value in state_of(total).items() if name in expected}
    require_same_values(got, expected, EXACT, "momentum=None after three batches, against the mean over each alone")
