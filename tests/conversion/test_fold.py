"""Checks `normlib.fold`: the same outputs with fewer layers, what it refuses to fold and why, and that the model stays."""

from __future__ import annotations

import copy
import itertools
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import normlib
from tests.conversion.networks import EXACT, draw, lived_in, relative_difference, resnet18


@pytest.mark.parametrize("norm", [nn.BatchNorm2d, normlib.BatchNorm, lambda c: normlib.BatchRenorm(c, schedule=None)])
def test_resnet18_is_exact_to_1e_5_without_norms(norm: Callable[[int], nn.Module]) -> None:
    model, x = resnet18(norm), draw(2, 3, 64, 64)
    before, state = model(x), copy.deepcopy(model.state_dict())
    folded = normlib.fold(model)
    assert relative_difference(folded(x), before) < EXACT
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert model(x).equal(before) and not any("Norm" in type(module).__name__ for module in folded.modules())
    report = normlib.conversion_report(folded)
    assert len(report.rows) == 20 and not report.left
    assert [row.became for row in report.rows if row.path == "layer2.0.downsample.1"] == [
        "folded into layer2.0.downsample.0 (Conv2d)"
    ]


LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], int]] = {
    "Linear": (lambda: nn.Linear(4, 6), (5, 4), 1),
    "Conv1d": (lambda: nn.Conv1d(4, 6, 3), (5, 4, 7), 1),
    "Conv2d": (lambda: nn.Conv2d(4, 6, 3, stride=2, padding=1, dilation=2), (5, 4, 7, 7), 2),
    "Conv2d without bias": (lambda: nn.Conv2d(4, 6, 3, bias=False), (5, 4, 7, 7), 2),
    "Conv2d, reflecting": (lambda: nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"), (5, 4, 7, 7), 2),
    "Conv2d, grouped": (lambda: nn.Conv2d(4, 6, 3, groups=2), (5, 4, 7, 7), 2),
    "Conv3d": (lambda: nn.Conv3d(4, 6, 2), (5, 4, 3, 3, 3), 3),
    "ConvTranspose1d": (lambda: nn.ConvTranspose1d(4, 6, 3), (5, 4, 7), 1),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(4, 6, 3, stride=2, bias=False), (5, 4, 7, 7), 2),
    "ConvTranspose2d, grouped": (lambda: nn.ConvTranspose2d(4, 6, 3, groups=2), (5, 4, 7, 7), 2),
    "ConvTranspose3d": (lambda: nn.ConvTranspose3d(4, 6, 2, groups=2), (5, 4, 3, 3, 3), 3),
}


@pytest.mark.parametrize(("kind", "affine"), list(itertools.product(LAYERS, [True, False])))
def test_every_layer_that_can_take_a_norm_does(kind: str, affine: bool) -> None:
    build, shape, dims = LAYERS[kind]
    torch.manual_seed(0)
    norm = getattr(nn, f"BatchNorm{dims}d")(6, affine=affine)
    model = lived_in(nn.Sequential(build(), norm), draw(*shape, seed=1) + 1).double()
    folded = normlib.fold(model)
    assert (
        relative_difference(folded(draw(*shape).double()), model(draw(*shape).double())) < 1e-12
    )  # float64 throughout
    assert sum(p.numel() for p in folded.parameters()) == sum(p.numel() for p in build().parameters()) + (
        0 if "without" in kind or build().bias is not None else 6
    ) + (6 if "without" in kind else 0)


def test_the_copy_keeps_type_memory_format_and_requires_grad() -> None:
    model = (
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        .eval()
        .to(torch.bfloat16)
        .to(memory_format=torch.channels_last)
    )
    model[0].weight.requires_grad_(False)
    folded = normlib.fold(model)
    assert folded[0].weight.dtype is folded[0].bias.dtype is torch.bfloat16 and not folded[0].weight.requires_grad
    assert folded[0].weight.is_contiguous(memory_format=torch.channels_last)


class TwoInputs(nn.Module):
    """A convolution whose output goes through a norm, and by it."""

    def __init__(self, by_it: bool) -> None:
        super().__init__()
        self.conv, self.norm, self.by_it = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), by_it

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return self.norm(y) + y if self.by_it else self.norm(y)


class ReadsWeights(TwoInputs):
    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x)) * self.conv.weight.sum()


class ByShape(TwoInputs):
    """Whether the output is also used elsewhere depends on the input's size."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        if x.shape[-1] > 5:
            return self.norm(y) + y
        return self.norm(y)


class AsFunction(TwoInputs):
    def forward(self, x: Tensor) -> Tensor:
        return self.norm(F.conv2d(x, self.conv.weight))


class Masked(TwoInputs):
    """Padding comes out of the norm as zeros, which no convolution can do."""

    def __init__(self) -> None:
        super().__init__(False)
        self.norm = normlib.BatchNorm(3)  # type: ignore[assignment]

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x), x[:, 0] > 0)


class Shared(nn.Module):
    """One convolution called twice, each time before the same norm, or before another."""

    def __init__(self, same: bool) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
        self.other = self.norm if same else nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.other(self.conv(self.norm(self.conv(x)).relu()))


class Own(nn.BatchNorm2d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + 1


class Standardizing(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight / self.weight.std(), self.bias)


def hooked(index: int) -> nn.Module:
    model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))
    model[index].register_forward_hook(lambda *_: None)
    return model


def weigh(model: Any) -> None:
    model[1].own_weight = 0.5
    model[1].statistics = "weighed"


def after(first: nn.Module, norm: nn.Module | None = None) -> nn.Module:
    return nn.Sequential(first, norm or nn.BatchNorm2d(3))


SPOIL: dict[str, Callable[[Any], Any]] = {"training": lambda model: model[1].train(), "weighed": weigh}  # after eval()
REASONS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "used elsewhere": (lambda: TwoInputs(True), "the output of conv is also used elsewhere"),
    "used elsewhere for some shapes": (lambda: ByShape(True), "the output of conv is also used elsewhere"),
    "weights used elsewhere": (lambda: ReadsWeights(True), "the weights of conv are also used elsewhere"),
    "two norms on one layer": (lambda: Shared(False), "the output of conv is also used elsewhere"),
    "no layer ahead": (
        lambda: nn.Sequential(nn.BatchNorm2d(3), nn.ReLU()),
        "it follows the model's input, not a layer",
    ),
    "activation ahead": (
        lambda: after(nn.ReLU()),
        r"it follows 0 \(ReLU\), which is not a convolution or linear layer",
    ),
    "a mask": (Masked, "it is called with more arguments than its input"),
    "a function ahead": (lambda: AsFunction(True), "it follows conv2d, not a layer"),
    "statistics of the batch": (
        lambda: after(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3, track_running_stats=False)),
        "it normalizes with statistics of its input",
    ),
    "training": (lambda: after(nn.Conv2d(3, 3, 1)), "it normalizes with statistics of its input"),
    "weighed": (lambda: after(nn.Conv2d(3, 3, 1), normlib.BatchNorm(3)), "it normalizes with statistics of its input"),
    "behaviour of its own": (lambda: after(nn.Conv2d(3, 3, 1), Own(3)), "a subclass with behaviour of its own"),
    "layer of its own": (
        lambda: after(Standardizing(3, 3, 1)),
        r"it follows 0 \(Standardizing\), which is not a convolution",
    ),
    "parametrized": (
        lambda: after(nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 3, 1))),
        r"it follows 0 \(ParametrizedConv2d\), which is not a convolution",
    ),
    "hooks": (lambda: hooked(1), "it has hooks"),
    "hooks ahead": (lambda: hooked(0), r"0 \(Conv2d\) has hooks"),
    "other channels": (
        lambda: after(nn.Conv2d(3, 3, 1), normlib.BatchNorm(3, channel_dim=-1)),
        "its channels are not those",
    ),
}


@pytest.mark.parametrize("case", REASONS)
def test_what_cannot_be_folded_stays_with_its_reason(case: str) -> None:
    build, reason = REASONS[case]
    torch.manual_seed(0)
    spoil = SPOIL.get(case, lambda model: None)
    odd = build().eval()
    spoil(odd)
    with pytest.raises(ValueError, match=f"(?s)nothing can be folded.*{reason}"):
        normlib.fold(odd)
    # Beside another that can, the report says the same, and the outputs stay.
    odd = build()
    model = lived_in(nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.Sigmoid(), odd), draw(4, 3, 3, 3, seed=1))
    spoil(odd)
    x = draw(2, 3, 3, 3)
    folded = normlib.fold(model)
    assert isinstance(folded[1], nn.Identity) and normlib.conversion_report(folded).left
    with torch.no_grad():
        assert relative_difference(folded(x), model(x)) < EXACT
    assert "left as it is" in str(normlib.conversion_report(folded))


def test_a_pair_that_is_called_twice_is_folded_once() -> None:
    model = lived_in(Shared(True), draw(4, 3, 5, 5, seed=1))
    folded = normlib.fold(model)
    assert isinstance(folded.norm, nn.Identity) and folded.other is folded.norm
    assert relative_difference(folded(draw(2, 3, 5, 5)), model(draw(2, 3, 5, 5))) < EXACT


def test_weights_that_are_tied_to_others_are_folded_apart() -> None:
    model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 3, 1))
    model[3].weight = model[0].weight
    lived_in(model, draw(4, 3, 5, 5, seed=1))
    assert relative_difference(normlib.fold(model)(draw(2, 3, 5, 5)), model(draw(2, 3, 5, 5))) < EXACT


def test_identities_and_dropout_between_change_nothing() -> None:
    model = lived_in(
        nn.Sequential(nn.Linear(3, 4), nn.Identity(), nn.Dropout(0.9), nn.BatchNorm1d(4)), draw(9, 3, seed=1)
    )
    folded = normlib.fold(model)
    assert relative_difference(folded(draw(5, 3)), model(draw(5, 3))) < EXACT
    model[2].train()
    with pytest.raises(ValueError, match="it follows 2 .Dropout."):
        normlib.fold(model)


def test_a_norm_behind_a_linear_layer_with_positions_is_never_wrong() -> None:
    model = lived_in(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)), draw(9, 3, seed=1))
    folded = normlib.fold(model)
    assert relative_difference(folded(draw(5, 3)), model(draw(5, 3))) < EXACT
    with pytest.raises(ValueError, match=r"right for \(N, C\) only, but got \(5, 4, 4\)"):
        folded(draw(5, 4, 3))  # here the norm's channels were the four positions
    last = lived_in(nn.Sequential(nn.Linear(3, 4), normlib.BatchNorm(4, channel_dim=-1)), draw(9, 5, 3, seed=1))
    assert relative_difference(normlib.fold(last)(draw(2, 5, 3)), last(draw(2, 5, 3))) < EXACT


def test_a_frozen_norm_folds() -> None:
    norm = normlib.BatchNorm(4)
    model = lived_in(nn.Sequential(nn.Linear(3, 4), norm), draw(9, 3, seed=1))
    norm.freeze()
    norm.train()
    assert relative_difference(normlib.fold(model)(draw(5, 3)), model(draw(5, 3))) < EXACT


class Counts(nn.Module):
    """Counts its calls in a buffer, and remembers a size."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
        self.register_buffer("calls", torch.tensor(0))
        self.size: Any = None

    def forward(self, x: Tensor, scale: float = 1.0, extra: Tensor | None = None) -> Tensor:
        self.calls += 1
        self.size = x.shape
        y = self.norm(self.conv(x)) * scale
        return y if extra is None else y + extra


def test_looking_into_a_model_leaves_no_trace() -> None:
    model = Counts().eval()
    folded = normlib.fold(model)
    assert (int(model.calls), model.size, int(folded.calls), folded.size) == (0, None, 0, None)
    assert isinstance(folded.norm, nn.Identity)


class Untraceable(TwoInputs):
    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([super(Untraceable, self).forward(row[None]) for row in x])


class Endless(TwoInputs):
    def forward(self, x: Tensor) -> Tensor:
        while x.sum() > 0:
            x = self.norm(self.conv(x))
        return x


class Undecided(TwoInputs):
    def forward(self, x: Tensor) -> Tensor:
        for _ in range(10):
            if x.sum() > 0:
                x = x + 1
        return self.norm(self.conv(x))


class Uncopyable(TwoInputs):
    def __init__(self, by_it: bool) -> None:
        super().__init__(by_it)
        self.lock = threading.Lock()


class Refuses(TwoInputs):
    """Checks its input: the other side of each check is no way through."""

    def forward(self, x: Tensor) -> Tensor:
        assert x.dim() == 4
        if x.shape[1] != 3:
            raise ValueError("three channels")
        return self.norm(self.conv(x))


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (Untraceable, "TraceError"),
        (Endless, "paths|loops"),
        (Undecided, "more than 64 paths"),
        (Uncopyable, "it cannot be copied, TypeError.*lock"),
    ],
)
def test_what_cannot_be_traced_is_refused(model: type[TwoInputs], why: str) -> None:
    with pytest.raises(ValueError, match=f"cannot be found by tracing it .*({why}).*fold a part"):
        normlib.fold(model(False).eval())


def test_checks_of_the_input_are_no_hindrance() -> None:
    assert isinstance(normlib.fold(Refuses(False).eval()).norm, nn.Identity)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)), "in training mode; call model.eval"),
        (lambda: nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4)).eval(), "no batch norm in this Sequential"),
        (lambda: nn.BatchNorm2d(3).eval(), "this BatchNorm2d is itself the batch norm"),
    ],
)
def test_bad_input(model: Callable[[], nn.Module], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        normlib.fold(model())


@pytest.mark.parametrize("name", ["mlp", "convnet", "resnet"])
@pytest.mark.parametrize("norm", ["batch", "batch_renorm"])
def test_networks_of_normlib_fold(make_run: Callable[..., Any], name: str, norm: str) -> None:
    from normlib.training.network import NetworkShape, build_network

    run = make_run(f"model={name}", f"norm={norm}")
    model = build_network(run.spec, NetworkShape((1, 8, 8), 10), 10).module
    lived_in(model, draw(16, 1, 8, 8, seed=1))
    folded = normlib.fold(model)
    assert not normlib.conversion_report(folded).left
    assert relative_difference(folded(draw(4, 1, 8, 8)), model(draw(4, 1, 8, 8))) < EXACT


def test_activation_first_leaves_nothing_to_fold_into(make_run: Callable[..., Any]) -> None:
    from normlib.training.network import NetworkShape, build_network

    run = make_run("model=mlp", "norm=batch", "site.placement=after")
    with pytest.raises(ValueError, match="it follows relu, not a layer"):
        normlib.fold(build_network(run.spec, NetworkShape((1, 8, 8), 10), 10).module.eval())
