"""Which checks hold a plain module to a promise. Runs none.

A plain module says nothing of itself. What a comparison rests on it has to keep all the same: that it fits into networks, and
that it can be saved, copied and sent to another process. Every other check is run and told, and breaks no promise.
"""

from __future__ import annotations

from normlib.norms.base import Norm
from normlib.norms.plain import PlainNorm

PROMISED = frozenset({"shapes", "network", "channels_last", "state_dict", "deepcopy", "pickle", "resume"})

DECLARED_BY_THE_BASE_CLASS = {
    "declarations": "it declares nothing",
    "counts": "its parameters and buffers are counted, not declared",
    "start": "its parameters start where its constructor puts them",
    "dependence": "whether it depends on the batch is found out by numbers, not declared",
    "invariances": "it declares no invariances",
    "running_averages": "what its buffers average is its own affair, so evaluation.statistics=precise is refused where they move",
}
"""Checks of what normlib.Norm and normlib.RunningNorm have a norm declare: why they have nothing to look at."""


def promises(cls: type[Norm], check: str) -> bool:
    """Whether norms of this class have promised to pass the check."""
    return not issubclass(cls, PlainNorm) or check in PROMISED
