"""Checks on what is saved: from a state_dict, a copy, a pickle or a stopped run, the norm continues bit by bit."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from normlib.norms.base import Norm
from normlib.testing.requirements import require, same_state
from normlib.testing.subject import Subject, draw, subject

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "SGD with momentum": lambda parameters: torch.optim.SGD(parameters, lr=0.05, momentum=0.9),
    "Adam": lambda parameters: torch.optim.Adam(parameters, lr=0.01),
}


def check_state_dict(norm: str | type[Norm], **settings: Any) -> None:
    """A new norm that loads a state_dict, strictly, continues bit by bit."""
    tested = subject(norm, **settings)
    module = tested.warmed_up(tested.standing())
    loaded = tested.standing()
    loaded.load_state_dict(_through_a_file(module.state_dict()), strict=True)
    _require_same(tested, module, loaded, "state_dict")


def check_deepcopy(norm: str | type[Norm], **settings: Any) -> None:
    """A deep copy continues bit by bit, and shares nothing with the original."""
    tested = subject(norm, **settings)
    module = tested.warmed_up(tested.standing())
    before = {name: value.clone() for name, value in module.state_dict().items()}
    copied = copy.deepcopy(module)
    copied(draw(tested.images, seed=6))
    require(same_state(before, module.state_dict()), "using a deep copy changes the original")
    _require_same(tested, module, copy.deepcopy(module), "deep copy")


def check_pickle(norm: str | type[Norm], **settings: Any) -> None:
    """A norm from a pickle continues bit by bit, so it can be sent to another process."""
    tested = subject(norm, **settings)
    module = tested.warmed_up(tested.standing())
    _require_same(tested, module, pickle.loads(pickle.dumps(module)), "pickle")


def check_resume(norm: str | type[Norm], **settings: Any) -> None:
    """A run that is saved and loaded into a new network and optimizer ends bit by bit like a run that was not stopped."""
    tested = subject(norm, **settings)
    for name, make_optimizer in OPTIMIZERS.items():
        whole = tested.network()
        optimizer = make_optimizer(whole.parameters())
        train(whole, optimizer, tested.images, range(2))
        file = _through_a_file({"network": whole.state_dict(), "optimizer": optimizer.state_dict()})
        expected = train(whole, optimizer, tested.images, range(2, 5))
        resumed = tested.network()
        optimizer = make_optimizer(resumed.parameters())
        resumed.load_state_dict(file["network"], strict=True)
        optimizer.load_state_dict(file["optimizer"])
        got = train(resumed, optimizer, tested.images, range(2, 5))
        rule = f"resumed from its state_dict after 2 of 5 steps with {name}"
        require(
            all(map(torch.equal, got, expected)),
            f"{rule}, the network's outputs differ; is all of the state in buffers that are saved?",
        )
        require(same_state(whole.state_dict(), resumed.state_dict()), f"{rule}, the run ends in a different state")


def train(network: nn.Module, optimizer: torch.optim.Optimizer, shape: tuple[int, ...], steps: range) -> list[Tensor]:
    """Train for some steps, each with its own batch and target. Returns the outputs."""
    outputs = []
    for step in steps:
        y = network(draw(shape, seed=100 + step))
        optimizer.zero_grad()
        (y - draw(shape, seed=200 + step)).square().mean().backward()
        optimizer.step()
        outputs.append(y.detach().clone())
    return outputs


def _through_a_file(content: Any) -> Any:
    file = io.BytesIO()
    torch.save(content, file)
    file.seek(0)
    return torch.load(file)


def _require_same(tested: Subject, module: nn.Module, other: nn.Module, what: str) -> None:
    """Both give the same, in training and then in eval mode. The second output shows what the first left behind."""
    for seed, training in ((7, True), (8, True), (9, False)):
        x = draw(tested.images, seed=seed)
        require(
            torch.equal(module.train(training)(x), other.train(training)(x)),
            f"from its {what}, the norm does not continue bit by bit",
        )
    require(same_state(module.state_dict(), other.state_dict()), f"from its {what}, the norm ends in a different state")
