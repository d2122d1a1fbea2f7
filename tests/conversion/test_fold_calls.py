"""Checks that `normlib.fold` never returns another network: other calls, example inputs, layers and norms of other shapes."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import normlib
from tests.conversion.hidden_uses import Pair
from tests.conversion.networks import EXACT, draw, lived_in, relative_difference


class Optional(Pair):
    """Arguments that are mostly left out reach other layers."""

    def forward(self, x: Tensor, return_feat: bool = False, scale: Tensor | None = None) -> Any:
        y = self.conv(x)
        z = self.bn(y)
        if scale is not None:
            z = z * scale + y
        return (z, y) if return_feat else z


class Domains(nn.Module):
    """A norm for each domain behind one convolution; a domain is an index, which cannot be followed for all values."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bns = nn.Conv2d(3, 3, 1), nn.ModuleList(nn.BatchNorm2d(3) for _ in range(2))
        self.last, self.last_bn = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, x: Tensor, domain: int = 0) -> Tensor:
        return self.last_bn(self.last(self.bns[domain](self.conv(x)).relu()))


def test_optional_arguments_are_followed() -> None:
    with pytest.raises(ValueError, match="the output of conv is also used elsewhere"):
        normlib.fold(Optional().eval())


def domains() -> nn.Module:
    model = Domains()
    for _ in range(2):
        lived_in(model, draw(4, 3, 5, 5, seed=1))
        model.bns = nn.ModuleList(reversed(model.bns))  # type: ignore[arg-type]
    return model


def test_a_call_that_could_not_be_followed_is_refused_until_an_example_shows_it() -> None:
    model, x = domains(), draw(2, 3, 5, 5)
    folded = normlib.fold(model)
    assert isinstance(folded.bns[0], nn.Identity) and relative_difference(folded(x), model(x)) < EXACT
    assert relative_difference(folded(x, domain=0), model(x)) < EXACT, "its default is no other call"
    for copied in (folded, copy.deepcopy(folded), pickle.loads(pickle.dumps(folded))):
        with pytest.raises(ValueError, match="without a look at calls with domain given.*example_inputs"):
            copied(x, domain=1)
    shown = normlib.fold(model, example_inputs=[x, {"x": x, "domain": 1}])
    report = normlib.conversion_report(shown)
    assert [row.path for row in report.left] == [
        "bns.0",
        "bns.1",
    ] and "the output of conv is also used elsewhere" in str(report)
    for domain in (0, 1):
        assert relative_difference(shown(x, domain), model(x, domain)) < EXACT
    with pytest.raises(ValueError, match="calls with domain given"):
        shown(x, -1)


class Variable(Pair):
    def forward(self, x: Tensor, *more: Tensor, scale: float = 1.0, **named: Any) -> Tensor:
        return self.bn(self.conv(x)) * scale


def test_arguments_of_any_number_are_refused_where_the_model_was_followed_without() -> None:
    model, x = lived_in(Variable(), draw(4, 3, 5, 5, seed=1)), draw(2, 3, 5, 5)
    folded = normlib.fold(model)
    assert relative_difference(folded(x, scale=2.0), model(x, scale=2.0)) < EXACT
    with pytest.raises(ValueError, match="calls with more given"):
        folded(x, x)
    with pytest.raises(ValueError, match="calls with named given"):
        folded(x, other=x)


class Sneaks(Pair):
    """Catches the error of the trace and goes another way then."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        try:
            large = float(x.abs().mean()) > 0
        except TypeError:
            large = False
        return self.bn(y) + y if large else self.bn(y)


def test_example_inputs_find_what_the_trace_cannot_see() -> None:
    model, x = lived_in(Sneaks(), draw(4, 3, 5, 5, seed=1)), draw(2, 3, 5, 5)
    with pytest.raises(ValueError, match="the output on the example inputs would move by"):
        normlib.fold(model, example_inputs=x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_example_inputs_prove_and_the_report_says_how_far_the_output_moved(dtype: torch.dtype) -> None:
    model = lived_in(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()), draw(4, 3, 9, 9, seed=1)).to(
        dtype
    )
    x = draw(2, 3, 9, 9).to(dtype)
    for inputs in (x, (x,), {"input": x}, [x, (x,)]):
        report = normlib.conversion_report(normlib.fold(model, example_inputs=inputs))
        assert not report.left and "the output on the example inputs moved by" in str(report)


@pytest.mark.parametrize(("inputs", "message"), [([], "is an empty list"), (3, "but got a int")])
def test_bad_examples(inputs: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        normlib.fold(Pair().eval(), example_inputs=inputs)


def between(layer: nn.Module, op: Callable[[Tensor], Tensor], norm: nn.Module) -> nn.Module:
    class Between(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.norm = layer, norm

        def forward(self, x: Tensor) -> Tensor:
            return self.norm(op(self.layer(x)))

    return Between()


MOVED: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], tuple[int, ...] | None]] = {
    "Linear, flatten(0, 1)": (lambda: between(nn.Linear(5, 4), lambda y: y.flatten(0, 1), nn.BatchNorm1d(4)), (3, 4, 5), (3, 2, 4, 5)),
    "Linear, torch.flatten": (lambda: between(nn.Linear(5, 4), lambda y: torch.flatten(y, 0, 1), nn.BatchNorm1d(4)), (3, 4, 5), (3, 2, 4, 5)),
    "Linear, transpose(1, 2)": (lambda: between(nn.Linear(5, 4), lambda y: y.transpose(1, 2), nn.BatchNorm1d(4)), (3, 4, 5), None),
    "Linear, transpose(1, 2), 4 dims": (lambda: between(nn.Linear(5, 4), lambda y: y.transpose(1, 2), normlib.BatchNorm(4)), (3, 4, 5), (3, 2, 4, 5)),
    "Linear, transpose(-1, 1)": (lambda: between(nn.Linear(5, 4), lambda y: y.transpose(-1, 1), normlib.BatchNorm(4)), (3, 4, 4, 5), None),
    "Linear, permute": (lambda: between(nn.Linear(5, 4), lambda y: y.permute(0, 3, 1, 2), nn.BatchNorm2d(4)), (3, 2, 2, 5), None),
    "Linear, movedim": (lambda: between(nn.Linear(5, 4), lambda y: y.movedim(-1, 1).contiguous(), nn.BatchNorm2d(4)), (3, 2, 2, 5), None),
    "Linear, reshape": (lambda: between(nn.Linear(5, 4), lambda y: y.reshape(-1, 4), nn.BatchNorm1d(4)), (3, 2, 2, 5), None),
    "Linear, view by size": (lambda: between(nn.Linear(5, 4), lambda y: y.view(y.shape[0] * y.shape[1], y.size(2)), nn.BatchNorm1d(4)), (3, 2, 5), None),
    "Conv, flatten(2)": (lambda: between(nn.Conv2d(3, 4, 1), lambda y: y.flatten(2), nn.BatchNorm1d(4)), (3, 3, 2, 2), None),
    "Conv, permute": (lambda: between(nn.Conv2d(3, 4, 1), lambda y: y.permute(0, 2, 3, 1), normlib.BatchNorm(4, channel_dim=-1)), (3, 3, 4, 4), None),
    "Conv, permute, reshape": (lambda: between(nn.Conv2d(3, 4, 1), lambda y: y.permute(0, 2, 3, 1).reshape(-1, 4), nn.BatchNorm1d(4)), (3, 3, 2, 2), None),
    "nn.Flatten": (lambda: nn.Sequential(nn.Linear(5, 4), nn.Flatten(0, 1), nn.BatchNorm1d(4)), (3, 4, 5), (3, 2, 4, 5)),
}  # fmt: skip
MIXED: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "Linear, flatten(1)": (lambda: between(nn.Linear(5, 4), lambda y: y.flatten(1), nn.BatchNorm1d(8)), (3, 2, 5)),
    "Conv, flatten(1)": (lambda: between(nn.Conv1d(3, 4, 1), lambda y: y.flatten(1), nn.BatchNorm1d(8)), (3, 3, 2)),
    "Linear, 3 dims": (lambda: between(nn.Linear(5, 4), lambda y: y.transpose(0, 1), normlib.BatchNorm(4)), (4, 3, 5)),
    "Conv, transpose": (lambda: between(nn.Conv1d(3, 4, 1), lambda y: y.transpose(1, 2), normlib.BatchNorm(4)), (3, 3, 4)),
    "Conv, reshape": (lambda: between(nn.Conv1d(3, 4, 1), lambda y: y.reshape(-1, 4), nn.BatchNorm1d(4)), (4, 3, 4)),
    "Linear, flatten(0)": (lambda: between(nn.Linear(5, 4), lambda y: y.unflatten(0, (2, 2)), normlib.BatchNorm(4, channel_dim=-1)), (4, 5)),
}  # fmt: skip


@pytest.mark.parametrize("case", MOVED)
def test_a_norm_behind_a_flattened_or_transposed_output_is_folded(case: str) -> None:
    build, shape, wrong = MOVED[case]
    torch.manual_seed(0)
    model, x = lived_in(build(), draw(*shape, seed=1) + 1).double(), draw(*shape).double()
    folded = normlib.fold(model, example_inputs=x)
    assert relative_difference(folded(x), model(x)) < 1e-12 and not normlib.conversion_report(folded).left
    if wrong is not None:  # with as many dimensions the norm took others for its channels, or refused
        with pytest.raises(ValueError, match="is right for"):
            folded(draw(*wrong).double())


@pytest.mark.parametrize("case", MIXED)
def test_a_norm_whose_channels_are_not_the_layers_is_left(case: str) -> None:
    build, shape = MIXED[case]
    model = lived_in(build(), draw(*shape, seed=1))
    with pytest.raises(ValueError, match="its channels are not those of|it follows"):
        normlib.fold(model)


def test_a_residual_of_the_same_shape_only_reads_the_shape() -> None:
    class LinearNorm(Pair):
        def hold(self) -> None:
            self.linear, self.bn = nn.Linear(5, 4), nn.BatchNorm1d(4)  # type: ignore[assignment]

        def forward(self, x: Tensor) -> Tensor:
            y = self.linear(x)
            return self.bn(y.flatten(0, 1)).reshape_as(y)

    model = lived_in(LinearNorm(), draw(3, 4, 5, seed=1))
    assert relative_difference(normlib.fold(model)(draw(3, 4, 5)), model(draw(3, 4, 5))) < EXACT


def test_an_unbatched_input_whose_channels_the_norm_mistook_is_refused() -> None:
    model = lived_in(nn.Sequential(nn.Conv1d(3, 4, 1), nn.BatchNorm1d(4)), draw(5, 3, 4, seed=1))
    assert model(draw(3, 4)).shape == (4, 4)  # its positions are taken for channels
    with pytest.raises(ValueError, match=r"right for \(N, C, L\) only, but got \(4, 4\)"):
        normlib.fold(model)(draw(3, 4))


class BuiltDifferently(nn.Conv3d):
    """As torchvision's in r3d_18: another constructor, and a method more."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, (1, 3, 3), padding=(0, 1, 1), bias=False)

    @staticmethod
    def get_downsample_stride(stride: int) -> tuple[int, int, int]:
        return 1, stride, stride


def test_a_convolution_that_is_only_built_differently_takes_a_norm() -> None:
    model = lived_in(nn.Sequential(BuiltDifferently(3), nn.BatchNorm3d(3)), draw(2, 3, 2, 4, 4, seed=1))
    x = draw(2, 3, 2, 4, 4)
    assert relative_difference(normlib.fold(model)(x), model(x)) < EXACT


class ChecksShapes(Pair):
    """The ways in which models refuse an input, segmentation_models' among them."""

    def forward(self, x: Any) -> Tensor:
        if not isinstance(x, Tensor):
            raise TypeError(f"a tensor is wanted, not a {type(x)}")
        height, width = x.shape[-2:]
        if height % 2 != 0 or width % 2 != 0:
            new = (height // 2 + 1) * 2 if height % 2 != 0 else height
            raise RuntimeError(f"Wrong input shape height={height}, width={width}, pad to {new}")
        if x.shape[1] != 3:
            raise IndexError("{:d} channels".format(x.shape[1]))  # noqa: UP032 - as older code has it
        return self.bn(self.conv(x))


def test_no_way_of_refusing_an_input_hinders() -> None:
    assert isinstance(normlib.fold(ChecksShapes().eval()).bn, nn.Identity)


class CallsFunctions(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pair = Pair()
        self.register_buffer("mean", torch.zeros(3))
        self.register_buffer("var", torch.ones(3))

    def forward(self, x: Tensor) -> Tensor:
        return torch.nn.functional.batch_norm(self.pair(x), self.mean, self.var)


def test_batch_norm_as_a_function_is_named() -> None:
    report = normlib.conversion_report(normlib.fold(nn.Sequential(CallsFunctions()).eval()))
    assert [(row.path, row.changed) for row in report.left] == [
        ("0", ("it calls F.batch_norm, a function, which fold leaves",))
    ]
    model = CallsFunctions()
    model.pair = nn.Identity()  # type: ignore[assignment]
    with pytest.raises(ValueError, match="no batch norm in this CallsFunctions.*it calls F.batch_norm, a function"):
        normlib.fold(model.eval())


def test_a_folded_model_can_be_traced_and_compiled() -> None:
    model = lived_in(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)), draw(9, 3, seed=1))
    folded, x = normlib.fold(model), draw(5, 3)
    for again in (torch.fx.symbolic_trace(folded), torch.compile(folded, backend="eager", fullgraph=True)):
        assert relative_difference(again(x), model(x)) < EXACT
