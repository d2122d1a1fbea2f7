"""Values and gradients of the norms: against float64 references from the papers, and against torch.nn, states included."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import normlib.norms
from normlib.norms.batch import BatchNorm
from normlib.norms.group import GroupNorm
from normlib.norms.instance import InstanceNorm
from normlib.norms.layer import LayerNorm
from normlib.testing import draw, require_close
from tests.norms import references

SHAPES = [(6, 8), (6, 8, 5), (6, 8, 5, 4), (4, 8, 3, 4, 2)]
# The same formula in another order of operations: a few roundings of float64 (1e-16) or float32 (6e-8), summed over the batch.
ROUNDING_64, ROUNDING_32 = 1e-11, 1e-5

PAPERS = [
    ("batch", {}, references.batch_norm),
    ("layer", {}, references.layer_norm),
    ("layer", {"scope": "position"}, references.layer_norm_by_position),
    ("instance", {}, references.instance_norm),
    ("group", {"num_groups": 2}, lambda x: references.group_norm(x, 2)),
    ("group", {"group_size": 2}, lambda x: references.group_norm(x, 4)),
    ("none", {}, lambda x: x),
]


@pytest.mark.parametrize(
    "shape", [*SHAPES, (32, 8, 20, 20)], ids=str
)  # the last is large enough for the other code path
@pytest.mark.parametrize(
    ("name", "settings", "reference"), PAPERS, ids=[f"{name} {settings}" for name, settings, _ in PAPERS]
)
def test_values_and_gradients_are_the_papers(name, settings, reference, shape) -> None:
    if name == "instance" and len(shape) == 2:
        pytest.skip("instance norm has no statistics without positions")
    for channels_last in (False, True):
        x = draw(shape, dtype=torch.float64) * 3 + 2
        if channels_last and len(shape) == 4:
            x = x.contiguous(memory_format=torch.channels_last)
        norm = normlib.norms.create(name, 8, dtype=torch.float64, **settings)
        ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
        y, expected = norm(ours), reference(theirs)
        require_close(y, expected, ROUNDING_64, name)
        weights = draw(shape, seed=1, dtype=torch.float64)
        y.backward(weights)
        expected.backward(weights)
        require_close(ours.grad, theirs.grad, ROUNDING_64, f"gradient of {name}")


def counterparts(shape):
    rank = len(shape) - 1
    batch_norm = {1: nn.BatchNorm1d, 2: nn.BatchNorm1d, 3: nn.BatchNorm2d, 4: nn.BatchNorm3d}[rank]
    pairs = {
        "batch": (lambda: BatchNorm(8), lambda: batch_norm(8)),
        "batch, cumulative": (lambda: BatchNorm(8, momentum=None), lambda: batch_norm(8, momentum=None)),
        "batch, own": (lambda: BatchNorm(8, 1e-3, 0.3, True, False), lambda: batch_norm(8, 1e-3, 0.3, True, False)),
        "group": (lambda: GroupNorm(8, num_groups=2), lambda: nn.GroupNorm(2, 8)),
        "layer": (lambda: LayerNorm(8), lambda: nn.GroupNorm(1, 8)),
    }
    if rank > 1:
        instance_norm = {2: nn.InstanceNorm1d, 3: nn.InstanceNorm2d, 4: nn.InstanceNorm3d}[rank]
        pairs["instance"] = (lambda: InstanceNorm(8), lambda: instance_norm(8, affine=True))
        pairs["instance, tracking"] = (
            lambda: InstanceNorm(8, track_running_stats=True),
            lambda: instance_norm(8, affine=True, track_running_stats=True),
        )
    return pairs


@pytest.mark.parametrize("shape", [*SHAPES, (32, 8, 20, 20)], ids=str)
def test_drops_in_for_torch_nn(shape) -> None:
    for name, (build_ours, build_theirs) in counterparts(shape).items():
        ours, theirs = build_ours(), build_theirs()
        with torch.no_grad():
            for parameter in theirs.parameters():
                parameter.add_(draw((8,), seed=2), alpha=0.1)
        ours.load_state_dict(theirs.state_dict(), strict=True)
        for seed in range(3):
            x, x_theirs = draw(shape, seed=seed).requires_grad_(), draw(shape, seed=seed).requires_grad_()
            y, expected = ours(x), theirs(x_theirs)
            require_close(y, expected, ROUNDING_32, name)
            y.backward(draw(shape, seed=9))
            expected.backward(draw(shape, seed=9))
            require_close(x.grad, x_theirs.grad, ROUNDING_32, f"gradient of {name}")
        for parameter, parameter_theirs in zip(ours.parameters(), theirs.parameters(), strict=True):
            require_close(
                parameter.grad, parameter_theirs.grad, 5e-5, f"parameter gradient of {name}"
            )  # sums over up to 12,800 values
        state, state_theirs = ours.state_dict(), theirs.state_dict()
        assert list(state) == list(state_theirs)
        for key in state:
            if name == "instance, tracking" and key == "num_batches_tracked":
                continue  # torch's instance norm has the counter and never counts
            require_close(state[key].float(), state_theirs[key].float(), ROUNDING_32, f"{key} of {name}")
        build_theirs().load_state_dict(state, strict=True)
        x = draw(shape, seed=5)
        theirs.load_state_dict(state)
        assert torch.allclose(ours.eval()(x), theirs.eval()(x), atol=ROUNDING_32)


def test_layer_norm_over_positions_is_torchs_on_channels_last() -> None:
    for shape in [(4, 8), (4, 6, 8), (4, 5, 5, 8)]:
        x = draw(shape)
        assert torch.equal(LayerNorm(8, scope="position", channel_dim=-1)(x), nn.LayerNorm(8)(x))


def test_batch_norm_in_eval_mode_is_torchs_bit_by_bit() -> None:
    ours, theirs = BatchNorm(8), nn.BatchNorm2d(8)
    theirs(draw((6, 8, 5, 5)))
    ours.load_state_dict(theirs.state_dict())
    x = draw((6, 8, 5, 5), seed=1)
    assert torch.equal(ours.eval()(x), theirs.eval()(x))


def test_torch_knows_our_batch_norm_and_nothing_else() -> None:
    assert isinstance(BatchNorm(8), nn.modules.batchnorm._BatchNorm)
    for name in normlib.norms.names():
        assert name == "batch" or not isinstance(normlib.norms.create(name, 8), nn.modules.batchnorm._BatchNorm)
    assert isinstance(nn.SyncBatchNorm.convert_sync_batchnorm(nn.Sequential(BatchNorm(8)))[0], nn.SyncBatchNorm)
    convolution, norm = nn.Conv2d(3, 8, 3).eval(), BatchNorm(8)
    norm(draw((4, 8, 5, 5)))
    fused = nn.utils.fusion.fuse_conv_bn_eval(convolution, norm.eval())
    x = draw((2, 3, 8, 8))
    assert torch.allclose(fused(x), norm(convolution(x)), atol=1e-5)


def test_torchs_update_bn_recomputes_the_statistics() -> None:
    model = nn.Sequential(BatchNorm(8))
    batches = [draw((16, 8), seed=seed) for seed in range(4)]
    torch.optim.swa_utils.update_bn(batches, model)
    mean = torch.stack([batch.mean(0) for batch in batches]).mean(0)
    assert torch.allclose(model[0].running_mean, mean, atol=1e-6)
    assert model[0].momentum == 0.1


def test_old_checkpoints_without_a_counter_load() -> None:
    state = BatchNorm(8).state_dict()
    del state["num_batches_tracked"]
    state._metadata[""]["version"] = 1  # as saved before torch 0.4.1
    BatchNorm(8).load_state_dict(state, strict=True)


@pytest.mark.parametrize("name", ["batch", "batch_renorm", "group", "layer", "instance"])
def test_second_derivatives(name) -> None:
    settings = {"schedule": None, "r_max": 1.0, "d_max": 0.0} if name == "batch_renorm" else {}
    for shape, layout in [((3, 8, 2, 2), torch.contiguous_format), ((3, 8, 2, 2), torch.channels_last)]:
        norm = normlib.norms.create(name, 8, dtype=torch.float64, **settings)
        x = draw(shape, dtype=torch.float64).contiguous(memory_format=layout).requires_grad_()
        assert torch.autograd.gradgradcheck(norm, (x,))


def test_second_derivatives_of_large_inputs(monkeypatch) -> None:
    for limit in ("LARGE", "LONG"):
        monkeypatch.setattr(f"normlib.norms.kernels.batch_moments.{limit}", 1)
    for layout in (torch.contiguous_format, torch.channels_last):
        x = draw((3, 2, 2, 2), dtype=torch.float64).contiguous(memory_format=layout).requires_grad_()
        for affine in (True, False):
            norm = BatchNorm(2, affine=affine, dtype=torch.float64)
            assert torch.autograd.gradcheck(norm, (x,))
            assert torch.autograd.gradgradcheck(norm, (x,))
        norm = BatchNorm(2, dtype=torch.float64)

        def run(x, weight, bias, norm=norm):
            return torch.func.functional_call(norm, {"weight": weight, "bias": bias}, (x,))

        inputs = (x, *(torch.rand(2, dtype=torch.float64).add_(0.5).requires_grad_() for _ in range(2)))
        assert torch.autograd.gradcheck(run, inputs)
        assert torch.autograd.gradgradcheck(run, inputs)


def test_gradients_to_parameters_alone_on_channels_last() -> None:
    # torch 2.13 crashes here in its own group norm, when the input needs no gradient.
    for name in ("group", "layer", "instance", "batch", "batch_renorm"):
        norm = normlib.norms.create(name, 8)
        x = draw((4, 8, 5, 5)).contiguous(memory_format=torch.channels_last)
        (alone,) = torch.autograd.grad(norm(x).square().sum(), [norm.weight])
        norm = normlib.norms.create(name, 8)
        leaf = x.clone().requires_grad_()
        (among,) = torch.autograd.grad(norm(leaf).square().sum(), [norm.weight])
        assert torch.allclose(alone, among, rtol=1e-5)


@pytest.mark.parametrize("values", [200_000, 2_000])
def test_batch_statistics_of_many_values_far_from_zero(values) -> None:
    # torch's own flat kernel is off by more than 2 standard deviations at 200,000 values of mean 1000 and spread 0.01.
    x = draw((values, 4)) * 1e-2 + 1e3
    for name in ("batch", "batch_renorm"):
        norm = normlib.norms.create(name, 4)
        require_close(norm(x), references.batch_norm(x.double()), 0.02, name)
        relative = (norm.running_mean.double() - norm.momentum * x.double().mean(0)).abs().max() / 1e3
        assert relative < 1e-6
