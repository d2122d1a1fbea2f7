"""A norm whose statistics are its own gets everything that running statistics need from `measure` and `normalize` alone."""

from __future__ import annotations

import copy

import pytest
import torch

import normlib
from normlib.testing import draw, require_close
from tests.norms.own_running_norms import OWN

EXACT = 1e-11  # of float64: sums of tens of values of order one in another order


def build(name, **settings):
    norm = OWN[name](4, dtype=torch.float64, **settings)
    with torch.no_grad():
        norm.weight.add_(draw((4,), seed=11, dtype=torch.float64), alpha=0.3)
    return norm


def batch(samples, seed=0):
    mixed = draw((samples, 4, 3), seed=seed, dtype=torch.float64) * 2 + 1
    return mixed + 0.5 * mixed.roll(1, 1)


def running(norm):
    return {name.removeprefix("running_"): buffer.clone() for name, buffer in norm.running_buffers()}


def require_statistics(norm, expected):
    for name, value in running(norm).items():
        require_close(value, expected[name], EXACT, name)


@pytest.mark.parametrize("name", OWN)
def test_its_running_statistics_are_averages_of_what_it_measures(name) -> None:
    norm, expected = build(name, momentum=0.3), running(build(name))
    for seed in range(3):
        x = batch(6, seed)
        y = norm(x)
        found = norm.measure(x)
        require_close(y, norm.scale_and_shift(norm.normalize(x, **found)), EXACT, "training")
        expected = {key: torch.lerp(value, found[key], 0.3) for key, value in expected.items()}
    require_statistics(norm, expected)
    require_close(norm.eval()(x), norm.scale_and_shift(norm.normalize(x, **expected)), EXACT, "eval mode")


@pytest.mark.parametrize("name", OWN)
def test_precise_statistics_are_its_own_over_the_batches_by_their_values(name) -> None:
    norm, parts = build(name), [batch(6), batch(2, seed=1)]
    normlib.recompute_statistics(norm, parts)
    found = [norm.measure(part) for part in parts]
    require_statistics(norm, {key: torch.lerp(found[0][key], found[1][key], 0.25) for key in found[0]})
    if name == "mean_square":  # of which the mean over the batches is the one over all values
        require_statistics(norm, norm.measure(torch.cat(parts)))


@pytest.mark.parametrize("name", OWN)
def test_frozen_it_keeps_them(name) -> None:
    norm = build(name)
    norm(batch(6))
    before = running(norm)
    norm.freeze()
    y = norm.train()(batch(6, seed=1))
    require_statistics(norm, before)
    require_close(y, norm.eval()(batch(6, seed=1)), EXACT, "frozen against eval mode")


@pytest.mark.parametrize("name", OWN)
def test_ghost_batches_are_measured_each_alone(name) -> None:
    norm, x = build(name, momentum=1.0), batch(8)
    alone = copy.deepcopy(norm)
    norm.norm_batch_size = 4
    require_close(norm(x), torch.cat([alone(part) for part in x.split(4)]), EXACT, "output")
    found = [norm.measure(part) for part in x.split(4)]
    require_statistics(norm, {key: (found[0][key] + found[1][key]) / 2 for key in found[0]})


@pytest.mark.parametrize("name", OWN)
def test_a_mask_leaves_the_valid_values(name) -> None:
    norm, x = build(name, momentum=1.0), batch(6)
    mask = torch.arange(3) < torch.tensor([3, 2, 3, 1, 3, 0])[:, None]
    y = norm(x.masked_fill(~mask.unsqueeze(1), torch.nan), mask)
    values = x.movedim(1, -1)[mask]
    alone = build(name, momentum=1.0)
    require_close(y.movedim(1, -1)[mask], alone(values), EXACT, "valid values")
    require_statistics(norm, running(alone))
    padding = torch.zeros_like(mask)
    before = running(norm)
    assert norm(x, padding).eq(0).all()
    require_statistics(norm, before)
    assert int(norm.num_batches_tracked) == 1
    padding[0, 0] = True
    with pytest.raises(ValueError, match="only one such value"):
        norm(x, padding)


@pytest.mark.parametrize("name", OWN)
def test_a_batch_with_infinity_is_skipped_where_the_guard_is_on(name) -> None:
    norm = build(name, guard=True)
    x = batch(6)
    x[0, 0, 0] = torch.inf
    before = running(norm)
    try:
        norm(x)
    except torch.linalg.LinAlgError:
        return  # there is no such factor, and nothing has moved
    finally:
        require_statistics(norm, before)


@pytest.mark.parametrize("name", OWN)
def test_weighed_statistics_mix_its_own(name) -> None:
    norm = build(name)
    norm(batch(6))
    x = batch(3, seed=2)
    norm.eval()
    norm.own_weight, norm.statistics = 0.25, "weighed"
    y, kept = norm(x), running(norm)
    for index in range(3):
        own = norm.measure(x[index : index + 1])
        mixed = {key: torch.lerp(kept[key], own[key], 0.25) for key in kept}
        expected = norm.scale_and_shift(norm.normalize(x[index : index + 1], **mixed))
        require_close(y[index : index + 1], expected, EXACT, f"sample {index}")


@pytest.mark.parametrize("name", OWN)
def test_reset_puts_it_back(name) -> None:
    norm = build(name)
    norm(batch(6))
    norm.reset_parameters()
    fresh = OWN[name](4, dtype=torch.float64)
    assert all(torch.equal(value, fresh.state_dict()[key]) for key, value in norm.state_dict().items())
