"""`normlib.fold`: folds batch norms into the layers ahead, for inference.

In: a model in eval mode. Out: a copy with fewer layers and the same outputs up to rounding, with a report on it. The
given model is not changed. This file does not replace one norm by another.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from normlib.conversion.absorb import absorb, scale_and_shift
from normlib.conversion.ahead import CannotFold
from normlib.conversion.calls import follow
from normlib.conversion.examples import read_examples
from normlib.conversion.hidden import hidden_calls
from normlib.conversion.only_rank import OnlyRank
from normlib.conversion.plan import Fold, batch_norms, description_of, is_leaf, plan
from normlib.conversion.proof import Proof
from normlib.conversion.references import replace_everywhere
from normlib.conversion.report import Report, Row, attach_report


def fold(model: nn.Module, *, example_inputs: Any = None) -> nn.Module:
    """A copy of `model` whose batch norms are folded into the convolutions and linear layers ahead of them.

    .. code-block:: python

        small = normlib.fold(model.eval(), example_inputs=images)
        print(normlib.conversion_report(small))  # what was folded into what, and what was not, and why

    Batch norms are torch's, torchvision's frozen, timm's (whose activation stays), and normlib's `batch` and
    `batch_renorm`. A norm is folded if it normalizes with running statistics, and each of its inputs is the output of
    one layer. That output may be flattened, transposed or reshaped on the way. Nothing else may see it or read the
    weights. The layer's weights take the scale. Its bias, a new one if it had none, takes the shift. Both are computed
    in float64. In the norm's place, wherever the model holds it, stays an `nn.Identity`, or its activation. Outputs
    differ by rounding. A call of `F.batch_norm` stays and is named in the report.

    torch.fx finds out what sees an output. It traces every path through the `if`s of a call of the model, with optional
    arguments and without. The folded model is traced on the same paths, and has to make the same calls. With
    `example_inputs`, its outputs on them have to be equal too, in float64 if the model runs in it. They are a tensor, a
    tuple of positional arguments, a dict of arguments by name, or a list of these. A norm that fails one of these
    checks is left, with the reason. A call of the folded model is refused if its arguments could not be traced and were
    not in an example.

    Raises ValueError for a model in training mode, and for one where nothing can be folded, with the reason for each
    norm. Also for one that cannot be copied or traced; then fold a part of it:
    ``model.backbone = normlib.fold(model.backbone)``.
    """
    kind = type(model).__name__
    if model.training:
        raise ValueError(f"fold is for inference, but this {kind} is in training mode; call model.eval() first")
    candidates = batch_norms(model)
    functions = _rows_of_functions(model)
    if not candidates:
        also = "".join(f"; {row.changed[0]} ({row.path})" for row in functions)
        raise ValueError(f"there is no batch norm in this {kind}; nothing to fold{also}")
    if "" in candidates:
        raise ValueError(f"this {kind} is itself the batch norm, with no layer ahead; nothing to fold")
    examples = read_examples(example_inputs)
    leaves = {path for path, module in model.named_modules() if is_leaf(module)}
    traced_paths, guard = follow(model, leaves, examples)
    folds, left = list[Fold](), dict[str, str]()
    for path in candidates:
        try:
            folds.append(plan(model, path, [traced_path for _, found in traced_paths for traced_path in found]))
        except CannotFold as reason:
            left[path] = str(reason)
    proof = Proof(model, leaves, traced_paths, examples)
    proved = _without_objection(proof, folds, left)
    rows = [_row(model, path, proved, left) for path in candidates] + functions
    notes = [] if guard is None else [f"calls are refused that give optional arguments other than {guard.words()}"]
    report = Report("fold", tuple(rows), notes=tuple(notes))
    if not proved:
        raise ValueError(f"nothing can be folded in this {kind}:\n{report}")
    folded = _folded(model, list(proved.values()))
    if examples:
        line = f"the output on the example inputs moved by {proof.output_change(folded):.1e} of its largest value"
        report = Report("fold", report.rows, notes=(*report.notes, line))
    if guard is not None:
        folded.register_forward_pre_hook(guard, with_kwargs=True)
    attach_report(report, folded)
    return folded


def _without_objection(proof: Proof, folds: list[Fold], left: dict[str, str]) -> dict[str, Fold]:
    """The folds that pass all checks, by path. The others go to `left`.

    They are checked all at once and, if that fails, by halves.
    """
    good: dict[str, Fold] = {}
    pending = [folds] if folds else []
    while pending:
        some = pending.pop()
        attempt = [*good.values(), *some]
        reason = proof.reason_against(functools.partial(_folded, folds=attempt), {fold.path for fold in attempt})
        if reason is None:
            good |= {fold.path: fold for fold in some}
        elif len(some) == 1:
            left[some[0].path] = reason
        else:
            pending += [some[len(some) // 2 :], some[: len(some) // 2]]
    return good


def _folded(model: nn.Module, folds: Sequence[Fold]) -> nn.Module:
    """A copy of the model with these folds."""
    folded = copy.deepcopy(model)
    swap: dict[nn.Module, nn.Module] = {}
    for one in folds:
        norm, layer = folded.get_submodule(one.path), folded.get_submodule(one.layer)
        description = description_of(norm)
        assert description is not None
        absorb(layer, *scale_and_shift(description))
        rank = None if one.rank is None else OnlyRank(one.rank, description.num_features, one.layer)
        stays = [module for module in (rank, description.drop, description.activation) if module is not None]
        swap[norm] = nn.Identity() if not stays else stays[0] if len(stays) == 1 else nn.Sequential(*stays)
    replace_everywhere(folded, swap)
    return folded


def _row(model: nn.Module, path: str, proved: Mapping[str, Fold], left: Mapping[str, str]) -> Row:
    norm = model.get_submodule(path)
    description = description_of(norm)
    was = type(norm).__name__ + (f"({description.num_features})" if description else "")
    if path not in proved:
        return Row(path, was, "", changed=(left[path],))
    layer = proved[path].layer
    return Row(path, was, f"folded into {layer} ({type(model.get_submodule(layer)).__name__})")


def _rows_of_functions(model: nn.Module) -> list[Row]:
    """Rows for the modules that call batch norm as a function, not by a layer that normlib knows."""
    rows = []
    for path, module, called in hidden_calls(model):
        names = [name for name in called if "batch_norm" in name]
        if names and description_of(module) is None:
            reason = f"it calls {', '.join(names)}, a function, which fold leaves"
            rows.append(Row(path or "(the model)", type(module).__name__, "", changed=(reason,)))
    return rows
