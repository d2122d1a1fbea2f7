"""Checks on what is saved: a state_dict, a copy, a pickle and a stopped run each go on bit by bit where they were left."""

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
    """A new norm that loads a state_dict, strictly, goes on bit by bit."""
    of = subject(norm, **settings)
    module = of.warmed_up(of.standing())
    loaded = of.standing()
    loaded.load_state_dict(_through_a_file(module.state_dict()), strict=True)
    _require_same(of, module, loaded, "state_dict")


def check_deepcopy(norm: str | type[Norm], **settings: Any) -> None:
    """A deep copy goes on bit by bit, and shares nothing with what it was made from."""
    of = subject(norm, **settings)
    module = of.warmed_up(of.standing())
    before = {name: value.clone() for name, value in module.state_dict().items()}
    copied = copy.deepcopy(module)
    copied(draw(of.images, seed=6))
    require(same_state(before, module.state_dict()), "using a deep copy changes what it was copied from")
    _require_same(of, module, copy.deepcopy(module), "deep copy")


def check_pickle(norm: str | type[Norm], **settings: Any) -> None:
    """A pickle goes on bit by bit, as a norm must that travels to another process."""
    of = subject(norm, **settings)
    module = of.warmed_up(of.standing())
    _require_same(of, module, pickle.loads(pickle.dumps(module)), "pickle")


def check_resume(norm: str | type[Norm], **settings: Any) -> None:
    """A run that is saved after some steps and loaded into a new network and optimizer ends with the bits of one that was not stopped."""
    of = subject(norm, **settings)
    for name, make_optimizer in OPTIMIZERS.items():
        whole = of.network()
        optimizer = make_optimizer(whole.parameters())
        train(whole, optimizer, of.images, range(2))
        file = _through_a_file({"network": whole.state_dict(), "optimizer": optimizer.state_dict()})
        expected = train(whole, optimizer, of.images, range(2, 5))
        resumed = of.network()
        optimizer = make_optimizer(resumed.parameters())
        resumed.load_state_dict(file["network"], strict=True)
        optimizer.load_state_dict(file["optimizer"])
        got = train(resumed, optimizer, of.images, range(2, 5))
        rule = f"resumed from its state_dict after 2 of 5 steps with {name}"
        require(
            all(map(torch.equal, got, expected)),
            f"{rule}, the network's outputs are others; is all of the state in buffers that are saved?",
        )
        require(same_state(whole.state_dict(), resumed.state_dict()), f"{rule}, the run ends in another state")


def train(network: nn.Module, optimizer: torch.optim.Optimizer, shape: tuple[int, ...], steps: range) -> list[Tensor]:
    """Train for some steps, each on a batch of its own towards a target of its own; the outputs."""
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


def _require_same(of: Subject, module: nn.Module, other: nn.Module, what: str) -> None:
    """Both go the same way, in training and then in eval mode; the second output shows what the first left behind."""
    for seed, training in ((7, True), (8, True), (9, False)):
        x = draw(of.images, seed=seed)
        require(
            torch.equal(module.train(training)(x), other.train(training)(x)),
            f"from its {what}, the norm does not go on bit by bit",
        )
    require(same_state(module.state_dict(), other.state_dict()), f"from its {what}, the norm ends in another state")
