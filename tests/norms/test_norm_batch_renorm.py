"""Batch renorm against its paper: values, gradients with r and d held constant, running averages, schedule, report."""

from __future__ import annotations

import copy
import math

import pytest
import torch

from normlib.norms.batch import BatchNorm
from normlib.norms.batch_renorm import BatchRenorm
from normlib.testing import draw, require_close
from tests.norms import references

SHAPES = [
    (6, 8),
    (6, 8, 5),
    (6, 8, 5, 4),
    (3, 8, 2, 3, 2),
    (32, 8, 20, 20),
]  # the last is large enough for the other code path
ROUNDING_64 = 1e-11


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("r_max", "d_max"), [(1.0, 0.0), (1.5, 0.5), (100.0, 100.0)])
def test_training_is_algorithm_1(shape, r_max, d_max) -> None:
    for layout in (torch.contiguous_format, torch.channels_last):
        if layout is torch.channels_last and len(shape) != 4:
            continue
        norm = BatchRenorm(8, r_max, d_max, schedule=None, momentum=0.1, dtype=torch.float64)
        mu, sigma = torch.zeros(8, dtype=torch.float64), torch.ones(8, dtype=torch.float64)
        scale = torch.linspace(0.2, 4, 8, dtype=torch.float64).view(1, 8, *[1] * (len(shape) - 2))
        for seed in range(4):
            x = ((draw(shape, seed=seed, dtype=torch.float64) + 1) * scale).contiguous(memory_format=layout)
            ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
            y = norm(ours)
            expected, _, _, mu, sigma = references.batch_renorm(theirs, mu, sigma, r_max, d_max, 0.1)
            require_close(y, expected, ROUNDING_64, "output")
            weights = draw(shape, seed=7, dtype=torch.float64)
            norm.zero_grad()
            y.backward(weights)
            expected.backward(weights)
            require_close(ours.grad, theirs.grad, ROUNDING_64, "gradient, r and d held constant")
            axes = [0, *range(2, len(shape))]
            require_close(norm.weight.grad, (weights * expected).sum(axes), 1e-10, "gradient to gamma")
            require_close(norm.bias.grad, weights.sum(axes), 1e-10, "gradient to beta")
            require_close(norm.running_mean, mu, ROUNDING_64, "mu")
            require_close(norm.running_std, sigma, ROUNDING_64, "sigma")


def test_without_room_it_is_batch_norm() -> None:
    x = draw((6, 8, 5, 4)) * 3 + 2
    renorm, batch = BatchRenorm(8, 1.0, 0.0, schedule=None), BatchNorm(8)
    require_close(renorm(x), batch(x), 1e-6, "r_max = 1, d_max = 0 against batch norm")  # the same kernel


def test_without_clipping_it_is_inference_with_the_statistics_from_before() -> None:
    norm = BatchRenorm(8, 1e6, 1e6, schedule=None, dtype=torch.float64)
    for seed in range(3):
        norm(draw((6, 8, 5), seed=seed, dtype=torch.float64) * 2 + 1)
    before = copy.deepcopy(norm).eval()
    x = draw((6, 8, 5), seed=9, dtype=torch.float64) * 5 - 3
    require_close(norm(x), before(x), ROUNDING_64, "training against inference")


def test_inference_adds_no_eps() -> None:
    norm = BatchRenorm(2, eps=0.5, dtype=torch.float64).eval()
    norm.running_std.fill_(2.0)
    norm.running_mean.fill_(1.0)
    x = draw((4, 2), dtype=torch.float64)
    require_close(norm(x), (x - 1) / 2, 1e-14, "inference")


def test_the_papers_schedule() -> None:
    norm = BatchRenorm(2)
    expected = {
        0: (1, 0),
        4_999: (1, 0),
        5_000: (1, 0),
        15_000: (1 + 2 * 10 / 35, 2.5),
        25_000: (1 + 2 * 20 / 35, 5),
        40_000: (3, 5),
        10**6: (3, 5),
    }
    for step, (r_max, d_max) in expected.items():
        norm.num_batches_tracked.fill_(step)
        report = norm.report()
        assert (report["r_max"], report["d_max"]) == pytest.approx((r_max, d_max), abs=1e-5), step


def test_fractions_are_the_same_shares_of_any_run() -> None:
    norm = BatchRenorm(2, schedule="fraction")
    norm.set_total_steps(100_000)
    steps = BatchRenorm(2)
    for step in (0, 5_000, 7_000, 30_000, 50_000):
        for layer in (norm, steps):
            layer.num_batches_tracked.fill_(step)
        assert norm.report()["r_max"] == pytest.approx(steps.report()["r_max"], abs=1e-5)
        assert norm.report()["d_max"] == pytest.approx(steps.report()["d_max"], abs=1e-5)
    short = BatchRenorm(2, schedule="fraction", warmup=0.0, d_ramp_end=0.5, r_ramp_end=1.0)
    short.set_total_steps(10)
    for _ in range(5):
        short(draw((4, 2)))
    assert (short.report()["r_max"], short.report()["d_max"]) == pytest.approx((2, 5))


def test_fractions_need_the_length_of_the_run() -> None:
    norm = BatchRenorm(2, schedule="fraction")
    with pytest.raises(RuntimeError, match="set_total_steps"):
        norm(draw((4, 2)))
    assert math.isnan(norm.report()["r_max"])
    norm.eval()(draw((4, 2)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"r_max": 0.5}, "r_max >= 1"),
        ({"d_max": -1.0}, "d_max >= 0"),
        ({"schedule": "epochs"}, "one of 'steps', 'fraction' or None"),
        ({"schedule": None, "warmup": 10}, "schedule=None has none"),
        ({"warmup": 30_000}, "in order"),
        ({"schedule": "fraction", "r_ramp_end": 40_000}, "at most 1"),
    ],
    ids=str,
)
def test_bad_settings(settings, message) -> None:
    with pytest.raises(ValueError, match=message):
        BatchRenorm(2, **settings)


def test_report_counts_clipped_channels() -> None:
    norm = BatchRenorm(4, 2.0, 1.0, schedule=None, momentum=0.0)
    x = draw((64, 4))
    x = (x - x.mean(0)) / x.std(0, correction=0)
    norm(x * torch.tensor([1.0, 1.5, 3.0, 0.1]))  # r of the third and fourth are clipped
    assert norm.report() == pytest.approx(
        {"r_max": 2, "d_max": 1, "clipped_r": 0.5, "clipped_d": 0, "mean_clipped_r": 0.5, "mean_clipped_d": 0}
    )
    norm(x + torch.tensor([0.0, 5.0, 0.0, 0.0]))
    report = norm.report()
    assert (report["clipped_r"], report["clipped_d"], report["mean_clipped_r"], report["mean_clipped_d"]) == (
        0,
        0.25,
        0.25,
        0.125,
    )
    norm.eval()(x * 100)
    assert norm.report() == report


def test_state_has_the_clock_and_no_counters() -> None:
    assert list(BatchRenorm(2).state_dict()) == ["weight", "bias", "running_mean", "running_std", "num_batches_tracked"]


def test_half_precision_of_the_module_leaves_the_schedule_exact() -> None:
    norm = BatchRenorm(2).half()
    norm.num_batches_tracked.fill_(15_000)
    assert norm.report()["r_max"] == pytest.approx(1 + 2 * 10 / 35, abs=1e-5)
    assert norm(draw((4, 2)).half()).dtype is torch.float16


def test_a_resumed_run_is_bit_exact() -> None:
    def fresh():
        return BatchRenorm(4, schedule="steps", warmup=1, d_ramp_end=4, r_ramp_end=6)

    whole, first = fresh(), fresh()
    outputs = [whole(draw((8, 4), seed=seed) * 4) for seed in range(8)]
    for seed in range(4):
        first(draw((8, 4), seed=seed) * 4)
    second = fresh()
    second.load_state_dict(first.state_dict())
    for seed in range(4, 8):
        assert torch.equal(second(draw((8, 4), seed=seed) * 4), outputs[seed])


def test_compiles_whole_with_the_schedule_advancing() -> None:
    eager = BatchRenorm(4, schedule="steps", warmup=1, d_ramp_end=4, r_ramp_end=6)
    module = copy.deepcopy(eager)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    for seed in range(6):
        x = draw((8, 4), seed=seed) * 4
        require_close(compiled(x), eager(x), 1e-5, f"compiled, step {seed}")
    require_close(module.running_std, eager.running_std, 1e-5, "running_std")
    assert int(module.num_batches_tracked) == 6
