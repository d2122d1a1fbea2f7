"""Ghost batches: with `norm_batch_size` set, every norm that depends on the batch is what it is on each group of samples alone."""

from __future__ import annotations

import copy

import pytest
import torch

import normlib.norms
from normlib.norms import names, norms
from normlib.testing import draw, require_close
from normlib.testing.requirements import accepted

NAMES = [name for name in names() if norms[name].cls.depends_on_batch]
SETTINGS = {"batch_renorm": [{"schedule": None, "r_max": 1.1, "d_max": 0.1}], "batch": [{}, {"momentum": None}]}
CASES = [(name, settings) for name in NAMES for settings in SETTINGS.get(name, [{}])]
NEED_POSITIONS = {name for name in NAMES if accepted(normlib.norms.create(name, 8), draw((6, 8))) is None}
# The same operations on each group, put together again: a few roundings of float64, summed over tens of values.
ROUNDING = 1e-11
# Samples, norm_batch_size, and the groups: floor(samples / norm_batch_size) of them, sizes that differ by at most one.
GROUPS = [
    (12, 4, [4, 4, 4]),
    (13, 4, [5, 4, 4]),
    (11, 4, [6, 5]),
    (7, 4, [7]),
    (3, 4, [3]),
    (9, 2, [3, 2, 2, 2]),
    (5, 5, [5]),
]


def build(name, settings):
    """A norm in float64 whose affine parameters and running statistics are not those of a new one."""
    norm = normlib.norms.create(name, 8, dtype=torch.float64, **settings)
    with torch.no_grad():
        for parameter in norm.parameters():
            parameter.add_(draw(tuple(parameter.shape), seed=11, dtype=torch.float64), alpha=0.3)
    norm(draw((6, 8, 3, 2), seed=12, dtype=torch.float64))
    return norm


def output_and_gradients(norm, x, weights):
    x = x.detach().requires_grad_()
    y = norm(x)
    return y.detach(), *torch.autograd.grad((y * weights).sum(), [x, *norm.parameters()])


def test_there_is_a_norm_to_test() -> None:
    assert {"batch", "batch_renorm"} <= set(NAMES)


@pytest.mark.parametrize("positions", [(), (3, 2)], ids=str)
@pytest.mark.parametrize(("samples", "norm_batch_size", "sizes"), GROUPS, ids=str)
@pytest.mark.parametrize(("name", "settings"), CASES, ids=str)
def test_a_group_is_what_it_is_alone(name, settings, samples, norm_batch_size, sizes, positions) -> None:
    if name in NEED_POSITIONS and not positions:
        pytest.skip(f"{name} takes no input without positions")
    norm = build(name, settings)
    alone = [copy.deepcopy(norm) for _ in sizes]
    norm.norm_batch_size = norm_batch_size
    x, weights = (draw((samples, 8, *positions), seed=seed, dtype=torch.float64) * 2 + 1 for seed in (1, 2))
    y, gradient, *of_parameters = output_and_gradients(norm, x, weights)
    each = [output_and_gradients(*one) for one in zip(alone, x.split(sizes), weights.split(sizes))]
    require_close(y, torch.cat([found[0] for found in each]), ROUNDING, "output")
    require_close(gradient, torch.cat([found[1] for found in each]), ROUNDING, "gradient")
    for i, found in enumerate(of_parameters):
        require_close(found, sum(one[2 + i] for one in each), ROUNDING, "gradient of a parameter")
    for key, value in norm.state_dict().items():
        groups = torch.stack([one.state_dict()[key] for one in alone])
        if value.is_floating_point():  # the running averages take the mean over the groups
            require_close(value, groups.mean(0), ROUNDING, key)
        else:  # it was one batch
            assert all(torch.equal(value, group) for group in groups), key


@pytest.mark.parametrize(("name", "settings"), CASES, ids=str)
def test_at_inference_there_are_no_groups(name, settings) -> None:
    norm = build(name, settings).eval()
    other = copy.deepcopy(norm)
    norm.norm_batch_size = 2
    x = draw((6, 8, 3), dtype=torch.float64)
    for statistics in ("auto", "batch"):
        norm.statistics = other.statistics = statistics
        assert torch.equal(norm(x), other(x))


@pytest.mark.parametrize("name", NAMES)
def test_no_remainder_leaves_a_sample_alone(name) -> None:
    for samples in range(2, 12):
        for norm_batch_size in range(2, samples + 1):
            norm = normlib.norms.create(name, 8)
            norm.norm_batch_size = norm_batch_size
            groups = draw((samples, 1)).tensor_split(norm.num_groups_of_samples(samples))
            assert min(map(len, groups)) >= norm_batch_size
    norm = normlib.norms.create(name, 8)
    norm.norm_batch_size = 2
    x = draw((3, 8, 5) if name in NEED_POSITIONS else (3, 8))
    assert norm(x).isfinite().all()  # three samples are one group
    norm.norm_batch_size = 0
    with pytest.raises(ValueError, match="norm_batch_size is at least 1 sample"):
        norm(x)


@pytest.mark.parametrize("name", NAMES)
def test_groups_of_one_value_are_refused(name) -> None:
    norm = normlib.norms.create(name, 8)
    before = copy.deepcopy(norm.state_dict())
    norm.norm_batch_size = 1
    with pytest.raises(ValueError, match="only one value"):
        norm(draw((4, 8)))
    assert all(torch.equal(value, before[key]) for key, value in norm.state_dict().items())
    assert norm(draw((4, 8, 5))).isfinite().all()  # with positions, a sample has several
