"""Checks that `normlib.fold` never returns another network: layers that are held, read or called elsewhere."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import normlib
from tests.conversion.hidden_uses import FOLDED, LEFT, InAClosure, Pair, UnregisteredParent
from tests.conversion.networks import EXACT, draw, lived_in, relative_difference


@pytest.mark.parametrize("kind", FOLDED)
def test_layers_that_are_held_elsewhere_too_are_replaced_there(kind: type[Pair]) -> None:
    model, x = lived_in(kind(), draw(4, 3, 5, 5, seed=1) + 1), draw(2, 3, 5, 5)
    before = model(x)
    folded = normlib.fold(model)
    assert relative_difference(folded(x), before) < EXACT and isinstance(folded.bn, nn.Identity)
    assert torch.equal(model(x), before) and isinstance(model.bn, nn.BatchNorm2d)


@pytest.mark.parametrize("kind", LEFT)
def test_what_folding_would_change_elsewhere_is_left_with_the_reason(kind: type[Pair]) -> None:
    torch.manual_seed(0)
    odd = kind()
    with pytest.raises(ValueError, match=f"(?s)nothing can be folded.*{LEFT[kind]}"):
        normlib.fold(copy.deepcopy(odd).eval())
    model = lived_in(nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.Sigmoid(), odd), draw(4, 3, 3, 3, seed=1))
    x = draw(2, 3, 3, 3)
    folded = normlib.fold(model)
    assert isinstance(folded[1], nn.Identity) and normlib.conversion_report(folded).left[0].path.startswith("3.")
    with torch.no_grad():
        assert relative_difference(folded(x), model(x)) < EXACT


@pytest.mark.parametrize("kind", [InAClosure, UnregisteredParent])
def test_a_module_that_cannot_be_followed_is_refused(kind: type[Pair]) -> None:
    with pytest.raises(ValueError, match=r"cannot be found by tracing it|nothing can be folded"):
        normlib.fold(kind().eval())
