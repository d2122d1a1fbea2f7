"""The inputs that the torch wheel tests its own norms with (torch.testing._internal.common_modules), on our counterparts.

Outputs, gradients and state are torch.nn's. Where the conventions differ, the input is named here with the difference.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from normlib.norms import create

# Both add up the same numbers, in another order at most.
ROUNDING = {torch.float32: 1e-5, torch.float64: 1e-13}

ALONE = "a single sample without its dimension; here samples come first, always"
PER_ELEMENT = "a scale for each element of a sample; here scales are per channel"
NO_CENTRE = "a window of two channels, which has no middle"
NO_BIAS = "a scale without a shift, which is no setting here"


def batch(
    features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True, track: bool = True
) -> Any:
    return create("batch", features, eps=eps, momentum=momentum, affine=affine, track_running_stats=track)


def group(groups: int, features: int, eps: float = 1e-5, affine: bool = True) -> Any:
    return create("group", features, num_groups=groups, eps=eps, affine=affine)


def instance(features: int, eps: float = 1e-5, momentum: float = 0.1, affine: bool = False, track: bool = False) -> Any:
    return create("instance", features, eps=eps, momentum=momentum, affine=affine, track_running_stats=track)


def last(name: str, shape: list[int], eps: float, affine: bool = True) -> Any:
    """torch normalizes over the last dimensions: here over the channels of a position, or over a whole sample."""
    scope = "position" if len(shape) == 1 else "sample"
    return create(name, shape[-1], scope=scope, eps=eps, affine=affine, channel_dim=-1)


def local_response(size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Any:
    """torch takes the mean of the squares, the paper and this library their sum."""
    return create("lrn", 5, n=size, alpha=alpha / size, beta=beta, k=k)


COUNTERPARTS: dict[str, Callable[..., Any]] = {
    "BatchNorm1d": batch,
    "BatchNorm2d": batch,
    "BatchNorm3d": batch,
    "GroupNorm": group,
    "InstanceNorm1d": instance,
    "InstanceNorm2d": instance,
    "InstanceNorm3d": instance,
    "LayerNorm": functools.partial(last, "layer"),
    "RMSNorm": functools.partial(last, "rms"),
    "LocalResponseNorm": local_response,
}
DIFFERENT = {
    "no_batch_dim": ALONE,
    "tracking_stats_no_batch_dim": ALONE,
    "3d_elementwise_affine": PER_ELEMENT,
    "3d_elementwise_affine_no_bias": PER_ELEMENT,
    "2d_uneven_pad": NO_CENTRE,
    "3d_custom_params": "a window of the channel alone; here a window has neighbours",
    "affine_not_bias": NO_BIAS,
    "1d_affine_not_bias": NO_BIAS,
    "2d_affine_not_bias": NO_BIAS,
}
"""What torch calls an input of its tests, and why it is not run here."""


@pytest.fixture(scope="module")
def infos() -> dict[str, Any]:
    pytest.importorskip("expecttest", reason="torch.testing._internal needs expecttest")
    from torch.testing._internal.common_modules import module_db

    # The import forbids the whole process to set torch's flags, as runs in other tests do.
    torch.backends.flags_frozen.__globals__["__allow_nonbracketed_mutation_flag"] = True
    assert not torch.backends.flags_frozen()

    return {info.module_cls.__name__: info for info in module_db}


def inputs_of(info: Any, dtype: torch.dtype, training: bool) -> Iterator[tuple[str, Any, Any]]:
    """Name, constructor's arguments and forward's arguments of each of torch's inputs, always with the same values."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for given in info.module_inputs_func(info, device="cpu", dtype=dtype, requires_grad=True, training=training):
            yield given.desc, given.constructor_input, given.forward_input


def results(norm: Any, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """Output, gradients of a weighting of it, and the state afterwards."""
    x = x.detach().clone().requires_grad_()
    y = norm(x)
    leaves = {"x": x, **dict(norm.named_parameters())}
    weighting = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view(y.shape)
    found = torch.autograd.grad(y, list(leaves.values()), weighting)
    return {"output": y.detach(), **{f"gradient of {name}": g for name, g in zip(leaves, found)}, **norm.state_dict()}


@pytest.mark.parametrize("dtype", ROUNDING, ids=str)
@pytest.mark.parametrize("name", COUNTERPARTS)
def test_torchs_own_inputs(name: str, dtype: torch.dtype, infos: dict[str, Any]) -> None:
    if name not in infos:
        pytest.skip(f"this torch has no inputs for {name}")
    ran = []
    for training in (True, False):
        for desc, settings, arguments in inputs_of(infos[name], dtype, training):
            if desc in DIFFERENT:
                continue
            theirs = infos[name].module_cls(*settings.args, **settings.kwargs).to(dtype).train(training)
            ours = COUNTERPARTS[name](*settings.args, **settings.kwargs).to(dtype).train(training)
            with torch.no_grad():
                for index, parameter in enumerate(theirs.parameters()):
                    parameter.add_(torch.linspace(-0.5, 0.5 + index, parameter.numel()).view_as(parameter))
            ours.load_state_dict(theirs.state_dict(), strict=True)
            expected, got = (results(norm, arguments.args[0]) for norm in (theirs, ours))
            assert got.keys() == expected.keys(), desc
            if name.startswith("InstanceNorm") or desc == "zero_batch":
                expected.pop("num_batches_tracked", None)  # torch counts no batch there, and an empty one here
                got.pop("num_batches_tracked", None)
            for what, value in expected.items():
                torch.testing.assert_close(
                    got[what], value, rtol=ROUNDING[dtype], atol=ROUNDING[dtype],
                    msg=lambda text, what=what, desc=desc, training=training: f"{desc}, training={training}: {what}: {text}",
                )  # fmt: skip
            ran.append(desc)
    assert len(ran) >= 2
