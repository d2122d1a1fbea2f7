"""Checks that `normlib.convert` replaces a norm wherever a model holds it, or refuses, and says what it did to the function."""

from __future__ import annotations

import copy
import functools
import weakref
from collections import deque, namedtuple
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import normlib
from tests.conversion.networks import draw, lived_in, resnet18

Both = namedtuple("Both", ["first", "second"])


class Holder:
    def __init__(self, norm: nn.Module) -> None:
        self.norm = norm


class Model(nn.Module):
    """One norm, held a second time as a case says, and called there."""

    def __init__(self, hold: Callable[[nn.Module], Any], get: Callable[[Any], Any]) -> None:
        super().__init__()
        self.bn = nn.BatchNorm1d(4)
        self.held, self.get = hold(self.bn), get

    def forward(self, x: Tensor) -> Tensor:
        return self.get(self.held)(x)


def in_closure(norm: nn.Module) -> Callable[[Tensor], Tensor]:
    return lambda x: norm(x)


def in_default(norm: nn.Module) -> Callable[..., Tensor]:
    def call(x: Tensor, layer: nn.Module = norm) -> Tensor:
        return layer(x)

    return call


CASES: dict[str, tuple[Callable[[nn.Module], Any], Callable[[Any], Any]]] = {
    "list": (lambda norm: [norm], lambda held: held[0]),
    "tuple": (lambda norm: (None, norm), lambda held: held[1]),
    "named tuple": (lambda norm: Both(norm, 1), lambda held: held.first),
    "dict": (lambda norm: {"norm": norm}, lambda held: held["norm"]),
    "key of a dict": (lambda norm: {norm: 1}, lambda held: next(iter(held))),
    "set": (lambda norm: {norm}, lambda held: next(iter(held))),
    "frozen set": (lambda norm: frozenset([norm]), lambda held: next(iter(held))),
    "deque": (lambda norm: deque([norm]), lambda held: held[0]),
    "nested": (lambda norm: [({"a": [norm]},)], lambda held: held[0][0]["a"][0]),
    "bound method": (lambda norm: norm.forward, lambda held: held),
    "partial": (lambda norm: functools.partial(nn.Module.__call__, norm), lambda held: held),
    "closure": (in_closure, lambda held: held),
    "default": (in_default, lambda held: held),
    "object": (Holder, lambda held: held.norm),
    "weak reference": (weakref.ref, lambda held: held()),
    "sequential that is no submodule": (lambda norm: [nn.Sequential(norm)], lambda held: held[0]),
}


@pytest.mark.parametrize("case", CASES)
def test_a_norm_is_replaced_wherever_it_is_held(case: str) -> None:
    model = normlib.convert(Model(*CASES[case]), "group", num_groups=2)
    x = draw(6, 4)
    assert torch.equal(model(x), model.bn(x)) and isinstance(model.bn, normlib.GroupNorm)
    assert not torch.allclose(model(x), nn.BatchNorm1d(4)(x))


def test_a_norm_that_is_in_a_plain_list_alone_is_found() -> None:
    model = nn.Sequential(nn.BatchNorm1d(4))
    model.more = [nn.LayerNorm(4)]
    normlib.convert(model, "group")
    assert isinstance(model.more[0], normlib.GroupNorm)
    assert [row.path for row in normlib.conversion_report(model).rows] == ["0", "more[0]"]
    model.more = [nn.LayerNorm((3, 4))]
    with pytest.raises(ValueError, match=r"more\[0\] has a scale and shift for each of \(3, 4\) elements"):
        normlib.convert(model, "layer")


def test_a_method_that_the_new_norm_has_not_is_refused_before_anything_changes() -> None:
    model = Model(lambda norm: norm._check_input_dim, lambda held: held)
    norm = model.bn
    with pytest.raises(
        ValueError, match="held is its method _check_input_dim, which GroupNorm does not have"
    ) as raised:
        normlib.convert(model, "group")
    assert model.bn is norm and "nothing was changed" in str(raised.value)


def test_what_is_skipped_keeps_the_old_norm_in_every_place() -> None:
    shared = nn.BatchNorm1d(4)
    model = nn.ModuleDict({"a": nn.Sequential(shared), "b": nn.Sequential(shared)})
    model["b"].held = [shared]
    normlib.convert(model, "group", skip=["b"])
    assert isinstance(model["a"][0], normlib.GroupNorm) and model["b"][0] is shared and model["b"].held == [shared]


class CallsFunctions(nn.Module):
    """Norms that are no layers: one with numbers of its own, one that standardizes weights."""

    def __init__(self) -> None:
        super().__init__()
        self.bn = nn.BatchNorm1d(4)
        self.scale, self.kernel = nn.Parameter(torch.ones(4)), nn.Parameter(torch.ones(4, 4))

    def forward(self, x: Tensor) -> Tensor:
        kernel = torch.nn.functional.layer_norm(self.kernel, (4,))
        return F.batch_norm(self.bn(x), None, None, self.scale, training=True) @ kernel


def test_calls_of_norm_functions_are_named() -> None:
    report = normlib.conversion_report(normlib.convert(nn.Sequential(CallsFunctions()), "group"))
    assert [(row.path, row.changed) for row in report.left] == [
        ("0", ("it calls F.layer_norm, F.batch_norm, a function, which cannot be replaced",))
    ]
    alone = CallsFunctions()
    alone.bn = nn.Identity()  # type: ignore[assignment]
    with pytest.raises(
        ValueError, match="no normalization layer.*the model: it calls F.layer_norm, F.batch_norm, a function"
    ):
        normlib.convert(alone, "group")


class SimpleNorm(nn.Module):
    """As timm's with affine=False."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.var(-1, keepdim=True) + 1e-6)


def test_a_norm_without_numbers_is_named() -> None:
    (row,) = normlib.conversion_report(normlib.convert(nn.Sequential(nn.LayerNorm(4), SimpleNorm()), "group")).left
    assert row.path == "1" and "calls itself a norm, but has no numbers" in row.changed[0]


def test_another_method_is_another_function_and_the_report_says_so_with_figures() -> None:
    model, x = resnet18(), draw(2, 3, 64, 64)
    before = copy.deepcopy(model)(x)
    report = normlib.conversion_report(normlib.convert(model, "group", num_groups=4, example_inputs=x))
    moved = float(((model(x) - before).abs().max() / before.abs().max()).detach())
    gone, figure, advice = report.notes
    assert gone.startswith(
        "the function that the trained weights computed is gone: 20 of 20 layers were batch and are group now"
    )
    assert figure == f"the output on the example inputs moved by {moved:.2g} of its largest value" and moved > 0.1
    assert "train the model before you use it" in advice and "is gone" in str(report)


@pytest.mark.parametrize(("target", "settings"), [("batch", {}), ("batch_renorm", {"schedule": None})])
def test_the_same_function_is_said_to_be_so(target: str, settings: dict[str, Any]) -> None:
    model = normlib.convert(resnet18(), target, example_inputs=draw(2, 3, 64, 64), **settings)
    (note,) = normlib.conversion_report(model).notes
    assert float(note.split("moved by ")[1].split()[0]) < 1e-4


def test_a_model_that_was_never_trained_loses_nothing() -> None:
    assert not normlib.conversion_report(normlib.convert(nn.Sequential(nn.BatchNorm1d(4)), "group")).notes
    other_groups = normlib.convert(lived_in(nn.GroupNorm(2, 4), draw(3, 4)), "group", num_groups=4 // 4)
    assert "1 of 1 layers were group" in normlib.conversion_report(other_groups).notes[0]


def test_the_largest_number_of_groups_that_fits() -> None:
    model = nn.ModuleList([nn.BatchNorm2d(channels) for channels in (64, 48, 20, 7, 1)])
    normlib.convert(model, "group", num_groups_at_most=32)
    assert [norm.num_groups for norm in model] == [32, 24, 20, 7, 1]


@pytest.mark.parametrize(
    ("target", "settings", "message"),
    [
        ("layer", {"num_groups_at_most": 8}, "is for norms with num_groups, which 'layer' does not have"),
        ("group", {"num_groups_at_most": 0}, "a whole number from 1, got 0"),
        ("group", {"num_groups_at_most": 8, "group_size": 2}, "num_groups_at_most and group_size both say"),
        (
            "group",
            {"known": {nn.Linear: "rmsnorm"}},
            "known={Linear: 'rmsnorm'}: no norm is named 'rmsnorm'; did you mean 'rms'",
        ),
        ("group", {"example_inputs": []}, "example_inputs is an empty list"),
    ],
)
def test_bad_options(target: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        normlib.convert(nn.Sequential(nn.BatchNorm1d(4)), target, **settings)
