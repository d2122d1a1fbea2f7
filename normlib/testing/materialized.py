"""Check on the meta device: a norm that is built without memory, given some and then loaded is the norm that was saved."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from normlib.norms.base import Norm
from normlib.testing.requirements import require, same_state
from normlib.testing.subject import TOTAL_STEPS, Subject, draw, norms_in, set_clock, subject


def check_to_empty(norm: str | type[Norm], **settings: Any) -> None:
    """Built on the meta device, or real, then to_empty() and load_state_dict(): it goes on bit by bit as a new norm that has loaded the same."""
    of = subject(norm, **settings)
    ways: dict[str, Callable[[Subject], nn.Module]] = {
        "built on the meta device": _built_on_meta,
        "a copy on the meta device": lambda of: copy.deepcopy(of.standing()).to("meta"),
        "built for real": lambda of: of.standing(),
    }
    saved = of.warmed_up(of.standing())
    set_clock(saved)
    for way, make in ways.items():
        loaded, emptied = of.standing(), make(of)
        with _memory_full_of_nan():
            emptied.to_empty(device="cpu")
        for module in (loaded, emptied):
            module.load_state_dict(saved.state_dict(), strict=True)
        for each in norms_in(emptied):
            each.set_total_steps(TOTAL_STEPS)
        for seed, training in ((7, False), (8, True), (9, True), (10, False)):
            x = draw(of.images, seed=seed)
            y, expected = emptied.train(training)(x), loaded.train(training)(x)
            mode = "training" if training else "eval mode"
            require(torch.equal(y, expected), f"{way}, after to_empty() and load_state_dict() it is another in {mode}")
        require(
            same_state(dict(emptied.named_buffers()), dict(loaded.named_buffers())),
            f"{way}, after to_empty() and load_state_dict() the buffers are others",
        )
        for one, other in zip(norms_in(emptied), norms_in(loaded), strict=True):
            require(
                one.report() == other.report(),
                f"{way}, after to_empty() it reports {one.report()}, not {other.report()}",
            )


def _built_on_meta(of: Subject) -> nn.Module:
    with torch.device("meta"):
        return of.standing()


@contextmanager
def _memory_full_of_nan() -> Iterator[None]:
    """New memory holds NaN, or the largest integer; else it often holds zeros, which hide what nobody has filled."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
