"""Says which promises a plain module has made. Runs no check.

A plain module says nothing about itself. It still has to keep what a comparison rests on: it fits into networks, and
can be saved, copied and sent to another process. All other checks run and are reported, but break no promise.
"""

from __future__ import annotations

from normlib.norms.base import Norm
from normlib.norms.plain import PlainNorm

PROMISED = frozenset({"shapes", "network", "channels_last", "state_dict", "deepcopy", "pickle", "resume"})

DECLARED_BY_THE_BASE_CLASS = {
    "declarations": "it declares nothing",
    "counts": "its parameters and buffers are counted, not declared",
    "start": "its parameters start where its constructor puts them",
    "dependence": "whether it depends on the batch is measured, not declared",
    "invariances": "it declares no invariances",
    "running_averages": "it does not say what its buffers average, so evaluation.statistics=precise is refused if they move",
}
"""Checks of declarations in normlib.Norm and normlib.RunningNorm, and why they do not apply to a plain module."""


def promises(cls: type[Norm], check: str) -> bool:
    """Whether norms of this class have promised to pass the check."""
    return not issubclass(cls, PlainNorm) or check in PROMISED
