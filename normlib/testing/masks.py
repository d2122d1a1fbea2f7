"""Checks on masks: values in the padding have no effect."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor

from normlib.norms.base import Norm
from normlib.testing.requirements import ROUNDING, accepted, require, require_close, same_state
from normlib.testing.subject import Subject, draw, subject


def check_mask(norm: str | type[Norm], **settings: Any) -> None:
    """With `takes_mask`, padding changes no output, gradient or state and comes out as zeros; else a mask is refused."""
    tested = subject(norm, **settings)
    if not tested.cls.takes_mask:
        x = draw(tested.images)
        refused = accepted(tested.build(), x, torch.ones((x.shape[0], *x.shape[2:]), dtype=torch.bool)) is None
        return require(refused, "takes a mask although takes_mask is False; refuse it with a ValueError")
    for shape in (tested.images, tested.shapes[1]):
        for training in (True, False):
            _padding_is_as_if_it_were_not_there(tested, shape, training)
    _bad_masks_are_refused(tested)
    return None


def _padding_is_as_if_it_were_not_there(tested: Subject, shape: tuple[int, ...], training: bool) -> None:
    mask = _mask_of_lengths(shape)
    inside = mask.unsqueeze(1).expand(shape)
    mode = f"shape {shape}, {'training' if training else 'eval mode'}"
    norm = tested.warmed_up().train(training)
    x = draw(shape, seed=3)
    y, gradients, state = _run(norm, x.masked_fill(~inside, 0), mask)
    require(bool((y[~inside] == 0).all()), f"{mode}: the padding does not come out as zeros")
    require(bool((gradients["x"][~inside] == 0).all()), f"{mode}: the padding has a gradient")
    for filling in (1e4, float("inf"), float("nan")):
        what = f"{mode}: {filling:g} in the padding changes"
        other, other_gradients, other_state = _run(norm, x.masked_fill(~inside, filling), mask)
        require(torch.equal(other, y), f"{what} the output")
        for name, gradient in gradients.items():
            require(torch.equal(other_gradients[name], gradient), f"{what} the gradient of {name}")
        require(same_state(state, other_state), f"{what} the state")
    longer, longer_mask = (torch.cat([part, torch.zeros_like(part)], dim) for part, dim in ((x, 2), (mask, 1)))
    got = _run(norm, longer, longer_mask)
    got[1]["x"] = got[1]["x"][:, :, : shape[2]]
    _require_alike((got[0][:, :, : shape[2]], *got[1:]), (y, gradients, state), f"{mode}: twice as much padding")
    got = _run(norm, x, torch.ones_like(mask))
    _require_alike(got, _run(norm, x, None), f"{mode}: a mask of nothing but True against no mask")
    last = tested.build(channel_dim=-1).train(training)
    last.load_state_dict(norm.state_dict())
    y_last = last(x.masked_fill(~inside, float("inf")).movedim(1, -1), mask).movedim(-1, 1)
    require_close(y_last, y, ROUNDING, f"{mode}: channel_dim=-1 against channel_dim=1")


def _bad_masks_are_refused(tested: Subject) -> None:
    x = draw(tested.images)
    mask = _mask_of_lengths(tested.images)
    for wrong, why in (
        (mask[:, :-1], "of another length"),
        (mask.float(), "of float32"),
        (mask.unsqueeze(1).expand(tested.images), "with channels"),
    ):
        require(
            accepted(tested.build(), x, wrong) is None,
            f"a mask {why} is not refused; a mask is bool, of shape (N, *positions)",
        )


def _mask_of_lengths(shape: tuple[int, ...]) -> Tensor:
    """A mask (N, *positions), True at the first positions of each sample: all for the first sample, fewer for the others."""
    lengths = shape[2] - torch.arange(shape[0]) % (shape[2] - 1)
    mask = torch.arange(shape[2]) < lengths[:, None]
    return mask.view(shape[0], shape[2], *[1] * (len(shape) - 3)).expand(shape[0], *shape[2:]).clone()


Results = tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]


def _run(norm: Norm, x: Tensor, mask: Tensor | None) -> Results:
    """The output of a copy of the norm for `x`, the gradients of a weighting of it by name, and the state afterwards."""
    norm = copy.deepcopy(norm)
    x = x.detach().requires_grad_()
    y = norm(x, mask)
    leaves = {"x": x, **dict(norm.named_parameters())}
    found = torch.autograd.grad(y, list(leaves.values()), _weighting(tuple(x.shape)))
    return y.detach(), dict(zip(leaves, found)), norm.state_dict()


def _weighting(shape: tuple[int, ...]) -> Tensor:
    """Normal values. Those for a longer input begin with those for a shorter one."""
    return torch.stack([draw((*shape[:2], *shape[3:]), seed=100 + position) for position in range(shape[2])], dim=2)


def _require_alike(got: Results, expected: Results, what: str) -> None:
    require_close(got[0], expected[0], ROUNDING, what)
    for name, gradient in expected[1].items():
        scale = gradient.abs().max().clamp(min=1)
        require_close(got[1][name] / scale, gradient / scale, ROUNDING, f"{what}: gradient of {name}")
    for name, value in expected[2].items():
        require_close(got[2][name], value, ROUNDING, f"{what}: {name}")
