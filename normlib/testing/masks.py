"""Checks on masks: what lies in the padding is as if it were not there."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor

from normlib.norms.base import Norm
from normlib.testing.requirements import ROUNDING, accepted, require, require_close, same_state
from normlib.testing.subject import Subject, draw, subject


def check_mask(norm: str | type[Norm], **settings: Any) -> None:
    """With `takes_mask`, padding changes no output, gradient or state, whatever is in it, and comes out as zeros; else a mask is refused."""
    of = subject(norm, **settings)
    if not of.cls.takes_mask:
        x = draw(of.images)
        refused = accepted(of.build(), x, torch.ones((x.shape[0], *x.shape[2:]), dtype=torch.bool)) is None
        return require(refused, "takes a mask although takes_mask is False; refuse it with a ValueError")
    for shape in (of.images, of.shapes[1]):
        for training in (True, False):
            _padding_is_as_if_it_were_not_there(of, shape, training)
    _bad_masks_are_refused(of)
    return None


def _padding_is_as_if_it_were_not_there(of: Subject, shape: tuple[int, ...], training: bool) -> None:
    mask = _mask_of_lengths(shape)
    inside = mask.unsqueeze(1).expand(shape)
    what = f"shape {shape}, {'training' if training else 'eval mode'}"
    results = []
    for filling in (0.0, 1e4, float("inf"), float("nan")):
        module = of.warmed_up().train(training)
        x = draw(shape, seed=3).masked_fill(~inside, filling)
        results.append((filling, *_run(module, x, mask)))
    _, y, gradients, state = results[0]
    require(bool((y[~inside] == 0).all()), f"{what}: the padding does not come out as zeros")
    for filling, other, other_gradients, other_state in results[1:]:
        require(torch.equal(other, y), f"{what}: {filling:g} in the padding changes the output")
        for name, gradient in gradients.items():
            require(
                torch.equal(other_gradients[name], gradient),
                f"{what}: {filling:g} in the padding changes the gradient of {name}",
            )
        require(same_state(state, other_state), f"{what}: {filling:g} in the padding changes the state")
    require(bool((gradients["x"][~inside] == 0).all()), f"{what}: the padding has a gradient")
    module = of.warmed_up().train(training)
    x = draw(shape, seed=3)
    unmasked = _run(copy.deepcopy(module), x, None)
    masked = _run(module, x, torch.ones_like(mask))
    require_close(masked[0], unmasked[0], ROUNDING, f"{what}: a mask of nothing but True against no mask")
    for name, gradient in unmasked[1].items():
        require_close(masked[1][name], gradient, 10 * ROUNDING, f"{what}: gradient of {name}, all True against no mask")
    for name, value in unmasked[2].items():
        require_close(masked[2][name], value, ROUNDING, f"{what}: {name}, all True against no mask")
    last = of.build(channel_dim=-1).train(training)
    last.load_state_dict(of.warmed_up().state_dict())
    y_last = last(x.masked_fill(~inside, float("inf")).movedim(1, -1), mask).movedim(-1, 1)
    require_close(y_last, y, ROUNDING, f"{what}: channel_dim=-1 against channel_dim=1")


def _bad_masks_are_refused(of: Subject) -> None:
    x = draw(of.images)
    mask = _mask_of_lengths(of.images)
    for wrong, why in (
        (mask[:, :-1], "of another length"),
        (mask.float(), "of float32"),
        (mask.unsqueeze(1).expand(of.images), "with channels"),
    ):
        require(
            accepted(of.build(), x, wrong) is None,
            f"a mask {why} is not refused; a mask is bool, of shape (N, *positions)",
        )


def _mask_of_lengths(shape: tuple[int, ...]) -> Tensor:
    """True at the first positions of each sample, of one sample all, of the others fewer; (N, *positions)."""
    lengths = shape[2] - torch.arange(shape[0]) % (shape[2] - 1)
    mask = torch.arange(shape[2]) < lengths[:, None]
    return mask.view(shape[0], shape[2], *[1] * (len(shape) - 3)).expand(shape[0], *shape[2:]).clone()


def _run(module: Norm, x: Tensor, mask: Tensor | None) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
    """The output, the gradients of a weighting of it by name, and the state afterwards."""
    x = x.detach().requires_grad_()
    y = module(x, mask)  # type: ignore[call-arg]
    leaves = {"x": x, **dict(module.named_parameters())}
    found = torch.autograd.grad(y, list(leaves.values()), draw(tuple(x.shape), seed=1))
    return y.detach(), dict(zip(leaves, found)), copy.deepcopy(module.state_dict())
