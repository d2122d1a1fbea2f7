"""Filter response norm and EvoNorm B0 and S0, which bring their own activation: against their papers and timm; state and sites."""

from __future__ import annotations

import pytest
import torch

import normlib.norms
from normlib.norms.batch import BatchNorm
from normlib.norms.evonorm_b0 import EvoNormB0
from normlib.norms.evonorm_s0 import EvoNormS0
from normlib.norms.frn import EPS_START, FilterResponseNorm
from normlib.testing import draw, require_close
from tests.norms import references
from tests.norms.against_references import SHAPES, check_against_reference, per_channel

ROUNDING = 1e-5  # the same formula in another order of operations, in float32
WITH_POSITIONS = SHAPES[1:]


def affine(y, of):
    return per_channel(of["weight"], y) * y + per_channel(of["bias"], y)


def frn(x, of):
    eps = 1e-5 + of["learned_eps"].abs() if "learned_eps" in of else 1e-5
    y = affine(references.filter_response_norm(x, eps), of)
    return torch.maximum(y, per_channel(of["tau"], x)) if "tau" in of else y


def b0(x, of):
    return affine(references.evonorm_b0(x, per_channel(of["v"], x)), of)


def s0(num_groups):
    return lambda x, of: affine(references.evonorm_s0(x, per_channel(of["v"], x), num_groups), of)


PAPERS = [
    ("frn", {}, frn),
    ("frn", {"learn_eps": True}, frn),
    ("frn", {"activate": False}, frn),
    ("evonorm_b0", {}, b0),
    ("evonorm_b0", {"activate": False}, affine),
    ("evonorm_s0", {}, s0(8)),
    ("evonorm_s0", {"num_groups": 2}, s0(2)),
    ("evonorm_s0", {"group_size": 8}, s0(1)),
    ("evonorm_s0", {"activate": False}, affine),
]


@pytest.mark.parametrize("shape", WITH_POSITIONS, ids=str)
@pytest.mark.parametrize(
    ("name", "settings", "reference"), PAPERS, ids=[f"{name} {settings}" for name, settings, _ in PAPERS]
)
def test_values_and_gradients_are_the_papers(name, settings, reference, shape) -> None:
    check_against_reference(name, settings, reference, shape)


def test_evonorm_s0_without_positions() -> None:
    check_against_reference("evonorm_s0", {"num_groups": 2}, s0(2), (6, 8))


def test_a_learned_epsilon_takes_inputs_without_positions() -> None:
    norm = FilterResponseNorm(8, learn_eps=True, dtype=torch.float64)
    x = draw((6, 8), dtype=torch.float64)
    y = norm(x)
    require_close(y, (x / (x.square() + 1e-5 + EPS_START).sqrt()).clamp(min=0), 1e-12, "one position")
    y.sum().backward()
    assert float(norm.learned_eps.grad) != 0


@pytest.mark.parametrize("shape", WITH_POSITIONS, ids=str)
def test_the_running_variance_of_b0_is_that_of_batch_norm(shape) -> None:
    for momentum in (0.1, 0.3, None):
        ours, batch = EvoNormB0(8, momentum=momentum), BatchNorm(8, momentum=momentum)
        for seed in range(3):
            x = draw(shape, seed=seed) * 3 + 2
            ours(x)
            batch(x)
        require_close(ours.running_var, batch.running_var, ROUNDING, f"momentum={momentum}")
        assert int(ours.num_batches_tracked) == 3


def test_b0_divides_by_its_running_variance_at_inference() -> None:
    norm = EvoNormB0(8, dtype=torch.float64)
    norm(draw((6, 8, 5, 4), dtype=torch.float64) * 3)
    x = draw((6, 8, 5, 4), seed=1, dtype=torch.float64)
    v, running = per_channel(norm.v.detach(), x), per_channel(norm.running_var.clone(), x)
    require_close(norm.eval()(x), references.evonorm_b0(x, v, running), 1e-12, "eval mode")
    norm.train().statistics = "running"
    require_close(norm(x), references.evonorm_b0(x, v, running), 1e-12, "running statistics from before the batch")
    assert int(norm.num_batches_tracked) == 2, "and the batch moves them afterwards"


def test_b0_at_one_sample_is_finite() -> None:
    # timm multiplies the running variance by n / (n - 1), which at one value a channel, n = 1, is a division by zero.
    norm = EvoNormB0(8)
    y = norm(draw((1, 8, 2, 1)))
    assert bool(y.isfinite().all())
    assert bool(norm.running_var.isfinite().all())
    with pytest.raises(ValueError, match="only one value for each: the deviation would always be zero"):
        norm(draw((1, 8, 1, 1)))


def test_ghost_batches_of_b0() -> None:
    norm, alone = EvoNormB0(8), EvoNormB0(8)
    norm.norm_batch_size = 3
    x = draw((7, 8, 5, 4))
    y = norm(x)
    parts = x.tensor_split(2)
    require_close(y, torch.cat([alone(part) for part in parts]), ROUNDING, "groups of 4 and 3 samples")
    mean = torch.stack([part.var((0, 2, 3)) for part in parts]).mean(0)
    require_close(norm.running_var, 0.9 + 0.1 * mean, ROUNDING, "the running variance takes the mean over the groups")
    assert int(norm.num_batches_tracked) == 1


def test_without_an_activation_in_its_place() -> None:
    x = draw((6, 8, 5, 4))
    for cls in (EvoNormB0, EvoNormS0):
        norm = cls(8, activate=False)
        assert torch.equal(norm(x), x), "scale and shift alone, which start as identity"
        assert set(norm.state_dict()) == {"weight", "bias"}
        assert not norm.has_running_statistics
    assert set(FilterResponseNorm(8, activate=False).state_dict()) == {"weight", "bias"}


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("frn", (4, 8), "only one value for each: only its sign would come out; set learn_eps=True"),
        (
            "evonorm_b0",
            (4, 8),
            "only one value for each: the deviation would always be zero; give it an input with positions",
        ),
        ("evonorm_s0", (4, 8), "only one value for each: the deviation would always be zero; use fewer groups"),
    ],
)
def test_a_statistic_of_one_value_is_refused(name, shape, message) -> None:
    for training in (True, False):
        with pytest.raises(ValueError, match=message):
            normlib.norms.create(name, shape[1]).train(training)(draw(shape))


def test_groups_are_given_once() -> None:
    with pytest.raises(ValueError, match="by num_groups or by group_size, not by both"):
        EvoNormS0(8, num_groups=2, group_size=4)


@pytest.mark.vision
@pytest.mark.parametrize("act", [True, False])
def test_timms_counterparts(act) -> None:
    layers = pytest.importorskip("timm.layers", reason="timm is not installed")
    x = draw((6, 8, 5, 4)) * 2 + 1
    pairs = {
        "frn": (FilterResponseNorm(8, activate=act), layers.FilterResponseNormTlu2d(8, apply_act=act)),
        "b0": (EvoNormB0(8, activate=act), layers.EvoNorm2dB0(8, apply_act=act, eps=1e-5)),
        "s0": (EvoNormS0(8, num_groups=4, activate=act), layers.EvoNorm2dS0(8, groups=4, apply_act=act)),
    }
    for name, (ours, theirs) in pairs.items():
        with torch.no_grad():
            for seed, parameter in enumerate(theirs.parameters()):
                parameter.add_(draw((8,), seed=seed), alpha=0.1)
        # timm's running variance is there without an activation too, and it counts no batches.
        state = {key: value for key, value in theirs.state_dict().items() if act or key != "running_var"}
        missing, unexpected = ours.load_state_dict(state, strict=False)
        assert set(missing) <= {"num_batches_tracked"}
        assert not unexpected
        for _ in range(2):
            require_close(ours(x), theirs(x), ROUNDING, name)
        if name == "b0" and act:
            require_close(ours.running_var, theirs.running_var, ROUNDING, "running variance")
        require_close(ours.eval()(x), theirs.eval()(x), ROUNDING, f"{name} in eval mode")
