"""Puts new layers into all the places of a model where old ones were: submodules, plain lists, bound methods and the
rest.

In: the layers that were found, and what replaces each. The model changes. A layer that cannot be replaced everywhere is
an error before anything changes. This file builds no layer.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from torch import nn

from normlib.conversion.carry import Notes
from normlib.conversion.find import Layer
from normlib.conversion.references import irreplaceable, replace_everywhere


def require_replaceable(
    model: nn.Module, layers: Sequence[Layer], new: Sequence[nn.Module], leave: Collection[nn.Module]
) -> None:
    """Refuse layers that the model holds where new ones cannot be put. Raises ValueError."""
    problems = irreplaceable(model, {layer.module: module for layer, module in zip(layers, new, strict=True)}, leave)
    if problems:
        raise ValueError(
            "some norms cannot be replaced wherever the model holds them; nothing was changed:\n  "
            + "\n  ".join(problems)
            + "\nHold the module itself there, or leave it as it is: normlib.convert has skip=[...]"
        )


def swap(
    model: nn.Module,
    layers: Sequence[Layer],
    new: Sequence[nn.Module],
    notes: Sequence[Notes],
    leave: Collection[nn.Module] = (),
) -> None:
    """Put the new layers where the old ones were, except inside `leave`. Places that are not submodules go into the
    notes.

    torch's encoder layer has a fast path for eval mode. It reads the norms' weights and computes layer norm by itself,
    whatever the norms are. So it is switched off, and with it the encoder's nested tensors, which only that path takes.
    """
    for layer, note in zip(layers, notes, strict=True):
        for _, parent, _ in layer.places:
            if isinstance(parent, nn.TransformerEncoderLayer):
                parent.activation_relu_or_gelu = 0
                note.changed.append(f"the fast path of {type(parent).__name__}, which is for layer norm only, is off")
        note.carried.extend(f"its place in {place}" for place in dict.fromkeys(layer.beside))
    replace_everywhere(model, {layer.module: module for layer, module in zip(layers, new, strict=True)}, leave)
    for module in model.modules():
        if isinstance(module, nn.TransformerEncoder) and not getattr(module.layers[0], "activation_relu_or_gelu", 0):
            module.use_nested_tensor = False
