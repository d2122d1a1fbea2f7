"""Checks that `normlib.fold` never returns another network: layers held elsewhere, read elsewhere, reached by other calls."""

from __future__ import annotations

import copy
import functools
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import normlib
from tests.conversion.networks import draw, lived_in

EXACT = 1e-5


def off_by(a: Tensor, b: Tensor) -> float:
    return float(((a - b).abs().max() / b.abs().max()).detach())


class Pair(nn.Module):
    """A convolution and its norm; subclasses hold or use them in ways that submodules do not show."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
        self.hold()

    def hold(self) -> None:
        pass

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x))


class InAList(Pair):
    def hold(self) -> None:
        self.layers = [self.conv, self.bn]

    def forward(self, x: Tensor) -> Tensor:
        return functools.reduce(lambda y, layer: layer(y), self.layers, x)


class InATuple(InAList):
    def hold(self) -> None:
        self.layers = (self.conv, self.bn)  # type: ignore[assignment]


class InANestedList(Pair):
    def hold(self) -> None:
        self.layers = [[self.conv], [[self.bn], {"act": torch.relu}]]

    def forward(self, x: Tensor) -> Tensor:
        return self.layers[1][1]["act"](self.layers[1][0][0](self.layers[0][0](x)))  # type: ignore[index]


class InADict(Pair):
    def hold(self) -> None:
        self.by_name = {"conv": self.conv, "bn": self.bn}

    def forward(self, x: Tensor) -> Tensor:
        return self.by_name["bn"](self.by_name["conv"](x))


class AsKeys(Pair):
    def hold(self) -> None:
        self.order = {self.conv: 0, self.bn: 1}

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.order:
            x = layer(x)
        return x


class InAPartial(Pair):
    def hold(self) -> None:
        self.second = functools.partial(lambda layer, x: layer(x), self.bn)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.conv(x))


class AnObject:
    def __init__(self, norm: nn.Module) -> None:
        self.norm = norm


class InAnObject(Pair):
    def hold(self) -> None:
        self.of = AnObject(self.bn)

    def forward(self, x: Tensor) -> Tensor:
        return self.of.norm(self.conv(x))


class ByName(Pair):
    def forward(self, x: Tensor) -> Tensor:
        return self.get_submodule("bn")(getattr(self, "con" + "v")(x))


class Alias(Pair):
    def hold(self) -> None:
        object.__setattr__(self, "alias", self.bn)

    def forward(self, x: Tensor) -> Tensor:
        return self.alias(self.conv(x))


class UnregisteredParent(Pair):
    def hold(self) -> None:
        self.stages = [nn.Sequential(self.conv, self.bn)]

    def forward(self, x: Tensor) -> Tensor:
        return self.stages[0](x)


FOLDED = [InAList, InATuple, InANestedList, InADict, AsKeys, InAPartial, InAnObject, ByName, Alias]


@pytest.mark.parametrize("kind", FOLDED)
def test_layers_that_are_held_elsewhere_too_are_replaced_there(kind: type[Pair]) -> None:
    model, x = lived_in(kind(), draw(4, 3, 5, 5, seed=1) + 1), draw(2, 3, 5, 5)
    before = model(x)
    folded = normlib.fold(model)
    assert off_by(folded(x), before) < EXACT and isinstance(folded.bn, nn.Identity)
    assert torch.equal(model(x), before) and isinstance(model.bn, nn.BatchNorm2d)


class BoundMethod(Pair):
    def hold(self) -> None:
        self.normalize = self.bn.forward

    def forward(self, x: Tensor) -> Tensor:
        return self.normalize(self.conv(x))


class InAClosure(Pair):
    def hold(self) -> None:
        bn = self.bn
        self.normalize = lambda x: bn(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.normalize(self.conv(x))


class ReadsScale(Pair):
    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x)) * self.bn.weight.view(-1, 1, 1)


class ReadsMean(Pair):
    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x)) - self.bn.running_mean.view(-1, 1, 1)


class ReadsEps(Pair):
    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x)) + self.bn.eps * 1e5


class AsksForABias(Pair):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return self.bn(y) if self.conv.bias is None else self.bn(y) * 2


class AsksForTheClass(Pair):
    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x)) * (2 if isinstance(self.bn, nn.BatchNorm2d) else 3)


class ReadsTiedWeights(Pair):
    def hold(self) -> None:
        self.other = nn.Conv2d(3, 3, 1)
        self.conv.weight = self.other.weight
        self.head = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(self.bn(self.conv(x)), self.conv.weight)


class ReadsPastGetattr(Pair):
    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x)) * self.bn._buffers["running_var"].mean()  # type: ignore[union-attr]


class KeepsTheOutput(Pair):
    def forward(self, x: Tensor) -> Tensor:
        self.last = self.conv(x)
        return self.bn(self.last)


class KeepsItInAList(Pair):
    def hold(self) -> None:
        self.seen: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        self.seen.append(y)
        return self.bn(y)


class HookOnTheParent(Pair):
    """A hook on a module around the convolution sees its output."""

    def __init__(self) -> None:
        super().__init__()
        self.around = nn.Sequential(self.conv)
        self.seen: list[Tensor] = []
        self.around.register_forward_hook(lambda module, args, y: self.seen.append(y))

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.around(x))


class PatchedForward(Pair):
    def hold(self) -> None:
        self.bn.forward = lambda x: x * 2  # type: ignore[method-assign]


class PatchedConvolution(Pair):
    def hold(self) -> None:
        self.conv._conv_forward = lambda x, weight, bias: x * 2  # type: ignore[method-assign]


class TensorForWeight(Pair):
    def hold(self) -> None:
        weight = self.conv.weight.detach()
        del self.conv.weight
        self.conv.weight = weight  # type: ignore[assignment]


class FunctionOfItsOwn(Pair):
    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return F.batch_norm(y, self.bn.running_mean, self.bn.running_var, self.bn.weight, self.bn.bias)


class WithinALeaf(Pair):
    """What torch's encoder layer does with the norm is not seen by torch.fx, which takes the layer for one call."""

    def hold(self) -> None:
        self.encoder = nn.TransformerEncoderLayer(3, 1, 4, batch_first=True)
        self.encoder.norm1 = self.bn  # type: ignore[assignment]

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn(self.conv(x))
        return y if x.shape[0] < 99 else self.encoder(y)


LEFT: dict[type[Pair], str] = {
    BoundMethod: "not called by the model's forward|weights of bn are used elsewhere",
    ReadsScale: "the weights of bn are used elsewhere",
    ReadsMean: "the weights of bn are used elsewhere",
    ReadsEps: "the forward reads what folding would change .*eps",
    AsksForABias: "the forward would go another way",
    AsksForTheClass: "the forward would go another way",
    ReadsTiedWeights: "the weights of conv are used elsewhere",
    ReadsPastGetattr: "the weights of bn are used elsewhere|the forward",
    KeepsTheOutput: "the output of conv is used elsewhere",
    KeepsItInAList: "the output of conv is used elsewhere",
    HookOnTheParent: "the output of (conv|around.0) is used elsewhere",
    PatchedForward: "behaviour of its own",
    PatchedConvolution: "no convolution or linear layer of a known kind",
    TensorForWeight: "no convolution or linear layer of a known kind",
    WithinALeaf: "bn is also within encoder, which cannot be looked into",
    FunctionOfItsOwn: "not called by the model's forward",
}


@pytest.mark.parametrize("kind", LEFT)
def test_what_folding_would_change_elsewhere_is_left_with_the_reason(kind: type[Pair]) -> None:
    torch.manual_seed(0)
    odd = kind()
    with pytest.raises(ValueError, match=f"(?s)nothing can be folded.*{LEFT[kind]}"):
        normlib.fold(copy.deepcopy(odd).eval())
    model = lived_in(nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.Sigmoid(), odd), draw(4, 3, 3, 3, seed=1))
    x = draw(2, 3, 3, 3)
    folded = normlib.fold(model)
    assert isinstance(folded[1], nn.Identity) and normlib.conversion_report(folded).left[0].path.startswith("3.")
    with torch.no_grad():
        assert off_by(folded(x), model(x)) < EXACT


@pytest.mark.parametrize("kind", [InAClosure, UnregisteredParent])
def test_a_module_that_cannot_be_followed_is_refused(kind: type[Pair]) -> None:
    with pytest.raises(ValueError, match=r"cannot be found by tracing it|nothing can be folded"):
        normlib.fold(kind().eval())


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
    with pytest.raises(ValueError, match="the output of conv is used elsewhere"):
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
    assert isinstance(folded.bns[0], nn.Identity) and off_by(folded(x), model(x)) < EXACT
    assert off_by(folded(x, domain=0), model(x)) < EXACT, "its default is no other call"
    for copied in (folded, copy.deepcopy(folded), pickle.loads(pickle.dumps(folded))):
        with pytest.raises(ValueError, match="without a look at calls with domain given.*example_inputs"):
            copied(x, domain=1)
    shown = normlib.fold(model, example_inputs=[x, {"x": x, "domain": 1}])
    report = normlib.conversion_report(shown)
    assert [row.path for row in report.left] == ["bns.0", "bns.1"] and "the output of conv is used elsewhere" in str(
        report
    )
    for domain in (0, 1):
        assert off_by(shown(x, domain), model(x, domain)) < EXACT
    with pytest.raises(ValueError, match="calls with domain given"):
        shown(x, -1)


class Variable(Pair):
    def forward(self, x: Tensor, *more: Tensor, scale: float = 1.0, **named: Any) -> Tensor:
        return self.bn(self.conv(x)) * scale


def test_arguments_of_any_number_are_refused_where_the_model_was_followed_without() -> None:
    model, x = lived_in(Variable(), draw(4, 3, 5, 5, seed=1)), draw(2, 3, 5, 5)
    folded = normlib.fold(model)
    assert off_by(folded(x, scale=2.0), model(x, scale=2.0)) < EXACT
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


@pytest.mark.parametrize(("inputs", "message"), [([], "is an empty list"), (3, "but a int came")])
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
    assert off_by(folded(x), model(x)) < 1e-12 and not normlib.conversion_report(folded).left
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
    assert off_by(normlib.fold(model)(draw(3, 4, 5)), model(draw(3, 4, 5))) < EXACT


def test_an_unbatched_input_whose_channels_the_norm_mistook_is_refused() -> None:
    model = lived_in(nn.Sequential(nn.Conv1d(3, 4, 1), nn.BatchNorm1d(4)), draw(5, 3, 4, seed=1))
    assert model(draw(3, 4)).shape == (4, 4)  # its positions are taken for channels
    with pytest.raises(ValueError, match=r"right for \(N, C, L\) only, but \(4, 4\) came"):
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
    assert off_by(normlib.fold(model)(x), model(x)) < EXACT


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
        assert off_by(again(x), model(x)) < EXACT
