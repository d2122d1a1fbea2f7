"""Checks whether a folded model is the same function as the model before it.

In: a model, the traced paths through it and example inputs. For a folding, it answers with the reason against it, or
None. It compares the calls of both models on every path. It also compares their outputs on the examples, in float64 if
the model runs in it. This file folds nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from normlib.conversion.examples import Example, in_double, outputs_on, relative_difference
from normlib.conversion.trace import NotTraceable, TracedPath, same_calls, trace_paths

Folding = Callable[[nn.Module], nn.Module]
"""From a model to a folded copy of it."""


class Proof:
    """The model's calls and outputs before folding.

    `traced_paths` are those of each kind of call, that is, of the optional arguments it gives. Modules of the paths
    `leaves` are single calls in them.
    """

    def __init__(
        self,
        model: nn.Module,
        leaves: Collection[str],
        traced_paths: Sequence[tuple[Mapping[str, Any], Sequence[TracedPath]]],
        examples: Sequence[Example],
    ) -> None:
        self.model, self.leaves, self.traced_paths, self.examples = model, leaves, traced_paths, examples
        self.before = outputs_on(model, examples) if examples else []
        self.exact: tuple[nn.Module, list[Example], list[torch.Tensor]] | None = None
        if examples:
            double, doubled = copy.deepcopy(model).double(), in_double(examples)
            try:
                self.exact = double, doubled, outputs_on(double, doubled)
            except Exception:
                # Its forward wants another type, or the device has no float64, so it is compared as it is.
                self.exact = None

    def reason_against(self, folding: Folding, replaced: Collection[str]) -> str | None:
        """Why a folding that replaces the modules at these paths is wrong. None if nothing speaks against it."""
        folded = folding(self.model)
        return self._other_calls(folded, replaced) or self._other_outputs(folding, folded)

    def output_change(self, folded: nn.Module) -> float:
        """How far the outputs on the examples moved, in the model's own type."""
        return relative_difference(outputs_on(folded, self.examples), self.before)

    def _other_calls(self, folded: nn.Module, replaced: Collection[str]) -> str | None:
        for given, before in self.traced_paths:
            try:
                after = trace_paths(folded, {*self.leaves, *replaced}, given)
            except NotTraceable as error:
                return f"the forward reads what folding would change ({error})"
            if len(after) != len(before) or not all(map(same_calls, after, before)):
                return (
                    "the forward would take another path, or call another layer: it reads what folding would change, or holds a layer where "
                    "fold cannot replace it"
                )
        return None

    def _other_outputs(self, folding: Folding, folded: nn.Module) -> str | None:
        if not self.examples:
            return None
        if self.exact is None:
            found, allowed = self.output_change(folded), _rounding(self.before)
        else:
            double, examples, before = self.exact
            found, allowed = relative_difference(outputs_on(folding(double), examples), before), _rounding(before)
        if found <= allowed:
            return None
        return f"the output on the example inputs would move by {found:.2g} of its largest value, more than rounding ({allowed:.0e})"


def _rounding(outputs: Sequence[torch.Tensor]) -> float:
    """The most that the roundings of many layers add up to: the root of the type's smallest relative step."""
    return max((torch.finfo(tensor.dtype).eps ** 0.5 for tensor in outputs if tensor.is_floating_point()), default=0.0)
