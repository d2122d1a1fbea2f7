"""Networks that hold, read or call their layers in ways that their submodules do not show, and what folding says of each."""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn
from torch.nn import functional as F


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
    BoundMethod: "not called by the model's forward|weights of bn are also used elsewhere",
    ReadsScale: "the weights of bn are also used elsewhere",
    ReadsMean: "the weights of bn are also used elsewhere",
    ReadsEps: "the forward reads what folding would change .*eps",
    AsksForABias: "the forward would take another path",
    AsksForTheClass: "the forward would take another path",
    ReadsTiedWeights: "the weights of conv are also used elsewhere",
    ReadsPastGetattr: "the weights of bn are also used elsewhere|the forward",
    KeepsTheOutput: "the output of conv is also used elsewhere",
    KeepsItInAList: "the output of conv is also used elsewhere",
    HookOnTheParent: "the output of (conv|around.0) is also used elsewhere",
    PatchedForward: "behaviour of its own",
    PatchedConvolution: "which is not a convolution or linear layer of a known kind",
    TensorForWeight: "which is not a convolution or linear layer of a known kind",
    WithinALeaf: "bn is also inside encoder, which cannot be traced",
    FunctionOfItsOwn: "not called by the model's forward",
}
