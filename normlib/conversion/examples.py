"""A model's outputs on example inputs, before and after it was changed, and how far they differ.

In: a model, and inputs that the user gave. Out: numbers. A copy runs in eval mode, so the model, its buffers and the
global random state stay as they are.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree


@dataclass(frozen=True)
class Example:
    """One call of a model."""

    args: tuple[Any, ...] = ()
    named: Mapping[str, Any] = field(default_factory=dict)


def read_examples(example_inputs: Any) -> list[Example]:
    """The calls that `example_inputs` stands for, or none for None.

    A tensor is the model's input, a tuple its positional arguments, a dict its arguments by name. A list holds several
    of these. Raises ValueError for an empty list and for anything else.
    """
    if example_inputs is None:
        return []
    several = example_inputs if isinstance(example_inputs, list) else [example_inputs]
    found: list[Example] = []
    for one in several:
        if isinstance(one, Tensor):
            found.append(Example((one,)))
        elif isinstance(one, tuple):
            found.append(Example(one))
        elif isinstance(one, dict):
            found.append(Example(named=one))
        else:
            raise ValueError(
                "example_inputs is a tensor (the model's input), a tuple (its positional arguments), a dict (its arguments by name), "
                f"or a list of these, but got a {type(one).__name__}"
            )
    if not found:
        raise ValueError("example_inputs is an empty list; give at least one input, or leave it out")
    return found


@torch.no_grad()
def outputs_on(model: nn.Module, examples: Sequence[Example]) -> list[Tensor]:
    """All output tensors of a copy of the model in eval mode, in order. The random numbers are the same each time."""
    copied = copy.deepcopy(model).eval()
    found: list[Tensor] = []
    with torch.random.fork_rng():
        for example in examples:
            torch.manual_seed(0)
            args, named = copy.deepcopy((example.args, dict(example.named)))  # a forward may write into its input
            found += _tensors_in(copied(*args, **named))
    if not found:
        raise ValueError(
            f"this {type(model).__name__} returns no tensor for the example inputs, so nothing can be compared"
        )
    return found


def in_double(examples: Sequence[Example]) -> list[Example]:
    """The same calls with every real tensor in float64."""

    def double(value: Any) -> Any:
        return value.double() if isinstance(value, Tensor) and value.is_floating_point() else value

    return [
        Example(pytree.tree_map(double, example.args), pytree.tree_map(double, dict(example.named)))
        for example in examples
    ]


def relative_difference(after: Sequence[Tensor], before: Sequence[Tensor]) -> float:
    """The largest difference of a value, as a share of the largest value of its tensor.

    Infinite if the tensors do not match.
    """
    if [tensor.shape for tensor in after] != [tensor.shape for tensor in before]:
        return float("inf")
    return max((_distance(a, b) for a, b in zip(after, before)), default=0.0)


def _distance(after: Tensor, before: Tensor) -> float:
    if not before.numel():
        return 0.0
    if not before.is_floating_point() or not after.is_floating_point():
        return 0.0 if torch.equal(after, before) else float("inf")
    a, b = after.double(), before.double()
    special = ~(torch.isfinite(a) & torch.isfinite(b))
    if not torch.equal(a[special].nan_to_num(), b[special].nan_to_num()):
        return float("inf")
    difference = (a - b)[~special].abs().max() if not special.all() else a.new_zeros(())
    largest = b[~special].abs().max() if not special.all() else b.new_ones(())
    return float(difference / largest) if largest else float("inf") if difference else 0.0


def _tensors_in(output: Any) -> list[Tensor]:
    """The tensors in nested tuples, lists and dicts, and in the attributes of other objects."""
    found: list[Tensor] = []
    for leaf in pytree.tree_leaves(output):
        if isinstance(leaf, Tensor):
            found.append(leaf.detach())
        elif hasattr(leaf, "__dict__") and not isinstance(leaf, type | nn.Module):
            found += _tensors_in(list(vars(leaf).values()))
    return found
