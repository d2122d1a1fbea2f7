"""Checks the meta device: a norm built without memory, then given memory and loaded, equals the norm that was saved."""

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
    """Built on the meta device or real, then to_empty() and load_state_dict(): it equals a new norm that loaded the same."""
    tested = subject(norm, **settings)
    ways: dict[str, Callable[[Subject], nn.Module]] = {
        "built on the meta device": _built_on_meta,
        "a copy on the meta device": lambda tested: copy.deepcopy(tested.standing()).to("meta"),
        "built for real": lambda tested: tested.standing(),
    }
    saved = tested.warmed_up(tested.standing())
    set_clock(saved)
    for way, make in ways.items():
        loaded, emptied = tested.standing(), make(tested)
        with _memory_full_of_nan():
            emptied.to_empty(device="cpu")
        for module in (loaded, emptied):
            module.load_state_dict(saved.state_dict(), strict=True)
        for each in norms_in(emptied):
            each.set_total_steps(TOTAL_STEPS)
        for seed, training in ((7, False), (8, True), (9, True), (10, False)):
            x = draw(tested.images, seed=seed)
            y, expected = emptied.train(training)(x), loaded.train(training)(x)
            mode = "training" if training else "eval mode"
            require(
                torch.equal(y, expected), f"{way}, after to_empty() and load_state_dict() its output differs in {mode}"
            )
        require(
            same_state(dict(emptied.named_buffers()), dict(loaded.named_buffers())),
            f"{way}, after to_empty() and load_state_dict() the buffers differ",
        )
        for one, other in zip(norms_in(emptied), norms_in(loaded), strict=True):
            require(
                one.report() == other.report(),
                f"{way}, after to_empty() it reports {one.report()}, not {other.report()}",
            )


def _built_on_meta(tested: Subject) -> nn.Module:
    with torch.device("meta"):
        return tested.standing()


@contextmanager
def _memory_full_of_nan() -> Iterator[None]:
    """New memory holds NaN or the largest integer. Otherwise it often holds zeros, which would hide unfilled values."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
