"""Checks on what users of torch.nn expect: reset_parameters, bias=False, track_running_stats, and parameters to shard."""

from __future__ import annotations

import copy
import inspect
from typing import Any

import torch
from torch import nn

from normlib.norms.base import Norm
from normlib.testing.requirements import ROUNDING, require, require_close, same_state, state_of
from normlib.testing.subject import draw, norms_in, subject


def check_reset_parameters(norm: str | type[Norm], **settings: Any) -> None:
    """reset_parameters() restores the parameters, running statistics and reports of a new norm, in the same tensors."""
    tested = subject(norm, **settings)
    new, used = tested.standing(), tested.warmed_up(tested.standing())
    for start, module in zip(norms_in(new), norms_in(used), strict=True):
        tensors = {name: value.data_ptr() for name, value in [*module.named_parameters(), *module.named_buffers()]}
        module.reset_parameters()
        after, right = state_of(module), state_of(start)
        wrong = [name for name, value in right.items() if not torch.equal(after[name], value)]
        require(not wrong, f"reset_parameters() leaves {', '.join(wrong)} different from a new norm's")
        kept = {name: value.data_ptr() for name, value in [*module.named_parameters(), *module.named_buffers()]}
        require(tensors == kept, "reset_parameters() replaces tensors that an optimizer may hold")
        require(module.report() == start.report(), f"after reset_parameters() it still reports {module.report()}")


def check_no_bias(norm: str | type[Norm], **settings: Any) -> None:
    """If the constructor takes bias=, bias=False leaves the bias out and changes nothing else, as in torch.nn."""
    tested = subject(norm, **settings)
    if "bias" not in inspect.signature(tested.cls).parameters or "bias" in settings:
        return
    whole, without = tested.warmed_up(), tested.build(bias=False)
    require(without.bias is None, "bias=False leaves a bias in place")
    require(
        "bias" not in without.state_dict() and "bias" in without._parameters,
        "bias=False: bias is None, registered as a parameter, and not in the state_dict",
    )
    if whole.bias is None:  # affine=False
        return
    nn.init.zeros_(whole.bias)
    without.load_state_dict({name: value for name, value in whole.state_dict().items() if name != "bias"})
    for training in (True, False):
        x = draw(tested.images, seed=5)
        y, right = without.train(training)(x), whole.train(training)(x)
        require_close(y, right, ROUNDING, f"bias=False against a bias of zero, {'training' if training else 'eval'}")


def check_track_running_stats(norm: str | type[Norm], **settings: Any) -> None:
    """With track_running_stats=False set later, training moves no statistics and eval mode uses them, as in torch.nn."""
    tested = subject(norm, **settings)
    tracking: Any = tested.warmed_up()
    if not tracking.has_running_statistics or not hasattr(tracking, "track_running_stats"):
        return
    stopped = copy.deepcopy(tracking)
    stopped.track_running_stats = False
    before = state_of(stopped)
    x = draw(tested.images, seed=5)
    expected = copy.deepcopy(tracking)(x)
    require_close(stopped(x), expected, ROUNDING, "track_running_stats = False changes the output in training")
    require(
        same_state(before, state_of(stopped)), "track_running_stats = False: the running statistics move in training"
    )
    y = stopped.eval()(x)
    require_close(y, tracking.eval()(x), ROUNDING, "track_running_stats = False changes the output in eval mode")


def check_parameter_dimensions(norm: str | type[Norm], **settings: Any) -> None:
    """Every parameter has a dimension for sharding: FSDP2's fully_shard refuses parameters without one."""
    for name, parameter in subject(norm, **settings).standing().named_parameters():
        require(parameter.dim() > 0, f"{name} has no dimension, so fully_shard refuses it; give it the shape (1,)")
