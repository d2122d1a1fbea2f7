"""`normlib.convert`: replaces every norm of a model by another.

In: a model. Out: the same model, changed in place, with a report on it. Everything is checked and built before the
first layer is replaced. So an error leaves model and optimizer as they were. This file trains nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import nn
from torch.optim import Optimizer

from normlib.conversion.build import Replacement, build
from normlib.conversion.examples import outputs_on, read_examples, relative_difference
from normlib.conversion.find import FoundNorms, Layer, find
from normlib.conversion.function import explain_function_change, is_trained
from normlib.conversion.optimizer import Change, parameters_to_add, replace_parameters
from normlib.conversion.report import Report, Row, attach_report
from normlib.conversion.swap import require_replaceable, swap
from normlib.naming import unknown_name
from normlib.norms import factory, norms


def convert(
    model: nn.Module,
    norm: str,
    *,
    optimizer: Optimizer | None = None,
    skip: Iterable[str] = (),
    activation: Callable[[], nn.Module] | None = None,
    known: Mapping[type[nn.Module], str] | None = None,
    num_groups_at_most: int | None = None,
    example_inputs: Any = None,
    **params: Any,
) -> nn.Module:
    """Replace every normalization layer of `model`, in place, by the norm registered as `norm`. Returns the model.

    .. code-block:: python

        model = torchvision.models.resnet18(weights="DEFAULT")
        normlib.convert(model, "group", num_groups=8)
        print(normlib.conversion_report(model))

    These layers are known: torch's batch (synchronized too), layer, group, instance and RMS norm, and torchvision's and
    timm's own norms. So are timm's layers that are norm and activation in one, and every norm of normlib. Any other
    module that calls itself a norm is measured, and so is a subclass with behaviour of its own. Random input goes into
    a copy. If layer, RMS, group, instance or batch norm explains the output to 1e-6, the module is taken as that. The
    module's own tensors have to be the scale (or 1 + scale) and the shift, and eps is measured. If no method explains
    it, an error names the module, with the numbers. ``known={Scaler: "rms"}`` also measures modules of other classes.
    `skip` leaves modules as they are, with everything inside, by path ("head.norm") or pattern ("*.norm2"). A model
    without any norm is an error. A model that is itself a norm is not changed; the new one is returned. Calls of
    torch's norm functions, such as `F.batch_norm`, stay and are named in the report.

    A norm is replaced wherever the model holds it: in lists, tuples, dicts, sets, objects, closures, or as a bound
    method.

    Train and eval mode, device, type and `requires_grad` are kept. So are scale and shift, as the very same Parameters.
    Running statistics are kept if they mean the same; batch norm's variance becomes batch renorm's deviation. A module
    at two places stays one module. `params` are the new norm's settings. `eps`, `affine` and `scope` are the old
    layer's unless given, and within one method so are all others. The report names what means something else now, and
    what is lost, for example hooks on the old layers. ``convert(model, "batch")`` changes no bit of the output of
    torch's batch norms in eval mode.

    `optimizer` is one that was built before. It forgets the parameters that vanished, and gets the new ones in the
    group of the old layer's. `activation` makes what goes behind the new norm if the old one had an activation of its
    own, as filter response norm has: ``activation=torch.nn.ReLU``. A norm with an activation of its own can only
    replace a layer that is norm and activation in one. `num_groups_at_most`: the groups of each layer are the largest
    divisor of its channels up to this number. Another method is another function. If the model was trained, the report
    says so. With `example_inputs` it also says how far the output moved on them. They are a tensor, a tuple of
    positional arguments, a dict of arguments by name, or a list of these.

    Raises ValueError, and changes nothing, if this is not possible.
    """
    _check_target(norm, params, num_groups_at_most)
    for cls, method in (known or {}).items():
        if method not in norms:
            raise ValueError(f"known={{{cls.__qualname__}: {method!r}}}: {unknown_name('norm', method, norms.names())}")
    found = find(model, tuple(skip), known or {})
    layers, skipped = found.layers, list(found.skipped.values())
    if not layers:
        raise ValueError(
            f"there is no normalization layer in this {type(model).__name__}{_describe_skipped(found)}; nothing to convert"
        )
    _check_slots(norm, layers, activation)
    examples = read_examples(example_inputs)
    outputs = outputs_on(model, examples) if examples else []
    trained = any(is_trained(layer.description) for layer in layers)
    like = next((tensor for tensor in (*model.parameters(), *model.buffers()) if tensor.is_floating_point()), None)
    replacements: list[Replacement] = []
    for layer in layers:
        settings = dict(params)
        if num_groups_at_most is not None:
            settings["num_groups"] = largest_divisor(layer.description.num_features, num_groups_at_most)
        try:
            replacements.append(build(layer.description, layer.module, norm, settings, like, activation))
        except ValueError as error:
            raise ValueError(f"{layer.path} ({type(layer.module).__name__}) cannot become {norm!r}: {error}") from error
    new = [replacement.module for replacement in replacements]
    require_replaceable(model, layers, new, skipped)
    changes = [
        Change(layer.path, dict(layer.module.named_parameters()), dict(module.named_parameters()))
        for layer, module in zip(layers, new, strict=True)
    ]
    added = [] if optimizer is None else parameters_to_add(optimizer, changes)
    swap(model, layers, new, [replacement.notes for replacement in replacements], skipped)
    if layers[0].module is model:
        model = new[0]
    lines: tuple[str, ...] = ()
    if optimizer is not None:
        remaining_ids = {id(parameter) for parameter in model.parameters()}
        removed_ids = {id(p) for change in changes for p in change.before.values()} - remaining_ids
        lines = replace_parameters(optimizer, added, removed_ids)
    moved = relative_difference(outputs_on(model, examples), outputs) if examples else None
    others = [
        layer.description.method
        for layer, replacement in zip(layers, replacements, strict=True)
        if replacement.is_another_function
    ]
    rows = [_row(layer, replacement) for layer, replacement in zip(layers, replacements, strict=True)]
    rows += _rows_left(found)
    report = Report(
        f"convert to {norm!r}", tuple(rows), lines, explain_function_change(norm, others, len(layers), trained, moved)
    )
    attach_report(report, model)
    return model


def largest_divisor(number: int, at_most: int) -> int:
    return max(divisor for divisor in range(1, min(number, at_most) + 1) if number % divisor == 0)


def _describe_skipped(found: FoundNorms) -> str:
    """In words: what is not a layer that could be converted."""
    words = f" besides the skipped {', '.join(found.skipped)}" if found.skipped else ""
    return words + "".join(f"; {path or 'the model'}: {reason}" for path, (_, reason) in found.others.items())


def _rows_left(found: FoundNorms) -> list[Row]:
    left = [(path, module, "skipped") for path, module in found.skipped.items()]
    left += [(path or "(the model)", module, reason) for path, (module, reason) in found.others.items()]
    return [Row(path, type(module).__name__, "", changed=(reason,)) for path, module, reason in left]


def _check_target(norm: str, params: Mapping[str, Any], num_groups_at_most: int | None) -> None:
    factory(norm, **params)  # refuses unknown names and settings
    if num_groups_at_most is not None:
        if "num_groups" not in norms[norm].settings:
            raise ValueError(
                f"num_groups_at_most is for norms with num_groups, which {norm!r} does not have; leave it out"
            )
        if isinstance(num_groups_at_most, bool) or not isinstance(num_groups_at_most, int) or num_groups_at_most < 1:
            raise ValueError(f"num_groups_at_most is a whole number from 1, got {num_groups_at_most!r}")
        both = sorted({"num_groups", "group_size"} & set(params))
        if both:
            raise ValueError(f"num_groups_at_most and {both[0]} both say how many groups there are; give one")
    supplied = sorted(norms.supplied & set(params))
    if supplied:
        raise ValueError(
            f"{', '.join(supplied)} cannot be given, because convert takes it from each layer; leave it out"
        )
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
            f"{', '.join(own)} had an activation of its own, which {norm!r} does not have; say what takes its place, "
            "for example activation=torch.nn.ReLU"
        )


def _row(layer: Layer, new: Replacement) -> Row:
    was = f"{type(layer.module).__name__}({layer.description.num_features})"
    became = f"{type(new.norm).__name__}({new.norm.extra_repr()})"
    notes = new.notes
    return Row(layer.path, was, became, tuple(notes.carried), tuple(notes.changed), tuple(notes.lost))
