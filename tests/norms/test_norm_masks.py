"""With a mask, the norms give what they would give of the valid values alone; what padding holds is the contract's to check."""

from __future__ import annotations

import copy

import pytest
import torch

import normlib.norms
from normlib.norms import names, norms
from normlib.norms.base import Norm
from normlib.testing import draw, require_close

ROUNDING = 1e-11  # of float64: sums of tens of values of order one in another order
ROUNDING_32 = 1e-5
SHAPES = [(5, 8), (5, 8, 7), (5, 8, 4, 3)]
SETTINGS = {
    "batch_renorm": [{"schedule": None, "r_max": 1.1, "d_max": 0.1}],
    "batch": [{}, {"momentum": None}, {"guard": True}, {"affine": False}],
    "layer": [{}, {"scope": "position"}],
    "rms": [{}, {"scope": "position"}],
    "group": [{"num_groups": 2}],
    "instance": [{}, {"track_running_stats": True}],
}
CASES = [(name, settings) for name in names() if norms[name].cls.takes_mask for settings in SETTINGS.get(name, [{}])]
OVER_BATCH = [(name, settings) for name, settings in CASES if norms[name].cls.depends_on_batch]
PER_SAMPLE = [(name, settings) for name, settings in CASES if not norms[name].cls.depends_on_batch]


def build(name, settings, **supplied):
    """A norm in float64 whose affine parameters and running statistics are not those of a new one."""
    norm = normlib.norms.create(name, 8, dtype=torch.float64, **settings, **supplied)
    with torch.no_grad():
        for parameter in norm.parameters():
            parameter.add_(draw(tuple(parameter.shape), seed=11, dtype=torch.float64), alpha=0.3)
    norm(draw((6, 8, 5), seed=12, dtype=torch.float64))
    return norm


def padded(shape):
    """An input with NaN in its padding, its mask (several valid values in each sample but the last, which has none), and weights."""
    mask = draw((shape[0], *shape[2:]), seed=2) > -0.3
    if mask.dim() > 1:
        mask[:, :2] = True
    mask[-1] = False
    x = (draw(shape, dtype=torch.float64) * 2 + 1).masked_fill(~mask.unsqueeze(1), torch.nan)
    return x, mask, draw(shape, seed=3, dtype=torch.float64)


def run(norm, x, mask, weights):
    """Output, and gradients of its weighting with respect to the input and the parameters."""
    x = x.detach().requires_grad_()
    y = norm(x, mask) if mask is not None else norm(x)
    found = torch.autograd.grad((y * weights).sum(), [x, *norm.parameters()])
    return y.detach(), found[0], found[1:]


def require_same_state(one, other):
    assert one.keys() == other.keys()
    for key in one:
        require_close(one[key], other[key], ROUNDING, key)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("name", "settings"), PER_SAMPLE, ids=str)
def test_each_sample_is_as_if_cut_to_its_valid_values(name, settings, shape) -> None:
    if name == "instance" and len(shape) == 2:
        pytest.skip("instance norm has no statistics without positions")
    x, mask, weights = padded(shape)
    norm = build(name, settings)
    before = copy.deepcopy(norm)
    y, gradient, parameter_gradients = run(norm, x, mask, weights)
    expected = [torch.zeros_like(parameter) for parameter in parameter_gradients]
    buffers = []
    for sample in range(shape[0]):
        valid = mask[sample]
        if not valid.any():
            assert y[sample].eq(0).all()
            assert gradient[sample].eq(0).all()
            continue
        cut = [each[sample, :, valid] if len(shape) > 2 else each[sample] for each in (x, weights, y, gradient)]
        alone = copy.deepcopy(before)
        expected_y, expected_gradient, gradients = run(alone, cut[0][None], None, cut[1][None])
        require_close(cut[2], expected_y[0], ROUNDING, f"sample {sample}")
        require_close(cut[3], expected_gradient[0], ROUNDING, f"gradient of sample {sample}")
        expected = [total + part for total, part in zip(expected, gradients)]
        buffers.append(dict(alone.named_buffers()))
    for found, right in zip(parameter_gradients, expected):
        require_close(found, right, ROUNDING, "gradient of a parameter")
    for key, buffer in norm.named_buffers():  # running statistics are means over the samples that have any
        mean = torch.stack([each[key].double() for each in buffers]).mean(0)
        require_close(buffer, mean, ROUNDING, key)


@pytest.mark.parametrize("channel_dim", [1, -1])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("name", "settings"), OVER_BATCH, ids=str)
def test_the_batch_is_as_if_it_held_the_valid_values_alone(name, settings, shape, channel_dim) -> None:
    x, mask, weights = padded(shape)
    one, other = build(name, settings), build(name, settings)
    one.channel_dim = channel_dim
    together = [each.movedim(1, -1) if channel_dim == -1 else each for each in (x, weights)]
    y, gradient, parameter_gradients = run(one, together[0], mask, together[1])
    if channel_dim == -1:
        y, gradient = y.movedim(-1, 1), gradient.movedim(-1, 1)
    flat = [each.movedim(1, -1)[mask] for each in (x, weights, y, gradient)]  # (valid values, C)
    expected = run(other, flat[0], None, flat[1])
    require_close(flat[2], expected[0], ROUNDING, "output")
    require_close(flat[3], expected[1], ROUNDING, "gradient")
    for found, right in zip(parameter_gradients, expected[2]):
        require_close(found, right, ROUNDING, "gradient of a parameter")
    require_same_state(one.state_dict(), other.state_dict())
    for statistics in ("running", "batch"):
        for norm in (one, other):
            norm.statistics = statistics
        y = one(together[0], mask)
        flat_y = (y if channel_dim == -1 else y.movedim(1, -1))[mask]
        require_close(flat_y, other(flat[0]), ROUNDING, f"statistics={statistics!r}")
        require_same_state(one.state_dict(), other.state_dict())
    y = one.eval()(together[0], mask)
    require_close((y if channel_dim == -1 else y.movedim(1, -1))[mask], other.eval()(flat[0]), ROUNDING, "eval mode")


@pytest.mark.parametrize(("name", "settings"), OVER_BATCH, ids=str)
def test_groups_of_samples_count_their_valid_values_and_without_any_not_at_all(name, settings) -> None:
    x, mask, _ = padded((9, 8, 7))
    mask[3:6] = False  # the second of three groups
    norm = build(name, settings)
    alone = [copy.deepcopy(norm), copy.deepcopy(norm)]
    norm.norm_batch_size = 3
    y = norm(x.masked_fill(~mask.unsqueeze(1), torch.nan), mask)
    for part, each in zip((slice(0, 3), slice(6, 9)), alone):
        require_close(y[part], each(x[part], mask[part]), ROUNDING, "a group alone")
    assert y[3:6].eq(0).all()
    for key, buffer in norm.named_buffers():
        if buffer.is_floating_point():
            mean = torch.stack([dict(each.named_buffers())[key] for each in alone]).mean(0)
            require_close(buffer, mean, ROUNDING, key)


@pytest.mark.parametrize(("name", "settings"), CASES, ids=str)
def test_a_batch_of_padding_comes_out_as_zeros_and_changes_no_state(name, settings) -> None:
    norm = build(name, settings)
    norm.eps = 0.0
    before = copy.deepcopy(norm.state_dict())
    x = torch.full((2, 8, 3), torch.inf, dtype=torch.float64)
    if "scope" in settings and settings["scope"] == "position":
        norm.eps = 1e-5  # statistics of padding alone, whose variance is 0, are taken there
    y, gradient, parameter_gradients = run(norm, x, torch.zeros((2, 3), dtype=torch.bool), torch.ones_like(x))
    assert y.eq(0).all()
    assert gradient.eq(0).all()
    assert all(each.eq(0).all() for each in parameter_gradients)
    require_same_state(norm.state_dict(), before)


@pytest.mark.parametrize(
    ("name", "settings", "mask"),
    [
        ("batch", {}, [[True, False, False], [False, False, False]]),
        ("batch_renorm", {"schedule": None}, [[True, False, False], [False, False, False]]),
        ("instance", {}, [[True, True, False], [False, True, False]]),
        ("group", {"group_size": 1}, [[True, True, False], [False, True, False]]),
    ],
)
def test_one_valid_value_for_a_statistic_is_refused_as_without_a_mask(name, settings, mask) -> None:
    norm = build(name, settings)
    before = copy.deepcopy(norm.state_dict())
    x, mask = draw((2, 8, 3), dtype=torch.float64), torch.tensor(mask)
    with pytest.raises(ValueError, match="valid .* but for some there is only one such value"):
        norm(x, mask)
    require_same_state(norm.state_dict(), before)
    torch._dynamo.reset()
    y = torch.compile(norm, backend="aot_eager", fullgraph=True)(x, mask)  # no look at values in there
    lonely = mask & (mask.sum(1, keepdim=True) == 1)
    if name == "batch_renorm":
        assert y.isfinite().all()
    else:
        require_close(y.movedim(1, -1)[lonely], norm.bias[None], ROUNDING, "zero, scaled and shifted")
    require_same_state(norm.state_dict(), before)


@pytest.mark.parametrize(("name", "settings"), {name: (name, settings) for name, settings in CASES}.values(), ids=str)
def test_compiles_into_one_graph(name, settings) -> None:
    x, mask, _ = padded((4, 8, 6))
    norm = build(name, settings)
    torch._dynamo.reset()
    compiled = torch.compile(copy.deepcopy(norm), backend="aot_eager", fullgraph=True)
    for _ in range(2):
        require_close(compiled(x, mask), norm(x, mask), ROUNDING, "compiled")
    require_same_state(compiled._orig_mod.state_dict(), norm.state_dict())


@pytest.mark.parametrize(("name", "settings"), CASES, ids=str)
def test_has_second_derivatives_and_a_vmap(name, settings) -> None:
    norm = build(name, settings)
    norm.update_running = False
    x, mask, _ = padded((3, 8, 4))
    x = x.nan_to_num(0.0).requires_grad_()
    if not norm.constant_in_gradient:
        assert torch.autograd.gradcheck(lambda x: norm(x, mask), (x,), fast_mode=True)
        assert torch.autograd.gradgradcheck(lambda x: norm(x, mask), (x,), fast_mode=True)
    norm.eval()
    xs, masks = torch.stack([x, 2 * x]), torch.stack([mask, mask.flip(0)])
    ys = torch.func.vmap(norm)(xs, masks)
    for i in range(2):
        require_close(ys[i], norm(xs[i], masks[i]), ROUNDING, "one of a vmap")


@pytest.mark.parametrize(("name", "settings"), CASES, ids=str)
def test_keeps_the_memory_format_and_is_as_precise_as_without_a_mask(name, settings) -> None:
    if name in ("none", "rms"):
        pytest.skip(f"{name} subtracts no mean, so that a large one is no difficulty")
    x = (draw((4, 8, 16, 16)) * 1e-2 + 1e3).contiguous(memory_format=torch.channels_last)
    mask = draw((4, 16, 16), seed=1) > 0
    norm = normlib.norms.create(name, 8, **settings)
    exact = copy.deepcopy(norm).double()
    y = norm(x, mask)
    assert y.is_contiguous(memory_format=torch.channels_last)
    # Rounding a mean of 1000 in float32 moves values by 3e-5, 0.003 spreads of 0.01, wherever it is done.
    require_close(y, exact(x.double(), mask), 0.02, "mean 1000, spread 0.01")
    half = (draw((4, 8, 16)) * 1e4).half().masked_fill(draw((4, 1, 16), seed=1) > 1, torch.inf)
    valid = draw((4, 16), seed=1) <= 1
    y = normlib.norms.create(name, 8, **settings)(half, valid)
    right = normlib.norms.create(name, 8, **settings).double()(half.double(), valid)
    require_close(y, right, 2e-3, "float16")  # two units in the last place at values from 1 to 2
    assert y.dtype is torch.float16


def test_a_norm_of_ones_own_says_what_it_has_to_implement() -> None:
    class Declares(Norm):
        takes_mask = True

        def normalize(self, x):
            return x

    with pytest.raises(NotImplementedError, match="Declares declares takes_mask, so it has to implement transform"):
        Declares(8)(draw((2, 8, 3)), torch.ones((2, 3), dtype=torch.bool))
    with pytest.raises(ValueError, match=r"\(2, 3\), but got shape \(2, 1, 3\) of type torch.bool"):
        Declares(8)(draw((2, 8, 3)), torch.ones((2, 1, 3), dtype=torch.bool))
    with pytest.raises(ValueError, match=r"of shape \(2, 3, 8\) that is \(2, 3\), but got shape \(2, 8\)"):
        Declares(8, channel_dim=-1)(draw((2, 3, 8)), torch.ones((2, 8), dtype=torch.bool))


@pytest.mark.parametrize(("name", "settings"), [case for case in CASES if case[0] != "none"])
def test_padding_spoils_no_gradient_without_epsilon(name, settings) -> None:
    norm = normlib.norms.create(name, 8, eps=0.0, dtype=torch.float64, **settings)
    x = draw((3, 8, 5), seed=1, dtype=torch.float64).requires_grad_()
    norm(x, torch.arange(5) < torch.tensor([5, 3, 0])[:, None]).square().sum().backward()
    assert all(tensor.grad.isfinite().all() for tensor in (x, *norm.parameters()))
