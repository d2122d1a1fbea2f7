"""Checks on shapes: every rank, channels in both places, no data at all, and inputs with too little of it."""

from __future__ import annotations

import copy
from typing import Any

import torch

from normlib.norms.base import Norm
from normlib.testing.requirements import ROUNDING, accepted, require, require_close, same_state
from normlib.testing.subject import Subject, draw, subject


def check_shapes(norm: str | type[Norm], **settings: Any) -> None:
    """Any rank from (N, C) to (N, C, D, H, W) keeps its shape and type; inputs that do not fit are refused."""
    tested = subject(norm, **settings)
    require(accepted(tested.build(), draw(tested.images)) is not None, f"refuses an input of shape {tested.images}")
    for shape in tested.shapes:
        x = draw(shape)
        y = accepted(tested.build(), x)
        if y is None:
            continue  # refusing is right if a statistic has only one value; check_degenerate covers that
        require(y.shape == x.shape and y.dtype == x.dtype, f"shape {shape} float32 became {tuple(y.shape)} {y.dtype}")
        wrong = (shape[0], tested.channels + 1, *shape[2:])
        require(
            accepted(tested.build(), draw(wrong)) is None,
            f"shape {wrong} is accepted by a norm for {tested.channels} channels",
        )
    require(accepted(tested.build(), draw((tested.channels,))) is None, "an input of rank 1 is accepted")
    if tested.cls.slot == "site":
        x = draw(tested.images)
        require(
            tested.build(activate=False)(x).shape == x.shape, "without activation (activate=False) the shape changes"
        )


def check_network(norm: str | type[Norm], **settings: Any) -> None:
    """Behind a linear layer or a convolution over 1, 2 or 3 dimensions, or in a branch, the norm trains and stays finite."""
    tested = subject(norm, **settings)
    for positions, shape in enumerate(tested.shapes):
        network = tested.network(positions)
        x = draw(shape)
        y = accepted(network, x)
        if y is None:
            continue  # check_degenerate covers this
        require(y.shape == x.shape, f"in a network, shape {shape} became {tuple(y.shape)}")
        require(bool(y.isfinite().all()), f"in a network, an input of shape {shape} gives values that are not finite")
        y.square().mean().backward()
        for name, parameter in network.named_parameters():
            gradient = parameter.grad
            require(gradient is not None, f"in a network, {name} has no gradient at an input of shape {shape}")
            assert gradient is not None
            require(
                bool(gradient.isfinite().all()), f"in a network, the gradient of {name} is not finite, shape {shape}"
            )


def check_channels_last(norm: str | type[Norm], **settings: Any) -> None:
    """channel_dim=-1, for inputs (N, *positions, C), gives the same as channel_dim=1 for the moved input."""
    tested = subject(norm, **settings)
    for shape in tested.shapes:
        x = draw(shape)
        y = accepted(tested.build(), x)
        moved = x.movedim(1, -1).contiguous()
        last = accepted(tested.build(channel_dim=-1), moved)
        require(
            (last is None) == (y is None),
            f"shape {shape} is accepted in one of the two layouts and refused in the other",
        )
        if y is None or last is None:
            continue
        require(last.shape == moved.shape, f"channel_dim=-1: shape {tuple(moved.shape)} became {tuple(last.shape)}")
        require(last.stride() == moved.stride(), f"channel_dim=-1: strides {moved.stride()} became {last.stride()}")
        require_close(last.movedim(-1, 1), y, ROUNDING, f"channel_dim=-1 against channel_dim=1 at shape {shape}")


def check_meta(norm: str | type[Norm], **settings: Any) -> None:
    """Forward runs without data, on the meta device, in training and in eval mode."""
    tested = subject(norm, **settings)
    module = tested.build().to("meta")
    for shape in tested.shapes:
        for training in (True, False):
            y = accepted(module.train(training), torch.empty(shape, device="meta"))
            require(
                y is None or y.shape == shape,
                f"on the meta device shape {shape} became {None if y is None else tuple(y.shape)}",
            )


def check_empty(norm: str | type[Norm], **settings: Any) -> None:
    """An empty batch passes through, forward and backward, and changes no state."""
    tested = subject(norm, **settings)
    for shape in tested.shapes:
        module = tested.warmed_up()
        before = copy.deepcopy(module.state_dict())
        empty = torch.empty((0, *shape[1:]), requires_grad=True)
        y = module(empty)
        require(y.shape == empty.shape, f"an empty batch of shape {tuple(empty.shape)} became {tuple(y.shape)}")
        require(same_state(before, module.state_dict()), "an empty batch changes the state")
        y.sum().backward()
        require(
            all(parameter.grad is None or bool((parameter.grad == 0).all()) for parameter in module.parameters()),
            "an empty batch gives a parameter a gradient other than zero",
        )


def check_degenerate(norm: str | type[Norm], **settings: Any) -> None:
    """A statistic of one value is refused with a ValueError, for one sample or two, before any state changes.

    So it is without data, on the meta device.
    """
    tested = subject(norm, **settings)
    for channels in (tested.channels, 1):
        if accepted(tested.build, channels) is None:
            continue  # a norm may need several channels
        for positions in ((), (1,), (1, 1), (3, 3)):
            refused = [_refused(tested, (samples, channels, *positions)) for samples in (1, 2)]
            require(
                tested.cls.depends_on_batch or refused[0] == refused[1],
                f"one sample and two are treated differently, {channels} channels, positions {positions}: refused {refused}",
            )


def _refused(tested: Subject, shape: tuple[int, ...]) -> bool:
    """Whether a new norm refuses an input of this shape. Also checks that it does so properly."""
    module = tested.build(shape[1])
    before = copy.deepcopy(module.state_dict())
    x = draw(shape, seed=3)
    y = accepted(module, x)
    what = f"an input of shape {shape}"
    if y is None:
        require(same_state(before, module.state_dict()), f"{what} is refused, but changes the state")
    else:
        require(bool(y.isfinite().all()), f"{what} gives values that are not finite")
        require(
            tested.cls.slot == "branch" or float(y.detach().abs().max()) > 0,
            f"{what} comes out as zero; refuse it with a ValueError",
        )
    on_meta = accepted(tested.build(shape[1]).to("meta"), x.to("meta"))
    require(
        (on_meta is None) == (y is None),
        f"{what} is {'refused' if y is None else 'accepted'}, but not on the meta device",
    )
    return y is None


def check_one_number(norm: str | type[Norm], **settings: Any) -> None:
    """An input of one number is refused, or its size affects the output: any statistic of it has a single value."""
    tested = subject(norm, **settings)
    if tested.cls.slot == "branch":
        return
    try:
        outputs = [tested.build(1)(torch.full((1, 1), value)).item() for value in (0.5, 3.0)]
    except ValueError:
        return
    require(
        abs(outputs[0] - outputs[1]) > 1e-2,  # far above the effect of epsilon
        f"0.5 and 3.0 alone come out as {outputs[0]:g} and {outputs[1]:g}: a statistic of one value; refuse it with a ValueError",
    )
