"""`normlib.convert`: another norm in every place of a model where there is one.

In comes a model, out goes the same model, changed in place, with a report on it. Everything is checked and built before the
first layer is replaced, so that an error leaves model and optimizer as they were. This file trains nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import nn
from torch.optim import Optimizer

from normlib.conversion.build import Replacement, build
from normlib.conversion.find import Layer, find
from normlib.conversion.optimizer import Change, joining, refit
from normlib.conversion.report import Report, Row, keep
from normlib.norms import factory, norms


def convert(
    model: nn.Module,
    norm: str,
    *,
    optimizer: Optimizer | None = None,
    skip: Iterable[str] = (),
    activation: Callable[[], nn.Module] | None = None,
    **params: Any,
) -> nn.Module:
    """Replace every normalization layer of `model`, in place, by the norm registered as `norm`; returns the model.

    .. code-block:: python

        model = torchvision.models.resnet18(weights="DEFAULT")
        normlib.convert(model, "group", num_groups=8)
        print(normlib.conversion_report(model))

    Known are torch's batch (synchronized too), layer, group, instance and RMS norm, torchvision's and timm's own, timm's
    layers that are norm and activation in one, and every norm of normlib. A subclass with behaviour of its own, and a module
    that only calls itself a norm, is an error that names it; `skip` leaves modules as they are, by path ("head.norm") or
    pattern ("*.norm2"), with all that is in them. A model without any norm is an error. A model that is itself a norm is
    not changed; the new one is returned.

    What is kept: a module at two places stays one module; train and eval mode, device, type, `requires_grad`; scale and
    shift, as the very same Parameters; running statistics where they mean the same (batch norm's variance becomes batch
    renorm's deviation). `params` are the new norm's settings; `eps`, `affine`, `scope` and, within one method, all
    others are the old layer's unless given. What means something else now, and what is lost (hooks on the old layers, for example), is
    in the report. ``convert(model, "batch")`` changes no bit of the output of torch's batch norms in eval mode.

    `optimizer`, one that was built before: it forgets the parameters that vanished, and gets the new ones in the group where
    the old layer's were. `activation` makes what goes behind the new norm where the old one had an activation of its own,
    as filter response norm: ``activation=torch.nn.ReLU``. A norm that brings its own can only take the place of a layer
    that is norm and activation in one.

    Raises ValueError, and changes nothing, where this cannot be done.
    """
    _check_target(norm, params)
    found, left = find(model, tuple(skip))
    if not found:
        raise ValueError(
            f"there is no normalization layer in this {type(model).__name__}"
            + (f" besides the skipped {', '.join(left)}" if left else "")
            + "; nothing to convert"
        )
    _check_slots(norm, found, activation)
    like = next((tensor for tensor in (*model.parameters(), *model.buffers()) if tensor.is_floating_point()), None)
    made: list[Replacement] = []
    for layer in found:
        try:
            made.append(build(layer.description, layer.module, norm, params, like, activation))
        except ValueError as error:
            raise ValueError(f"{layer.path} ({type(layer.module).__name__}) cannot become {norm!r}: {error}") from error
    changes = [
        Change(layer.path, dict(layer.module.named_parameters()), dict(new.module.named_parameters()))
        for layer, new in zip(found, made, strict=True)
    ]
    join = [] if optimizer is None else joining(optimizer, changes)
    _swap(model, found, made)
    if found[0].module is model:
        model = made[0].module
    lines: tuple[str, ...] = ()
    if optimizer is not None:
        there = {id(parameter) for parameter in model.parameters()}
        gone = {id(p) for change in changes for p in change.before.values()} - there
        lines = refit(optimizer, join, gone)
    rows = [_row(layer, new) for layer, new in zip(found, made, strict=True)]
    rows += [Row(path, was, "", changed=("skipped",)) for path, was in left.items()]
    keep(Report(f"convert to {norm!r}", tuple(rows), lines), model)
    return model


def _check_target(norm: str, params: Mapping[str, Any]) -> None:
    factory(norm, **params)  # refuses unknown names and settings
    supplied = sorted(norms.supplied & set(params))
    if supplied:
        raise ValueError(f"{', '.join(supplied)} cannot be given: convert reads it off each layer; leave it out")
    slot = _slot(norm)
    if slot == "weight":
        raise ValueError(
            f"{norm!r} works on the weights of the layer ahead, so it cannot take the place of a layer that works on activations; "
            f"normlib.create({norm!r}, layer.out_features).enter(normlib.Place(ahead=layer)) puts it on a layer of your choice"
        )
    if slot == "branch":
        raise ValueError(
            f"{norm!r} needs to know a model's residual branches, which convert cannot see; build a network of normlib's with "
            f"norm={norm}, or convert to 'none'"
        )


def _slot(norm: str) -> str:
    cls: Any = norms[norm].cls
    return str(cls.slot)


def _check_slots(norm: str, found: list[Layer], activation: Callable[[], nn.Module] | None) -> None:
    takes_site = _slot(norm) == "site"
    alone = [layer.path for layer in found if not layer.description.fused]
    own = [layer.path for layer in found if layer.description.own_activation]
    if takes_site and alone:
        raise ValueError(
            f"{norm!r} brings its own activation, so it can only replace layers that are norm and activation in one, as timm's; "
            f"but in {', '.join(alone)} the activation is elsewhere in the model; choose another norm, or skip these"
        )
    if not takes_site and own and activation is None:
        raise ValueError(
            f"{', '.join(own)} had an activation of its own, which {norm!r} has not; say what takes its place, "
            "for example activation=torch.nn.ReLU"
        )


def _swap(model: nn.Module, found: list[Layer], made: list[Replacement]) -> None:
    """Put the new layers where the old ones were.

    torch's encoder layer has a fast path for eval mode that reads the norms' weights and computes layer norm by itself,
    whatever the norms are: it is switched off, and with it the encoder's nested tensors, which only that path takes.
    """
    for layer, new in zip(found, made, strict=True):
        for _, parent, name in layer.places:
            if parent is None:
                continue
            parent.add_module(name, new.module)
            if isinstance(parent, nn.TransformerEncoderLayer):
                parent.activation_relu_or_gelu = 0
                new.notes.changed.append(
                    f"the fast path of {type(parent).__name__}, which is for layer norm only, is off"
                )
    _note_references(model, found, made)
    for module in model.modules():
        if isinstance(module, nn.TransformerEncoder) and not getattr(module.layers[0], "activation_relu_or_gelu", 0):
            module.use_nested_tensor = False


def _note_references(model: nn.Module, found: list[Layer], made: list[Replacement]) -> None:
    """Say where attributes that torch does not take for submodules, as plain lists, go on holding an old layer."""
    notes = {id(layer.module): new.notes for layer, new in zip(found, made, strict=True)}
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            if name == "_modules":  # where a skipped place holds it
                continue
            held = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else [value]
            for one in (one for one in held if id(one) in notes):
                at = f"{path}.{name}" if path else name
                notes[id(one)].lost.append(f"{at}, no submodule for torch, still holds the old layer")


def _row(layer: Layer, new: Replacement) -> Row:
    was = f"{type(layer.module).__name__}({layer.description.num_features})"
    became = f"{type(new.norm).__name__}({new.norm.extra_repr()})"
    notes = new.notes
    return Row(layer.path, was, became, tuple(notes.carried), tuple(notes.changed), tuple(notes.lost))
