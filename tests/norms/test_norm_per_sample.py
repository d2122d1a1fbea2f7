"""RMS, positional, scale, global and local response norm and dynamic tanh: against their papers, torch and timm."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import normlib.norms
from normlib.norms.layer import LayerNorm
from normlib.norms.lrn import LocalResponseNorm
from normlib.norms.pono import PositionalNorm
from normlib.norms.rms import RMSNorm
from normlib.testing import draw, require_close
from tests.norms import references
from tests.norms.against_references import SHAPES, check_against_reference, per_channel

# The same formula in another order of operations, in float32.
ROUNDING = 1e-5


def scaled(reference):
    """The reference with the norm's scale and, where it has one, its shift."""

    def run(x, parameters):
        y = reference(x) * per_channel(parameters["weight"], x)
        return y + per_channel(parameters["bias"], x) if "bias" in parameters else y

    return run


PAPERS = [
    ("rms", {}, scaled(references.rms_norm)),
    ("rms", {"scope": "position"}, scaled(references.rms_norm_by_position)),
    ("pono", {}, scaled(references.positional_norm)),
    ("pono", {"variance": "unbiased"}, scaled(lambda x: references.positional_norm(x, unbiased=True))),
    ("scale_norm", {}, lambda x, of: references.scale_norm(x, of["weight"])),
    (
        "grn",
        {},
        lambda x, of: references.global_response_norm(x, per_channel(of["weight"], x), per_channel(of["bias"], x)),
    ),
    ("lrn", {}, lambda x, of: references.local_response_norm(x, 5, 1e-4, 0.75, 2.0)),
    (
        "lrn",
        {"n": 3, "alpha": 0.5, "beta": 0.6, "k": 0.1},
        lambda x, of: references.local_response_norm(x, 3, 0.5, 0.6, 0.1),
    ),
    ("dyt", {}, lambda x, of: scaled(lambda x: references.dynamic_tanh(x, of["alpha"]))(x, of)),
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(
    ("name", "settings", "reference"), PAPERS, ids=[f"{name} {settings}" for name, settings, _ in PAPERS]
)
def test_values_and_gradients_are_the_papers(name, settings, reference, shape) -> None:
    check_against_reference(name, settings, reference, shape)


def test_without_an_affine_part_the_papers_scale_stays() -> None:
    x = draw((4, 8, 5), dtype=torch.float64)
    for name in ("rms", "pono", "scale_norm", "dyt"):
        alone = normlib.norms.create(name, 8, affine=False, dtype=torch.float64)
        assert torch.allclose(alone(x), normlib.norms.create(name, 8, dtype=torch.float64)(x), rtol=1e-14)
        assert all(parameter.numel() == 1 for parameter in alone.parameters()), "dyt's slope alone is still trained"


def test_global_response_norm_starts_as_identity() -> None:
    x = draw((4, 8, 5, 5))
    assert torch.equal(normlib.norms.create("grn", 8)(x), x)


@pytest.mark.parametrize("shape", [(4, 8), (4, 6, 8), (4, 5, 5, 8), (8, 197, 48)], ids=str)
def test_rms_norm_by_position_is_torchs_on_channels_last(shape) -> None:
    width = shape[-1]
    ours, theirs = RMSNorm(width, scope="position", channel_dim=-1), nn.RMSNorm(width, eps=1e-5)
    with torch.no_grad():
        theirs.weight.add_(draw((width,), seed=2), alpha=0.1)
    ours.load_state_dict(theirs.state_dict(), strict=True)
    x, x_theirs = draw(shape).requires_grad_(), draw(shape).requires_grad_()
    y, expected = ours(x), theirs(x_theirs)
    require_close(y, expected, ROUNDING, "rms")
    y.backward(draw(shape, seed=1))
    expected.backward(draw(shape, seed=1))
    require_close(x.grad, x_theirs.grad, ROUNDING, "gradient")
    # Sums over up to 1,576 positions of order one, rounded as often.
    require_close(ours.weight.grad, theirs.weight.grad, 5e-5, "gradient of the scale")


def test_rms_norm_over_samples_is_torchs_over_all_dimensions_but_the_first() -> None:
    for shape in [(4, 8), (4, 8, 5), (4, 8, 5, 5), (32, 8, 20, 20)]:
        x = draw(shape)
        require_close(RMSNorm(8)(x), torch.rms_norm(x, shape[1:], eps=1e-5), ROUNDING, f"shape {shape}")


def test_both_ways_of_dividing_have_the_same_second_derivatives(monkeypatch) -> None:
    monkeypatch.setattr("normlib.norms.kernels.root_mean_square.LARGE", 1)
    for name, settings in (("rms", {}), ("rms", {"scope": "position"}), ("frn", {"activate": False})):
        norm = normlib.norms.create(name, 3, dtype=torch.float64, **settings)
        x = draw((2, 3, 2, 2), dtype=torch.float64).requires_grad_()
        names = [name for name, _ in norm.named_parameters()]

        def run(x, *values, norm=norm, names=names):
            return torch.func.functional_call(norm, dict(zip(names, values, strict=True)), (x,))

        values = [parameter.detach().clone().requires_grad_() for parameter in norm.parameters()]
        assert torch.autograd.gradcheck(run, (x, *values))
        assert torch.autograd.gradgradcheck(run, (x, *values))
        fixed = x.detach()  # only the parameters are trained
        alone = torch.autograd.grad(run(fixed, *values).square().sum(), values)
        among = torch.autograd.grad(run(x, *values).square().sum(), values)
        assert all(torch.allclose(one, other, rtol=1e-12) for one, other in zip(alone, among, strict=True))


def test_positional_norm_is_layer_norm_by_position() -> None:
    x = draw((4, 8, 5, 5))
    require_close(PositionalNorm(8)(x), LayerNorm(8, scope="position")(x), ROUNDING, "pono")


@pytest.mark.parametrize("shape", [(4, 8, 5), (4, 8, 5, 4), (4, 8, 3, 4, 2)], ids=str)
def test_local_response_norm_is_torchs_with_alpha_times_n(shape) -> None:
    x = draw(shape) * 10
    for n, alpha, k in ((5, 1e-4, 2.0), (3, 0.01, 1.0)):
        theirs = nn.LocalResponseNorm(n, alpha * n, 0.75, k)(x)
        require_close(LocalResponseNorm(8, n=n, alpha=alpha, k=k)(x), theirs, ROUNDING, f"n={n}")


@pytest.mark.vision
def test_timms_counterparts() -> None:
    layers = pytest.importorskip("timm.layers", reason="timm is not installed")
    grn = pytest.importorskip("timm.layers.grn", reason="timm is not installed")
    x = draw((4, 8, 5, 6))
    theirs = layers.LayerNorm2d(8, eps=1e-5)
    for ours in (LayerNorm(8, scope="position"), PositionalNorm(8)):
        require_close(ours(x), theirs(x), ROUNDING, "layer norm by position")
    require_close(RMSNorm(8, scope="position")(x), layers.RmsNorm2d(8, eps=1e-5)(x), ROUNDING, "rms norm by position")
    for channel_dim in (1, -1):
        ours = normlib.norms.create("grn", 8, channel_dim=channel_dim)
        theirs = grn.GlobalResponseNorm(8, eps=1e-5, channels_last=channel_dim == -1)
        with torch.no_grad():
            for seed, parameter in enumerate(theirs.parameters()):
                parameter.copy_(draw((8,), seed=seed))
        ours.load_state_dict(theirs.state_dict(), strict=True)
        laid_out = x if channel_dim == 1 else x.movedim(1, -1).contiguous()
        require_close(ours(laid_out), theirs(laid_out), ROUNDING, "global response norm")


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        (
            "rms",
            (4, 1),
            "channels and positions of a sample.*only its sign would come out; give it more channels or positions",
        ),
        ("pono", (4, 1, 5), "channels of a position.* zero; give it more channels"),
        ("scale_norm", (4, 1, 5), "channels of a position.*only its sign would come out; give it more channels"),
        ("grn", (4, 1, 5), "always equal its own average; give it more channels"),
        ("lrn", (4, 1, 5), "it has no neighbours; give it more channels"),
    ],
)
def test_a_statistic_of_one_value_is_refused(name, shape, message) -> None:
    with pytest.raises(ValueError, match=message):
        normlib.norms.create(name, shape[1])(draw(shape))


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("lrn", {"n": 4}, "odd and at least 3, got n=4"),
        ("lrn", {"n": 1}, "odd and at least 3, got n=1"),
        ("lrn", {"k": 0.0}, "k > 0 and alpha >= 0, got k=0.0"),
    ],
)
def test_settings_that_make_no_sense(name, settings, message) -> None:
    with pytest.raises(ValueError, match=message):
        normlib.norms.create(name, 8, **settings)


def test_scale_norm_at_zero_has_a_finite_gradient() -> None:
    x = torch.zeros(2, 8, requires_grad=True)
    normlib.norms.create("scale_norm", 8)(x).sum().backward()
    assert x.grad is not None
    assert bool(x.grad.isfinite().all())


def test_padding_does_not_enter_the_root_mean_square() -> None:
    lengths = [5, 2, 0]
    mask = torch.arange(5) < torch.tensor(lengths)[:, None]
    for scope in ("sample", "position"):
        norm = RMSNorm(8, scope=scope)
        x = draw((3, 8, 5)).masked_fill(~mask.unsqueeze(1), float("inf"))
        y = norm(x, mask)
        for index, length in enumerate(lengths):
            if length:
                require_close(y[index, :, :length], norm(x[index : index + 1, :, :length])[0], ROUNDING, scope)
            assert bool((y[index, :, length:] == 0).all())
    with pytest.raises(ValueError, match="only one such value: only its sign would come out"):
        RMSNorm(1)(draw((1, 1, 5)), mask.new_tensor([[True, False, False, False, False]]))
