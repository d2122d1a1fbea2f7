"""Checks that `normlib.to_torch` gives torch.nn's layers with the same state and outputs, names the rest, and that tools know them."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn

import normlib
from normlib.norms import norms
from tests.conversion.networks import draw, lived_in, resnet18

SAME: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], type[nn.Module]]] = {
    "batch, (N, C)": (lambda: normlib.BatchNorm(4), (5, 4), nn.BatchNorm1d),
    "batch, (N, C, L)": (lambda: normlib.BatchNorm(4, momentum=None), (5, 4, 3), nn.BatchNorm1d),
    "batch, images": (lambda: normlib.BatchNorm(4, eps=1e-3, momentum=0.3), (5, 4, 3, 3), nn.BatchNorm2d),
    "batch, volumes": (lambda: normlib.BatchNorm(4, affine=False), (5, 4, 3, 3, 2), nn.BatchNorm3d),
    "batch, untracked": (lambda: normlib.BatchNorm(4, track_running_stats=False), (5, 4, 3, 3), nn.BatchNorm2d),
    "batch, (N, C), last": (lambda: normlib.BatchNorm(4, channel_dim=-1), (5, 4), nn.BatchNorm1d),
    "batch, synchronized": (lambda: normlib.BatchNorm(4, sync=True), (5, 4, 3), nn.SyncBatchNorm),
    "instance": (lambda: normlib.InstanceNorm(4, track_running_stats=True), (5, 4, 3, 3), nn.InstanceNorm2d),
    "instance, plain": (lambda: normlib.InstanceNorm(4, affine=False), (5, 4, 6), nn.InstanceNorm1d),
    "group": (lambda: normlib.GroupNorm(4, num_groups=2, eps=1e-4), (5, 4, 3), nn.GroupNorm),
    "layer over samples": (lambda: normlib.LayerNorm(4), (5, 4, 3, 3), nn.GroupNorm),
    "layer over positions": (lambda: normlib.LayerNorm(4, scope="position", channel_dim=-1), (5, 3, 4), nn.LayerNorm),
    "layer, (N, C)": (lambda: normlib.LayerNorm(4), (5, 4), nn.LayerNorm),
    "rms": (lambda: normlib.create("rms", 4, scope="position", channel_dim=-1), (5, 3, 4), nn.RMSNorm),
    "rms, (N, C)": (lambda: normlib.create("rms", 4), (5, 4), nn.RMSNorm),
    "none": (lambda: normlib.create("none", 4), (5, 4, 3), nn.Identity),
}


@pytest.mark.parametrize("case", SAME)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_layer_of_torch_has_the_same_state_and_outputs(case: str, dtype: torch.dtype) -> None:
    build, shape, cls = SAME[case]
    model = nn.Sequential(lived_in(build().to(dtype), draw(*shape, seed=1).to(dtype) + 1))
    state = copy.deepcopy(model.state_dict())
    x = draw(*shape).to(dtype)
    plain = normlib.to_torch(model, example_inputs=x)
    assert type(plain[0]) is cls and not isinstance(plain[0], normlib.Norm) and isinstance(model[0], normlib.Norm)
    assert list(plain.state_dict()) == list(state)
    assert all(torch.equal(value, state[name]) for name, value in plain.state_dict().items())
    close: dict[str, Any] = {"rtol": 1e-5, "atol": 1e-5} if dtype is torch.float32 else {"rtol": 1e-11, "atol": 1e-11}
    torch.testing.assert_close(plain(x), model(x), **close)
    assert not normlib.conversion_report(plain).left
    if cls is nn.SyncBatchNorm:  # trains on a GPU only
        return
    torch.testing.assert_close(plain.train()(x), model.train()(x), **close)
    for name, value in plain.state_dict().items():
        if cls is not nn.InstanceNorm2d or "tracked" not in name:  # torch's instance norm does not count
            torch.testing.assert_close(value, model.state_dict()[name], **close)


def test_every_norm_becomes_torchs_or_is_named() -> None:
    for entry in norms.entries():
        if getattr(entry.cls, "slot", "norm") == "norm":
            layer = entry.cls(8)
            report = normlib.conversion_report(normlib.to_torch(nn.Sequential(layer)))
            assert len(report.rows) == 1 and (report.rows[0].became or report.rows[0].changed[0])


def switched(norm: Any, **values: Any) -> nn.Module:
    for name, value in values.items():
        setattr(norm, name, value)
    return norm


def hooked() -> nn.Module:
    norm = normlib.BatchNorm(4)
    norm.register_forward_hook(lambda *_: None)
    return norm


OTHERS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "frozen": (lambda: switched(normlib.BatchNorm(4), statistics="running"), 'its statistics are "running"'),
    "batch": (lambda: switched(normlib.BatchNorm(4), statistics="batch"), 'its statistics are "batch"'),
    "ghost": (lambda: switched(normlib.BatchNorm(4), norm_batch_size=2), "part of the batch"),
    "guard": (lambda: normlib.BatchNorm(4, guard=True), "batches that are not finite"),
    "renorm": (lambda: normlib.BatchRenorm(4), r"convert\(model, 'batch'\)"),
    "channels last": (lambda: normlib.BatchNorm(4, channel_dim=-1), "its channels are in the last dimension"),
    "group, last": (lambda: normlib.GroupNorm(4, channel_dim=-1), "its channels are in the last dimension"),
    "layer, first": (lambda: normlib.LayerNorm(4, scope="position"), "its channels are in dimension 1"),
    "rms over samples": (lambda: normlib.create("rms", 4), "over the channels of a position only"),
    "instance, mean": (
        lambda: normlib.InstanceNorm(4, track_running_stats=True, momentum=None),
        "the mean of all batches",
    ),
    "hooks": (hooked, "it has hooks"),
    "frn": (lambda: normlib.create("frn", 4), "no such layer"),
    "subclass": (lambda: type("Mine", (normlib.BatchNorm,), {})(4), "no such layer"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_what_torch_has_not_stays_with_the_reason(case: str) -> None:
    build, reason = OTHERS[case]
    odd = build()
    plain = normlib.to_torch(nn.Sequential(nn.Conv2d(3, 4, 1), normlib.GroupNorm(4), odd))
    assert type(plain[1]) is nn.GroupNorm and type(plain[2]) is type(odd)
    (row,) = normlib.conversion_report(plain).left
    assert row.path == "2"
    assert re.search(reason, row.changed[0])


def test_statistics_that_stand_still_stand_still_in_torch() -> None:
    norm = lived_in(switched(normlib.BatchNorm(4), update_running=False), draw(5, 4) + 1)
    plain = normlib.to_torch(norm, example_inputs=draw(5, 4))
    x = draw(6, 4)
    assert type(plain) is nn.BatchNorm1d
    torch.testing.assert_close(plain(x), norm(x))
    torch.testing.assert_close(plain.train()(x), norm.train()(x), rtol=1e-5, atol=1e-5)
    assert torch.equal(plain.running_mean, norm.running_mean)


class Masks(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.unused, self.both = normlib.BatchNorm(4), normlib.BatchNorm(4), normlib.BatchNorm(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.both(x), x[:, 0] > 0) + self.both(x[..., None])[..., 0]


def test_what_a_run_on_the_examples_shows() -> None:
    report = normlib.conversion_report(normlib.to_torch(Masks(), example_inputs=draw(5, 4, 3)))
    assert [row.changed for row in report.left] == [
        ("it is called with a mask",),
        ("the example inputs do not reach it",),
        ("torch.nn has no one class for inputs of 3 and 4 dimensions",),
    ]


def test_without_examples_the_convolutions_tell() -> None:
    images = normlib.to_torch(nn.Sequential(nn.Conv2d(3, 4, 1), normlib.BatchNorm(4)))
    flat = normlib.to_torch(nn.Sequential(nn.Linear(3, 4), normlib.BatchNorm(4)))
    assert (type(images[1]), type(flat[1])) == (nn.BatchNorm2d, nn.BatchNorm1d)
    with pytest.raises(ValueError, match="convolutions over inputs of 3 and 4 dimensions.*give example_inputs"):
        normlib.to_torch(nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv1d(3, 4, 1), normlib.BatchNorm(4)))
    with pytest.raises(ValueError, match="no norm of normlib in this Linear"):
        normlib.to_torch(nn.Linear(3, 4))


class AsksForTheClass(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = normlib.BatchNorm(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x) * (2 if isinstance(self.norm, normlib.Norm) else 3)


def test_outputs_that_would_be_others_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"would move by 0\.5 of its largest value"):
        normlib.to_torch(AsksForTheClass(), example_inputs=draw(5, 4))


def test_a_list_and_a_shared_norm_are_replaced_everywhere() -> None:
    shared = normlib.GroupNorm(4)
    model = nn.ModuleDict({"a": shared, "b": nn.Sequential(shared)})
    model.held = [shared]
    plain = normlib.to_torch(model)
    assert type(plain["a"]) is nn.GroupNorm and plain["a"] is plain["b"][0] is plain.held[0]


@pytest.mark.filterwarnings(
    "ignore:.*torch.jit.script_method.*:DeprecationWarning"
)  # the module of torch's fusing has one
def test_torchs_own_tools_know_the_layers() -> None:
    model = resnet18(normlib.BatchNorm)
    plain, x = normlib.to_torch(model), draw(2, 3, 64, 64)
    from torch.fx.experimental.optimization import fuse

    names = {type(module).__name__ for module in fuse(fx.symbolic_trace(plain)).modules()}
    assert "BatchNorm2d" not in names and "BatchNorm" not in names
    again = normlib.convert(copy.deepcopy(plain), "batch")
    assert torch.equal(again(x), plain(x)) and list(again.state_dict()) == list(model.state_dict())
