"""Population statistics, pooled exactly from batches, and inference example weighing, against float64 references."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import normlib
from normlib.norms.population import stateful_norms
from normlib.testing import draw

ROUNDING = 1e-6  # of float32 buffers around one
EXACT = 1e-12  # float64, a few dozen operations
SETTINGS: dict[str, dict[str, Any]] = {
    "batch_renorm": {"schedule": None},
    "instance": {"track_running_stats": True},
}


def build(name: str, **settings: Any) -> Any:
    return normlib.create(name, 4, **SETTINGS.get(name, {}), **settings)


STATEFUL = [name for name in normlib.names() if getattr(build(name), "has_running_statistics", False)]


def close(got: Tensor, expected: Tensor, tolerance: float = ROUNDING) -> bool:
    return bool(((got.double() - expected.double()).abs() <= tolerance * expected.double().abs().clamp(min=1)).all())


def population_of(norm: Any) -> tuple[Any, Tensor]:
    """The mean, if any, and the variance that the running statistics stand for."""
    running = dict(norm.running_buffers())
    std = running.get("running_std")
    return running.get("running_mean"), running["running_var"] if std is None else std.square() - norm.eps


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    values = x.double().movedim(1, -1).flatten(0, -2)
    return values.mean(0), values.var(0)


def test_the_members_that_keep_running_statistics_are_known() -> None:
    assert {"batch", "batch_renorm", "instance"} <= set(STATEFUL)


def masked_batches(x: Tensor, mask: Tensor, sizes: list[int]) -> list[dict[str, Tensor]]:
    return [{"x": part, "mask": valid} for part, valid in zip(x.split(sizes), mask.split(sizes))]


def with_masks(norm: Any, batches: list[dict[str, Tensor]]) -> None:
    normlib.recompute_statistics(norm, batches, forward=lambda norm, batch: norm(batch["x"], batch["mask"]))


def test_pooled_moments_are_those_of_all_values_at_once_in_any_parts() -> None:
    x = (
        draw((23, 4, 3, 2), dtype=torch.float64) * 1e-2 + 1e3
    )  # where E[x^2] - E[x]^2 would lose all digits of a float32
    norm = build("batch", dtype=torch.float64)
    normlib.recompute_statistics(norm, x.split([1, 7, 0, 15]))
    mean, var = moments(x)
    assert close(norm.running_mean, mean, EXACT) and close(norm.running_var / var, torch.ones(4), 1e-9)
    mask = draw((23, 3, 2), seed=1) > 0
    with_masks(norm, masked_batches(x, mask, [9, 14]))
    valid = x.movedim(1, -1)[mask]
    assert close(norm.running_mean, valid.mean(0), EXACT)
    assert close(norm.running_var / valid.var(0), torch.ones(4), 1e-9)


def test_averages_over_samples_weigh_every_sample_alike() -> None:
    x = draw((10, 4, 5), dtype=torch.float64)
    norm = build("instance", dtype=torch.float64)
    for sizes in ([10], [1, 6, 3]):
        normlib.recompute_statistics(norm, x.split(sizes))
        assert close(norm.running_mean, x.mean(2).mean(0), EXACT) and close(norm.running_var, x.var(2).mean(0), EXACT)
    mask = torch.arange(5) < torch.tensor([2, 3, 4, 5, 5, 5, 4, 3, 2, 2])[:, None]
    with_masks(norm, masked_batches(x, mask, [4, 6]))
    expected = torch.stack([s[:, m].var(1) for s, m in zip(x, mask)]).mean(0)
    assert close(norm.running_var, expected, EXACT)


@pytest.mark.parametrize("channel_dim", [1, -1])
@pytest.mark.parametrize("name", STATEFUL)
def test_recomputed_statistics_are_those_of_all_values(name: str, channel_dim: int) -> None:
    norm = build(name, channel_dim=channel_dim)
    x = draw((20, 4, 3, 3)) * 3 + 2
    laid_out = x if channel_dim == 1 else x.movedim(1, -1).contiguous()
    before = copy.deepcopy(norm.state_dict())
    normlib.recompute_statistics(norm, laid_out.split([8, 8, 4]))
    mean, var = moments(x)
    if name == "instance":
        mean, var = x.double().mean((2, 3)).mean(0), x.double().flatten(2).var(2).mean(0)
    if name == "batch_renorm":
        batches = [part.double().movedim(1, -1).flatten(0, -2) for part in x.split([8, 8, 4])]
        mean = torch.stack([part.mean(0) for part in batches]).mean(0)
        var = (
            torch.stack([(part.var(0, correction=0) + norm.eps).sqrt() for part in batches]).mean(0).square() - norm.eps
        )
    got_mean, got_var = population_of(norm)
    assert got_mean is None or close(got_mean, mean)
    assert close(got_var, var, 1e-5)  # batch renorm keeps the deviation, whose square has twice its rounding
    changed = {name for name, value in norm.state_dict().items() if not torch.equal(value, before[name])}
    assert changed <= {"running_mean", "running_var", "running_std"} and changed
    assert norm.training and norm.statistics == "auto" and norm.update_running


TORCH = {
    "batch 1d": (nn.BatchNorm1d(4), (12, 4)),
    "batch 2d": (nn.BatchNorm2d(4), (12, 4, 3, 3)),
    "sync": (nn.SyncBatchNorm(4), (12, 4, 3)),
    "instance": (nn.InstanceNorm2d(4, track_running_stats=True), (12, 4, 3, 3)),
}


@pytest.mark.parametrize("kind", TORCH)
def test_torch_norms_get_what_one_batch_with_momentum_one_would_leave(kind: str) -> None:
    norm, shape = TORCH[kind]
    norm, reference = copy.deepcopy(norm), copy.deepcopy(norm)
    reference.momentum = 1.0
    x = draw(shape) * 2 + 1
    reference(x)
    normlib.recompute_statistics(norm, [x[:6], x[6:]])
    for name in ("running_mean", "running_var"):
        assert close(getattr(norm, name), getattr(reference, name))
    assert int(norm.num_batches_tracked) == 0


def test_an_instance_without_a_batch_dimension_counts_as_one_sample() -> None:
    norm = nn.InstanceNorm1d(4, track_running_stats=True)
    x = draw((4, 7))
    normlib.recompute_statistics(norm, [x])
    assert close(norm.running_mean, x.mean(1)) and close(norm.running_var, x.var(1))


def stacked(first: nn.Module, second: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 4), first, nn.Dropout(0.5), nn.ReLU(), nn.Linear(4, 4), second)


def test_stacked_norms_see_batches_as_they_flow_in_training_but_for_dropout() -> None:
    model = stacked(normlib.BatchNorm(4), nn.BatchNorm1d(4))
    x, state = draw((32, 4)) * 2, torch.get_rng_state()
    normlib.recompute_statistics(model, ((part, "label") for part in x.split(8)))
    assert torch.equal(state, torch.get_rng_state())
    linear, after = model[0].double(), model[4].double()
    first = linear(x.double())
    flowing = torch.cat([(p - p.mean(0)) / (p.var(0, correction=0) + 1e-5).sqrt() for p in first.split(8)])
    second = after(flowing.relu())
    for norm, values in ((model[1], first), (model[5], second)):
        mean, var = moments(values.detach())
        assert close(norm.running_mean, mean, 1e-5) and close(
            norm.running_var, var, 1e-5
        )  # a layer in float32 lies between


def test_groups_of_samples_flow_as_in_training() -> None:
    ghost, norms = normlib.BatchNorm(4), []
    ghost.norm_batch_size = 4
    model = stacked(ghost, normlib.BatchNorm(4))
    x = draw((16, 4))
    for batches in (x.split(8), x.split(4)):
        normlib.recompute_statistics(model, batches)
        norms.append(model[5].running_var.clone())
    assert close(norms[0], norms[1]) and not close(norms[0], torch.ones(4), 1e-2)


def test_precise_statistics_are_put_back_with_everything_else() -> None:
    model = stacked(normlib.BatchRenorm(4, schedule=None), nn.BatchNorm1d(4))
    model(draw((8, 4)))
    model[2].eval()
    norm, modes = model[1], [module.training for module in model.modules()]
    before = {
        name: buffer.clone() for name, buffer in model.named_buffers()
    }  # batch renorm's counts of clipped channels too
    with normlib.precise_statistics(model, [draw((8, 4), seed=1)]):
        assert not torch.equal(norm.running_mean, before["1.running_mean"])
        assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())
    with pytest.raises(RuntimeError), normlib.precise_statistics(model, [draw((8, 4), seed=1)]):
        raise RuntimeError
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())


def test_frozen_norms_stay() -> None:
    frozen, moving, of_torch = normlib.BatchNorm(4), normlib.BatchNorm(4), nn.BatchNorm1d(4).eval()
    frozen.freeze()
    model = nn.Sequential(frozen, moving, of_torch)
    of_torch.eval()
    normlib.recompute_statistics(model, [draw((8, 4)) + 5])
    assert torch.equal(frozen.running_mean, torch.zeros(4)) and torch.equal(of_torch.running_mean, torch.zeros(4))
    assert close(
        moving.running_mean, draw((8, 4)).mean(0) + 5, 1e-4
    )  # it sees what the frozen norm, with its eps, leaves
    normlib.recompute_statistics(model.eval(), [draw((8, 4)) + 5])  # a model in eval mode: torch's norms are not frozen
    assert not torch.equal(of_torch.running_mean, torch.zeros(4))


def test_a_shared_norm_pools_every_call_and_an_unused_one_stays() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.unused = nn.BatchNorm1d(4), nn.BatchNorm1d(4)

        def forward(self, x: Tensor) -> Tensor:
            return self.norm(x) + self.norm(x * 3)

    model, x = Twice(), draw((8, 4))
    assert len(stateful_norms(model)) == 2
    normlib.recompute_statistics(model, [x])
    assert close(model.norm.running_var, torch.cat([x, x * 3]).var(0))
    assert torch.equal(model.unused.running_var, torch.ones(4))


def test_a_mask_keeps_padding_out() -> None:
    class Padded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = normlib.BatchNorm(4)

        def forward(self, batch: dict[str, Tensor]) -> Tensor:
            return self.norm(batch["x"], mask=batch["mask"])

    model, x = Padded(), draw((6, 4, 5))
    mask = torch.arange(5) < torch.tensor([5, 4, 3, 3, 2, 1])[:, None]
    padded = torch.where(mask[:, None], x, 1e4)
    normlib.recompute_statistics(model, [{"x": padded, "mask": mask}], forward=lambda model, batch: model(batch))
    assert close(model.norm.running_mean, x.movedim(1, -1)[mask].mean(0))


def test_processes_pool_together_also_where_one_has_fewer_batches_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    x = draw((20, 4))
    mean, var = moments(x[:10])
    other = (10, {"mean": mean, "var": var * 9 / 10})  # biased

    def gathered(parts: list[Any], own: Any) -> None:
        parts[:] = [own, other, (0, {})]

    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 3)
    monkeypatch.setattr(torch.distributed, "all_gather_object", gathered)
    norm, without = normlib.BatchNorm(4), normlib.BatchNorm(4)
    normlib.recompute_statistics(norm, [x[10:]])
    assert close(norm.running_mean, x.mean(0)) and close(norm.running_var, x.var(0))
    normlib.recompute_statistics(without, [])
    assert close(without.running_var, x[:10].var(0))


def test_wrong_uses_say_the_fix() -> None:
    with pytest.raises(ValueError, match=r"Linear has no norm with running statistics that may move.*unfreeze"):
        normlib.recompute_statistics(nn.Linear(4, 4), [draw((8, 4))])
    with pytest.raises(ValueError, match="no batch came"):
        normlib.recompute_statistics(nn.BatchNorm1d(4), [])
    with pytest.raises(ValueError, match=r"a dict came.*forward="):
        normlib.recompute_statistics(nn.BatchNorm1d(4), [{"x": draw((8, 4))}])


# ---- inference example weighing ----------------------------------------------------------------------------------


def warmed_up(name: str, **settings: Any) -> Any:
    norm = build(name, **settings)
    with torch.no_grad():
        for seed in range(3):
            norm(draw((6, 4, 3, 3), seed=seed) * 2 + 1)
        norm.weight.add_(draw((4,), seed=4), alpha=0.3)
        norm.bias.add_(draw((4,), seed=5))
    return norm.eval()


def weighed_reference(norm: Any, x: Tensor, own: float) -> Tensor:
    """The paper's moments, as it writes them, in float64: x (N, C, positions)."""
    x = x.double()
    mean, var = (value.double() for value in population_of(norm))
    first = own * x.mean(2) + (1 - own) * mean
    second = own * x.square().mean(2) + (1 - own) * (var + mean.square())
    y = (x - first[:, :, None]) / (second - first.square() + norm.eps).sqrt()[:, :, None]
    return y * norm.weight.double()[None, :, None] + norm.bias.double()[None, :, None]


@pytest.mark.parametrize("own", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("name", ["batch", "batch_renorm", "instance"])
def test_weighed_moments_are_those_of_the_paper(name: str, own: float) -> None:
    norm, x = warmed_up(name), draw((5, 4, 6), seed=7) * 2 + 1
    norm.own_weight, norm.statistics = own, "weighed"
    before = copy.deepcopy(norm.state_dict())
    y = norm(x)
    assert close(y, weighed_reference(norm, x, own), 1e-5)
    assert close(torch.cat([norm(sample[None]) for sample in x]), y), "a sample sees another"
    assert all(torch.equal(before[key], value) for key, value in norm.state_dict().items())
    image = x.view(5, 4, 3, 2).contiguous(memory_format=torch.channels_last)
    assert norm(image).stride() == image.stride() and close(norm(image).flatten(2), y)
    assert close(norm(x.bfloat16()), y, 2e-2) and norm(x.bfloat16()).dtype is torch.bfloat16  # eight bits a value


@pytest.mark.parametrize("name", STATEFUL)
def test_a_weight_of_zero_is_inference_as_always(name: str) -> None:
    norm, x = warmed_up(name), draw((5, 4, 3, 3), seed=7)
    expected = norm(x)
    norm.own_weight, norm.statistics = 0.0, "weighed"
    assert close(norm(x), expected)
    norm.own_weight = 0.5
    assert not close(norm(x), expected, 1e-2)


def test_a_norm_that_keeps_only_a_variance_gets_mixed_variances() -> None:
    norm, x = warmed_up("evonorm_b0"), draw((5, 4, 3, 3), seed=7) * 2 + 1
    norm.own_weight, norm.statistics = 0.3, "weighed"
    y, running = norm(x), norm.running_var.clone()
    norm.statistics = "running"
    for sample, out in zip(x, y):
        norm.running_var.copy_(0.3 * sample.var((1, 2), correction=0) + 0.7 * running)
        assert close(norm(sample[None])[0], out)


def test_a_flat_sample_is_its_own_mean() -> None:
    norm = warmed_up("batch")
    norm.own_weight, norm.statistics = 0.3, "weighed"
    x = draw((5, 4), seed=7) * 2 + 1
    assert close(norm(x), weighed_reference(norm, x[:, :, None], 0.3)[:, :, 0], 1e-5)


def test_weighed_moments_with_channels_in_the_last_dimension_or_a_mask() -> None:
    norm, x = warmed_up("batch"), draw((5, 4, 6), seed=7)
    last = build("batch", channel_dim=-1).eval()
    last.load_state_dict(norm.state_dict())
    for each in (norm, last):
        each.own_weight, each.statistics = 0.3, "weighed"
    assert close(last(x.movedim(1, -1)), norm(x).movedim(1, -1))
    mask = torch.arange(6) < torch.tensor([6, 5, 3, 1, 4])[:, None]
    y = norm(torch.where(mask[:, None], x, torch.nan), mask)
    for sample, valid, out in zip(x, mask, y):
        length = int(valid.sum())
        assert close(out[:, :length], norm(sample[None, :, :length])[0], 1e-5)
        assert not out[:, length:].any()


def test_weighed_statistics_are_refused_where_they_cannot_be() -> None:
    norm = build("batch")
    with pytest.raises(ValueError, match="set own_weight first"):
        norm.statistics = "weighed"
    with pytest.raises(ValueError, match=r"from 0 to 1, got 1\.5"):
        norm.own_weight = 1.5
    norm.own_weight = 0.1
    norm.statistics = "weighed"
    with pytest.raises(ValueError, match=r"training mode: call eval\(\)"):
        norm(draw((8, 4)))
    group = build("group")
    group.own_weight = 0.1
    with pytest.raises(ValueError, match="no running statistics"):
        group.statistics = "weighed"
