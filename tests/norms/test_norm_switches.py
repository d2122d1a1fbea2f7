"""The batch over which statistics are taken, and the three switches: which normalize, whether they move, whether affine trains."""

from __future__ import annotations

import pytest
import torch

import normlib.norms
from normlib.norms import norms
from normlib.norms.batch import BatchNorm
from normlib.norms.batch_renorm import BatchRenorm
from normlib.testing import draw, require_close

ROUNDING = 1e-6
FREE = {"batch": {}, "batch_renorm": {"schedule": None, "r_max": 1.0, "d_max": 0.0}}


@pytest.mark.parametrize("shape", [(10, 4), (10, 4, 3, 3)], ids=str)
@pytest.mark.parametrize("name", FREE)
def test_statistics_are_those_of_groups_of_samples(name, shape) -> None:
    norm, alone = normlib.norms.create(name, 4, **FREE[name]), normlib.norms.create(name, 4, **FREE[name])
    norm.norm_batch_size = 4  # floor(10 / 4) = 2 groups, as equal as possible: 5 and 5
    x = draw(shape)
    require_close(norm(x), torch.cat([alone(x[:5]), alone(x[5:])]), ROUNDING, "groups against their samples alone")
    assert int(norm.num_batches_tracked) == 1
    second = "running_var" if name == "batch" else "running_std"
    one, two = normlib.norms.create(name, 4, **FREE[name]), normlib.norms.create(name, 4, **FREE[name])
    one(x[:5])
    two(x[5:])
    for key in ("running_mean", second):  # one update with the mean over the groups
        require_close(getattr(norm, key), (getattr(one, key) + getattr(two, key)) / 2, ROUNDING, key)


def test_no_group_is_smaller_than_asked() -> None:
    norm = BatchNorm(2)
    for k, n in [(1, 5), (4, 11), (4, 3), (8, 8), (3, 8)]:
        norm.norm_batch_size = k
        sizes = [len(part) for part in torch.empty(n).tensor_split(norm.num_groups_of_samples(n))]
        assert min(sizes) >= min(k, n)
        assert max(sizes) - min(sizes) <= 1
        assert len(sizes) == max(1, n // k)


def test_the_norm_batch_size_is_inert_elsewhere() -> None:
    x = draw((6, 8, 3, 3))
    for name in ("layer", "group", "instance", "none"):
        norm = normlib.norms.create(name, 8)
        expected = norm(x)
        norm.norm_batch_size = 2
        assert torch.equal(norm(x), expected)
    norm = BatchNorm(8)
    norm(x)
    expected = norm.eval()(x)
    norm.norm_batch_size = 2
    assert torch.equal(norm(x), expected)


def test_groups_of_one_flat_sample_are_refused() -> None:
    for name in FREE:
        norm = normlib.norms.create(name, 4)
        norm.norm_batch_size = 1
        with pytest.raises(ValueError, match="only one value"):
            norm(draw((6, 4)))
        norm(draw((6, 4, 3)))


@pytest.mark.parametrize("name", ["batch", "batch_renorm"])
def test_the_switches_are_separate(name) -> None:
    x = draw((8, 4)) * 2 + 1
    norm = normlib.norms.create(name, 4, **FREE[name])
    norm.statistics = "running"
    before = norm.running_mean.clone()
    require_close(norm(x), x, 1e-4, "training with the running statistics, which are 0 and 1")  # eps
    assert not torch.equal(norm.running_mean, before)  # and yet they move
    norm.update_running = False
    norm.statistics = "batch"
    norm.eval()
    state = {key: value.clone() for key, value in norm.state_dict().items()}
    require_close(norm(x).mean(0), torch.zeros(4), 1e-5, "eval mode with the batch's statistics")
    norm.train()
    norm(x)
    assert all(torch.equal(state[key], value) for key, value in norm.state_dict().items())
    assert norm.weight.requires_grad
    norm.train_affine(False)
    assert not norm.weight.requires_grad


def test_running_gradients_take_the_statistics_as_constants() -> None:
    for name in FREE:
        norm = normlib.norms.create(name, 4, **FREE[name])
        norm.statistics = "running"
        x = draw((8, 4)).requires_grad_()
        norm(x).sum().backward()
        require_close(x.grad, torch.ones(8, 4), 1e-4, "gradient")


def test_a_norm_without_running_statistics_cannot_use_them() -> None:
    for norm in (normlib.norms.create("group", 8), BatchNorm(8, track_running_stats=False)):
        with pytest.raises(ValueError, match="no running statistics"):
            norm.statistics = "running"
        norm.freeze()
        assert norm.statistics == "auto"
    with pytest.raises(ValueError, match="auto"):
        BatchNorm(8).statistics = "population"


def test_the_switches_are_not_in_the_state() -> None:
    norm = BatchNorm(4)
    norm.freeze()
    other = BatchNorm(4)
    other.load_state_dict(norm.state_dict())
    assert other.statistics == "auto"
    assert other.update_running
    assert "statistics='running'" in repr(norm)


def test_a_norm_with_guard_skips_a_batch_that_is_not_finite() -> None:
    for cls in (BatchNorm, BatchRenorm):
        norm = cls(4, guard=True)
        norm(draw((8, 4)))
        before = {key: value.clone() for key, value in norm.state_dict().items()}
        x = draw((8, 4))
        x[0, 0] = float("nan")
        norm(x)
        assert all(torch.equal(before[key], value) for key, value in norm.state_dict().items())


def test_a_shared_norm_takes_two_inputs_before_one_backward_pass() -> None:
    norm = BatchNorm(4)
    (norm(draw((8, 4, 3, 3))).sum() + norm(draw((4, 4))).sum() + norm(draw((64, 4))).sum()).backward()


def test_wrong_inputs_say_rule_what_came_and_fix() -> None:
    with pytest.raises(ValueError, match=r"num_features = 4.*\(2, 5, 3\).*channel_dim=-1"):
        BatchNorm(4)(draw((2, 5, 3)))
    with pytest.raises(ValueError, match="only one value"):
        BatchNorm(4)(draw((1, 4)))
    for settings, message in [
        ({"num_groups": 2, "group_size": 2}, "not by both"),
        ({"num_groups": 3}, r"8 channels came with num_groups=3; use one of \[1, 2, 4, 8\]"),
        ({"group_size": 16}, "group_size=16"),
        ({"num_groups": 0}, "num_groups=0"),
    ]:
        with pytest.raises(ValueError, match=message):
            normlib.norms.create("group", 8, **settings)
    with pytest.raises(ValueError, match="channel_dim"):
        normlib.norms.create("layer", 8, channel_dim=2)


def test_default_groups() -> None:
    widths = {1: 1, 7: 7, 8: 8, 20: 5, 64: 8, 66: 6, 13: 1}
    assert {width: normlib.norms.create("group", width).num_groups for width in widths} == widths


@pytest.mark.parametrize("name", [entry.name for entry in norms.entries() if "eps" in entry.settings])
def test_a_negative_eps_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="eps must not be negative"):
        normlib.create(name, 8, eps=-1.0)
