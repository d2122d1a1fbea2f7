"""Checks torch.nn's names and settings on the norms that torch.nn has too, where each parameter starts, and ensembles by vmap."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.func import functional_call, stack_module_state, vmap

import normlib
from normlib.norms.layer import LayerNorm
from normlib.norms.rms import RMSNorm
from normlib.testing import draw


def test_the_width_has_torchs_names_too() -> None:
    assert normlib.GroupNorm(8).num_channels == 8
    for kind in (LayerNorm, RMSNorm):
        for given in (8, (8,), [8], torch.Size([8])):
            assert kind(given).normalized_shape == (8,) and kind(given).num_features == 8
        with pytest.raises(ValueError, match=r"one number of channels.*got \(8, 5\): .*scope='sample'"):
            kind((8, 5))


@pytest.mark.parametrize("name", ["layer", "group", "pono", "instance"])
def test_the_shift_can_be_left_out(name: str) -> None:
    x = draw((4, 8, 5, 5))
    without, plain = normlib.create(name, 8, bias=False), normlib.create(name, 8)
    assert without.bias is None and [key for key, _ in without.named_parameters()] == ["weight"]
    torch.testing.assert_close(without(x), plain(x))  # the shift starts at zero


@pytest.mark.parametrize(
    ("name", "settings", "parameter", "start"),
    [("dyt", {"alpha": 0.8}, "alpha", 0.8), ("skipinit", {"start": 0.25}, "alpha", 0.25), ("scale_norm", {}, "weight", 4.0)],
)  # fmt: skip
def test_reset_parameters_goes_back_to_where_this_layer_started(
    name: str, settings: dict[str, float], parameter: str, start: float
) -> None:
    norm = normlib.create(name, 16, **settings)
    found = getattr(norm, parameter)
    assert found.shape == (1,), "fully_shard takes no scalars"
    with torch.no_grad():
        found.fill_(7.0)
    norm.reset_parameters()
    assert found.tolist() == pytest.approx([start])


@pytest.mark.parametrize("name", [name for name in normlib.names() if name not in ("weight_norm", "spectral_norm")])
@pytest.mark.parametrize("shape", [(4, 8), (4, 8, 5), (4, 8, 5, 5)], ids=str)
def test_an_ensemble_by_vmap_is_its_members_without_gradients(name: str, shape: tuple[int, ...]) -> None:
    members = [normlib.create(name, 8).eval() for _ in range(3)]
    x = draw((3, *shape))
    with torch.no_grad():
        try:
            right = torch.stack([copy.deepcopy(member)(x[index]) for index, member in enumerate(members)])
        except ValueError:
            pytest.skip(f"{name} does not take {shape}")
        parameters, buffers = stack_module_state(members)
        run = vmap(lambda parameters, buffers, x: functional_call(members[0], (parameters, buffers), (x,)))
        torch.testing.assert_close(run(parameters, buffers, x), right, rtol=1e-5, atol=1e-5)
