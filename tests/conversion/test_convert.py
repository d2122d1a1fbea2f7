"""Checks what `normlib.convert` keeps of a model, what it refuses, and that an error leaves everything as it was."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.ao.nn.quantized
import torch.nn.utils.prune
from torch import Tensor, nn

import normlib
from normlib.norms import norms
from normlib.norms.base import Norm
from tests.conversion.networks import ResNet18, draw, lived_in, resnet18


def equal_bits(a: Tensor, b: Tensor) -> bool:
    return a.dtype is b.dtype and torch.equal(a, b)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_batch_for_batch_changes_no_bit_in_eval_mode(dtype: torch.dtype, layout: torch.memory_format) -> None:
    model = resnet18().to(dtype)
    keys, state = list(model.state_dict()), copy.deepcopy(model.state_dict())
    x = draw(2, 3, 32, 32).to(dtype).to(memory_format=layout)
    before = model(x)
    assert normlib.convert(model, "batch") is model
    assert equal_bits(model(x), before)
    assert list(model.state_dict()) == keys and all(equal_bits(v, state[k]) for k, v in model.state_dict().items())
    assert sum(isinstance(module, normlib.BatchNorm) for module in model.modules()) == 20
    model.load_state_dict(state)  # strict: a checkpoint of before still loads


@pytest.mark.parametrize(("dims", "shape"), [(1, (6, 5)), (1, (6, 5, 4)), (2, (6, 5, 4, 3)), (3, (6, 5, 4, 3, 2))])
@pytest.mark.parametrize(
    "settings", [{}, {"affine": False}, {"track_running_stats": False}, {"momentum": None, "eps": 1e-3}]
)
def test_every_batch_norm_keeps_its_bits(dims: int, shape: tuple[int, ...], settings: dict[str, Any]) -> None:
    old = getattr(nn, f"BatchNorm{dims}d")(5, **settings)
    lived_in(old, draw(*shape, seed=1))
    new = normlib.convert(copy.deepcopy(old), "batch")
    assert isinstance(new, normlib.BatchNorm)
    assert equal_bits(new(draw(*shape)), old(draw(*shape)))
    # In training the kernels differ (here those are right far from zero, too): equal to a few roundings of float32.
    torch.testing.assert_close(new.train()(draw(*shape)), old.train()(draw(*shape)), rtol=1e-5, atol=1e-5)
    assert new.state_dict().keys() == old.state_dict().keys()
    for name, value in new.state_dict().items():
        torch.testing.assert_close(value, old.state_dict()[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("old", "target", "shape"),
    [
        (lambda: nn.GroupNorm(3, 6, eps=1e-3), "group", (4, 6, 5, 5)),
        (lambda: nn.GroupNorm(1, 6), "layer", (4, 6, 5, 5)),
        (lambda: nn.GroupNorm(3, 6, affine=False), "group", (4, 6, 5)),
        (lambda: nn.LayerNorm(6, eps=1e-6), "layer", (4, 7, 6)),
        (lambda: nn.LayerNorm(6), "layer", (4, 6)),
        (lambda: nn.LayerNorm(6, elementwise_affine=False), "layer", (4, 3, 3, 6)),
        (lambda: nn.LayerNorm(6, bias=False), "layer", (4, 7, 6)),
        (lambda: nn.InstanceNorm1d(6), "instance", (4, 6, 5)),
        (lambda: nn.InstanceNorm2d(6, affine=True, eps=1e-4), "instance", (4, 6, 5, 5)),
        (lambda: nn.InstanceNorm2d(6, affine=True, track_running_stats=True), "instance", (4, 6, 5, 5)),
        (lambda: nn.InstanceNorm3d(6, track_running_stats=True), "instance", (4, 6, 3, 3, 3)),
        (lambda: nn.RMSNorm(6), "rms", (4, 7, 6)),
        (lambda: nn.RMSNorm(6, eps=1e-5, elementwise_affine=False), "rms", (4, 6)),
    ],
)
def test_the_same_method_gives_the_same_outputs(
    old: Callable[[], nn.Module], target: str, shape: tuple[int, ...]
) -> None:
    layer = lived_in(old(), draw(*shape, seed=1))
    new = normlib.convert(copy.deepcopy(layer), target)
    assert isinstance(new, Norm)
    # Other kernels, or the same in another order: a few roundings of float32.
    torch.testing.assert_close(new(draw(*shape)), layer(draw(*shape)), rtol=1e-5, atol=1e-5)
    assert set(layer.state_dict()) <= set(new.state_dict())


@pytest.mark.parametrize(
    "name", [entry.name for entry in norms.entries() if getattr(entry.cls, "slot", "norm") == "norm"]
)
def test_every_norm_goes_into_a_model_and_trains(name: str) -> None:
    model = normlib.convert(resnet18(), name)
    for module in model.modules():
        if isinstance(module, Norm):
            module.set_total_steps(1)
    model.train()(draw(2, 3, 64, 64)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    report = normlib.conversion_report(model)
    assert len(report.rows) == 20 and not report.left


def test_scale_and_shift_stay_the_same_parameters_and_the_rest_is_reported() -> None:
    model = resnet18()
    weight, bias = model.bn1.weight, model.bn1.bias
    normlib.convert(model, "group", num_groups=4)
    assert model.bn1.weight is weight and model.bn1.bias is bias and model.bn1.num_groups == 4
    row = normlib.conversion_report(model).rows[0]
    assert (row.path, row.was) == ("bn1", "BatchNorm2d(8)") and row.became.startswith("GroupNorm(8, ")
    assert {"weight", "bias", "eps=1e-05"} <= set(row.carried)
    assert set(row.lost) == {"running_mean", "running_var", "num_batches_tracked"}
    assert any(note.startswith("statistics over samples and positions, per channel -> ") for note in row.changed)


def test_the_report_tells_statistics_over_the_scope_that_a_layer_has() -> None:
    for settings, after in (
        ({}, "channels alone, per position, without the mean"),  # carried over: a causal model stays causal
        ({"scope": "sample"}, "channels and positions, per sample, without the mean"),
    ):
        report = normlib.conversion_report(normlib.convert(nn.Sequential(nn.LayerNorm(4)), "rms", **settings))
        assert report.rows[0].changed[0] == f"statistics over channels alone, per position -> {after}"


def test_what_is_said_of_methods_on_weights_works() -> None:
    with pytest.raises(ValueError, match=r"normlib\.create\('weight_norm', layer\.out_features\)\.enter\("):
        normlib.convert(nn.Sequential(nn.BatchNorm1d(3)), "weight_norm")
    layer = nn.Linear(4, 16)
    normlib.create("weight_norm", layer.out_features).enter(normlib.Place(ahead=layer))
    assert nn.utils.parametrize.is_parametrized(layer, "weight")


def test_the_deviation_of_batch_renorm_is_the_root_of_the_variance_and_back() -> None:
    model, x = resnet18(), draw(2, 3, 32, 32)
    variance, before = model.bn1.running_var.clone(), model(x)
    normlib.convert(model, "batch_renorm", schedule=None)
    torch.testing.assert_close(model.bn1.running_std, (variance + 1e-5).sqrt())
    assert model.bn1.num_batches_tracked == 0
    assert "momentum=0.01, the method's own, not 0.1" in normlib.conversion_report(model).rows[0].changed
    torch.testing.assert_close(model(x), before, rtol=1e-4, atol=1e-4)  # 20 layers of float32 roundings
    normlib.convert(model, "batch")
    torch.testing.assert_close(model.bn1.running_var, variance, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(model(x), before, rtol=1e-4, atol=1e-4)


def test_running_statistics_that_mean_something_else_are_not_carried() -> None:
    layer = lived_in(nn.InstanceNorm2d(4, track_running_stats=True), draw(3, 4, 5, 5) + 3)
    new = normlib.convert(layer, "batch")
    assert torch.equal(new.running_mean, torch.zeros(4)) and torch.equal(new.running_var, torch.ones(4))
    row = normlib.conversion_report(new).rows[0]
    assert "running statistics are reinitialized" in row.changed and {"running_mean", "running_var"} <= set(row.lost)


def test_channels_last_layers_keep_their_channels_last() -> None:
    transformer = nn.Sequential(nn.Linear(5, 8), nn.LayerNorm(8), nn.Linear(8, 8), nn.RMSNorm(8))
    normlib.convert(transformer, "batch")
    assert [(module.channel_dim, module.num_features) for module in (transformer[1], transformer[3])] == [(-1, 8)] * 2
    assert transformer(draw(4, 7, 5)).shape == (4, 7, 8)


def test_a_layer_norm_becomes_layer_norm_by_position_and_a_batch_norm_by_sample() -> None:
    model = normlib.convert(nn.ModuleList([nn.LayerNorm(4), nn.BatchNorm2d(4), nn.LayerNorm(4)]), "layer")
    assert [norm.scope for norm in model] == ["position", "sample", "position"]
    assert normlib.convert(nn.LayerNorm(4), "layer", scope="sample").scope == "sample"


def test_a_shared_module_stays_one() -> None:
    shared = nn.BatchNorm1d(4)
    model = nn.ModuleDict({"a": nn.Sequential(shared), "b": nn.Sequential(nn.ReLU(), shared), "c": nn.BatchNorm1d(4)})
    normlib.convert(model, "layer")
    assert model["a"][0] is model["b"][1] and model["a"][0] is not model["c"]
    assert [row.path for row in normlib.conversion_report(model).rows] == ["a.0, b.1", "c"]


def test_tied_parameters_stay_tied() -> None:
    model = nn.Sequential(nn.BatchNorm1d(4), nn.BatchNorm1d(4))
    model[1].weight = model[0].weight
    normlib.convert(model, "group")
    assert model[0].weight is model[1].weight and model[0].bias is not model[1].bias


def test_mode_type_device_and_requires_grad_stay() -> None:
    model = nn.Sequential(nn.BatchNorm1d(4), nn.BatchNorm1d(4), nn.BatchNorm1d(4, affine=False)).double()
    model[0].eval()
    model[1].weight.requires_grad_(False)
    normlib.convert(model, "group")
    assert [norm.training for norm in model] == [False, True, True]
    assert [norm.weight.requires_grad for norm in model[:2]] == [True, False] and model[1].bias.requires_grad
    assert model[2].weight is None and model[0].weight.dtype is torch.float64
    half = normlib.convert(nn.RMSNorm(4).half(), "group")
    assert (half.weight.dtype, half.bias.dtype) == (torch.float16, torch.float16)  # the bias is a new one
    meta = normlib.convert(nn.LayerNorm(4, elementwise_affine=False), "batch", affine=True)
    assert meta.weight.dtype is torch.float32
    on_meta = normlib.convert(
        nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4, elementwise_affine=False)).to("meta"), "batch"
    )
    assert on_meta[1].running_mean.is_meta


def test_a_frozen_parameter_freezes_its_new_companion() -> None:
    layer = nn.RMSNorm(4).requires_grad_(False)
    assert not normlib.convert(layer, "group").bias.requires_grad
    assert normlib.convert(nn.LayerNorm(4, bias=False), "group").bias is None


def test_norms_of_normlib_keep_their_switches() -> None:
    old = normlib.BatchNorm(4, momentum=0.3, guard=True)
    old.norm_batch_size, old.statistics, old.update_running = 2, "running", False
    new = normlib.convert(old, "batch_renorm")
    assert (new.norm_batch_size, new.statistics, new.update_running) == (2, "running", False)
    again = normlib.convert(old, "batch", momentum=0.2)
    assert again is not old and (again.momentum, again.guard) == (0.2, True)
    group = normlib.convert(old, "group")
    assert group.statistics == "auto"
    assert 'statistics "running" became "auto"' in str(normlib.conversion_report(group))


def test_a_synchronized_norm_stays_synchronized() -> None:
    new = normlib.convert(lived_in(nn.BatchNorm1d(4), draw(6, 4)), "batch")
    synchronized = normlib.convert(nn.SyncBatchNorm(4), "batch")
    assert (new.sync, synchronized.sync) == (False, True)
    lost = (
        normlib.conversion_report(normlib.convert(nn.SyncBatchNorm(4, process_group="a group"), "batch")).rows[0].lost
    )
    assert lost == ("process_group=a group",)


def test_statistics_that_torch_reads_but_does_not_move_stay_so() -> None:
    old = lived_in(nn.BatchNorm1d(4), draw(6, 4) + 2)
    old.track_running_stats = False
    new = normlib.convert(old, "batch")
    mean = new.running_mean.clone()
    new.train()(draw(6, 4))
    assert torch.equal(new.running_mean, mean)


def test_a_method_of_its_own_eps_keeps_it(registered: Callable[..., Any]) -> None:
    @registered(norms, "own_eps")
    class OwnEps(Norm):
        def __init__(self, num_features: int, eps: float = 1e-3) -> None:
            super().__init__(num_features, eps=eps)

        def normalize(self, x: Tensor) -> Tensor:
            return x

    new = normlib.convert(nn.BatchNorm2d(4, eps=1e-4).double(), "own_eps")
    assert new.eps == 1e-3 and "eps=0.001, the method's own" in normlib.conversion_report(new).rows[0].changed
    assert normlib.convert(nn.BatchNorm2d(4), "own_eps", eps=1e-2).eps == 1e-2
    assert new.weight.dtype is torch.float64  # although its constructor knows no types
    with pytest.raises(ValueError, match="OwnEps the argument channel_dim"):
        normlib.convert(nn.LayerNorm(4), "own_eps")


def test_parameters_that_play_another_part_are_new(registered: Callable[..., Any]) -> None:
    @registered(norms, "gated")
    class Gated(Norm):
        starts_at = {"weight": 0.0, "bias": 0.0, "alpha": 0.5}

        def __init__(self, num_features: int) -> None:
            super().__init__(num_features)
            self.alpha = nn.Parameter(torch.full((num_features,), 0.5))
            nn.init.zeros_(self.weight)

        def normalize(self, x: Tensor) -> Tensor:
            return x

    old = nn.BatchNorm2d(4)
    new = normlib.convert(old, "gated")
    row = normlib.conversion_report(new).rows[0]
    assert new.weight is not old.weight and not new.weight.any() and new.bias is old.bias
    assert {"weight is new and starts at 0", "alpha is new and starts at 0.5"} <= set(
        row.changed
    ) and "weight" in row.lost
    assert normlib.convert(new, "group").weight is not new.weight


def test_hooks_are_reported_as_lost() -> None:
    layer = nn.BatchNorm1d(3)
    layer.register_forward_hook(lambda *_: None)
    assert "hooks" in normlib.conversion_report(normlib.convert(layer, "group")).rows[0].lost


def test_the_fast_path_of_torchs_transformer_does_not_pass_the_new_norm_by() -> None:
    torch.manual_seed(0)
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2).eval()
    x, padding = draw(2, 5, 8), torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
    with torch.no_grad():
        before = encoder(x)
        normlib.convert(encoder, "none")
        assert not torch.allclose(encoder(x), before, atol=0.1)
        assert torch.isfinite(encoder(x, src_key_padding_mask=padding)).all()
    with torch.enable_grad():  # the fast path is for inference only; both ways are one function
        slow = encoder(x)
    torch.testing.assert_close(encoder(x), slow.detach())
    assert "fast path" in str(normlib.conversion_report(encoder))


def test_copies_and_pickles_keep_the_report_and_the_state_does_not_know_it() -> None:
    model = normlib.convert(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)), "batch")
    report = normlib.conversion_report(model)
    assert normlib.conversion_report(copy.deepcopy(model)) == report
    assert normlib.conversion_report(pickle.loads(pickle.dumps(model))) == report
    assert list(model.state_dict()) == ["0.weight", "0.bias", *(f"1.{key}" for key in nn.BatchNorm1d(4).state_dict())]
    with pytest.raises(ValueError, match="no report on this Linear"):
        normlib.conversion_report(nn.Linear(3, 4))


def test_skip_leaves_modules_and_all_in_them_by_path_or_pattern() -> None:
    model = ResNet18()
    normlib.convert(model, "group", skip=["layer1", "*.bn2"])
    report = normlib.conversion_report(model)
    assert type(model.layer1[0].bn1) is nn.BatchNorm2d and type(model.layer2[0].bn2) is nn.BatchNorm2d
    assert isinstance(model.layer2[0].bn1, normlib.GroupNorm)
    assert {row.path for row in report.left} == {"layer1", *(f"layer{s}.{i}.bn2" for s in (2, 3, 4) for i in (0, 1))}
    with pytest.raises(ValueError, match=r"skip names \['layer7'\]"):
        normlib.convert(model, "group", skip=["layer7"])
    with pytest.raises(ValueError, match="no normalization layer .* besides the skipped 0"):
        normlib.convert(nn.Sequential(nn.BatchNorm1d(3)), "group", skip=["0"])


class Centred(nn.LayerNorm):
    """A subclass that does something of its own."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) - 1


class WithoutBias(nn.LayerNorm):
    """A subclass that is only built differently."""

    def __init__(self, width: int) -> None:
        super().__init__(width, bias=False)


class LlamaRMSNorm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4))


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (lambda: Centred(4), r"1 is a Centred, a LayerNorm with behaviour of its own \(forward\)"),
        (LlamaRMSNorm, "1 is a LlamaRMSNorm, which normlib does not know"),
        (lambda: nn.LayerNorm((3, 4)), r"1 has a scale and shift for each of \(3, 4\) elements"),
        (lambda: nn.LazyBatchNorm1d(), "1 does not know its number of channels yet; run one batch"),
        (lambda: nn.LazyBatchNorm1d(affine=False, track_running_stats=False), "1 does not know its number of channels yet"),
        (lambda: nn.LocalResponseNorm(3), "1 is a LocalResponseNorm, which does not know its number of channels"),
        (
            lambda: nn.utils.parametrizations.weight_norm(nn.GroupNorm(2, 4), dim=0),
            r"1 is a ParametrizedGroupNorm, a GroupNorm with behaviour of its own",
        ),
    ],
)  # fmt: skip
def test_what_is_not_known_is_named_and_nothing_changes(layer: Callable[[], nn.Module], message: str) -> None:
    model = nn.Sequential(nn.BatchNorm1d(4), layer())
    before = list(model)
    with pytest.raises(ValueError, match=message) as raised:
        normlib.convert(model, "group")
    assert "skip=[...]" in str(raised.value) and list(model) == before
    normlib.convert(model, "group", skip=["1"])
    assert isinstance(model[0], normlib.GroupNorm) and model[1] is before[1]


def test_lazy_layers_that_have_seen_a_batch_and_subclasses_built_differently_are_known() -> None:
    lazy = nn.Sequential(nn.LazyBatchNorm1d(), WithoutBias(4))
    lazy(draw(3, 4))
    normlib.convert(lazy, "layer")
    assert [norm.num_features for norm in lazy] == [4, 4] and lazy[1].scope == "position"


@pytest.mark.parametrize(
    ("target", "params", "message"),
    [
        ("grup", {}, "no norm is named 'grup'; did you mean 'group'"),
        ("group", {"num_grups": 2}, "no setting is named 'num_grups'; did you mean 'num_groups'"),
        ("group", {"num_groups": 3}, r"1 \(BatchNorm2d\) cannot become 'group': num_groups has to divide"),
        ("group", {"channel_dim": -1}, "channel_dim cannot be given, because convert takes it from each layer"),
    ],
)
def test_bad_settings_change_nothing(target: str, params: dict[str, Any], message: str) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    before = list(model)
    with pytest.raises(ValueError, match=message):
        normlib.convert(model, target, **params)
    assert list(model) == before


def test_a_model_without_norms_is_an_error() -> None:
    with pytest.raises(ValueError, match="no normalization layer in this Sequential"):
        normlib.convert(nn.Sequential(nn.Linear(3, 4)), "group")


def test_wrapped_models_are_refused() -> None:
    class DistributedDataParallel(nn.Module):  # torch's needs a process group; it is known by name
        def __init__(self, module: nn.Module) -> None:
            super().__init__()
            self.module = module

    with pytest.raises(ValueError, match="convert before wrapping"):
        normlib.convert(DistributedDataParallel(nn.BatchNorm1d(3)), "group")


def slotted(slot: str, registered: Callable[..., Any], name: str) -> type[Norm]:
    @registered(norms, name)
    class Slotted(Norm):
        def __init__(self, num_features: int, activate: bool = True, channel_dim: int = 1) -> None:
            super().__init__(num_features, channel_dim=channel_dim)
            self.activate = activate

        def normalize(self, x: Tensor) -> Tensor:
            return x.relu() if self.activate else x

    Slotted.slot = slot  # type: ignore[assignment]
    return Slotted


def test_norms_of_other_slots_are_refused_with_the_reason(registered: Callable[..., Any]) -> None:
    for slot, reason in (
        ("weight", "works on the weights"),
        ("branch", "residual branches"),
        ("site", "brings its own"),
    ):
        cls = slotted(slot, registered, f"with_slot_{slot}")
        with pytest.raises(ValueError, match=reason):
            normlib.convert(nn.Sequential(nn.BatchNorm1d(3)), f"with_slot_{slot}")
        if slot != "site":
            with pytest.raises(ValueError, match="has changed the weights of other layers"):
                normlib.convert(nn.Sequential(cls(3)), "group")


def test_an_activation_of_the_norms_own_needs_one_in_its_place(registered: Callable[..., Any]) -> None:
    cls = slotted("site", registered, "with_activation")
    with pytest.raises(ValueError, match="0 had an activation of its own.*activation=torch.nn.ReLU"):
        normlib.convert(nn.Sequential(cls(3)), "group")
    model = normlib.convert(nn.Sequential(cls(4), cls(4, activate=False)), "group", activation=nn.SiLU)
    assert [type(module) for module in model[0]] == [normlib.GroupNorm, nn.SiLU]
    assert isinstance(model[1], normlib.GroupNorm)


def pruned_norm() -> nn.Module:
    norm = nn.BatchNorm2d(6)
    torch.nn.utils.prune.l1_unstructured(norm, "weight", 0.5)
    return norm


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")
@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: torch.ao.nn.quantized.BatchNorm2d(6), "does not know"),
        (lambda: torch.jit.script(nn.BatchNorm2d(6)), "does not know"),
        (pruned_norm, "weight"),
    ],
    ids=["quantized", "scripted", "pruned"],
)
def test_a_norm_that_is_not_what_its_class_says_is_refused_by_name(make: Callable[[], nn.Module], why: str) -> None:
    """Quantized ones compute in integers, scripted ones are no torch.nn class any more, a pruned one's scale is a product."""
    model = nn.Sequential(nn.BatchNorm2d(6), make())
    with pytest.raises(ValueError, match=rf"\n  1 .*{why}"):
        normlib.convert(model, "group")
    normlib.convert(model, "group", skip=["1"])


def test_references_beside_the_submodules_are_replaced_and_reported() -> None:
    model = nn.Sequential(nn.BatchNorm2d(6), nn.BatchNorm2d(6))
    model.first_ones = [model[0]]  # a plain list
    object.__setattr__(model, "alias", model[1])
    normlib.convert(model, "group")
    assert model.first_ones == [model[0]] and model.alias is model[1]
    first, second = normlib.conversion_report(model).rows
    assert "its place in first_ones[0]" in first.carried
    assert "its place in alias" in second.carried
