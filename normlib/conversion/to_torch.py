"""`normlib.to_torch`: replaces normlib's layers by torch.nn's own, wherever these mean the same.

In: a model. Out: a copy with a report on it. The given model is not changed. torch_layers.py says which layer of
torch.nn means the same.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.instancenorm import _InstanceNorm

from normlib.conversion.examples import Example, outputs_on, read_examples, relative_difference
from normlib.conversion.references import irreplaceable, replace_everywhere
from normlib.conversion.report import Report, Row, attach_report
from normlib.conversion.torch_layers import NoCounterpart, Ranks, layer_of_torch
from normlib.norms.base import Norm


def to_torch(model: nn.Module, *, example_inputs: Any = None) -> nn.Module:
    """A copy of `model` with torch.nn's own layer in place of each norm of normlib that torch.nn has too.

    .. code-block:: python

        plain = normlib.to_torch(model, example_inputs=images)
        print(normlib.conversion_report(plain))  # what became what, and what torch.nn has not, and why

    Then tools that look for torch's classes know them: torch.ao's and torch.fx's fusing, opacus' validator, timm's
    `freeze_batch_norm_2d`, export. State keys, values, mode, type and device stay as they are, and outputs are equal.

    `batch` becomes BatchNorm1d, 2d or 3d (SyncBatchNorm with ``sync=True``), `instance` InstanceNorm1d, 2d or 3d,
    `group` GroupNorm, and `none` Identity. `layer` becomes GroupNorm(1, C) over samples, and LayerNorm(C) over the
    channels of a position if those are last. `rms` becomes RMSNorm if they are. A norm stays if it has a switch, a
    setting or a layout that torch.nn does not have. The report names it.

    Which of 1d, 2d and 3d it is depends on the number of dimensions of the inputs. A run on `example_inputs` shows it,
    and outputs are compared on them too. They are a tensor, a tuple of positional arguments, a dict of arguments by
    name, or a list of these. Without examples, the model's convolutions decide, and 1d is taken if there are none.
    torch's layers refuse any other input.

    Raises ValueError for a model without a norm of normlib. Also for one with convolutions of several kinds and no
    examples.
    """
    examples = read_examples(example_inputs)
    copied = copy.deepcopy(model)
    norms = {path: module for path, module in copied.named_modules() if isinstance(module, Norm)}
    if not norms:
        raise ValueError(f"there is no norm of normlib in this {type(model).__name__}; nothing to give to torch.nn")
    seen = _seen_on(copied, examples) if examples else _of_convolutions(copied)
    swap: dict[nn.Module, nn.Module] = {}
    rows = []
    for path, norm in norms.items():
        was = f"{type(norm).__name__}({norm.num_features})"
        try:
            new = layer_of_torch(norm, seen[norm] if examples else seen[None])
            problems = irreplaceable(copied, {norm: new})
            if problems:
                raise NoCounterpart(problems[0])
        except NoCounterpart as reason:
            rows.append(Row(path, was, "", changed=(str(reason),)))
            continue
        swap[norm] = new
        carried = tuple(name for name, _ in (*new.named_parameters(), *new.named_buffers()))
        counts = isinstance(new, _InstanceNorm) and new.track_running_stats
        changed = ("num_batches_tracked stands still: torch's instance norm does not count",) if counts else ()
        rows.append(Row(path, was, str(new), carried=carried, changed=changed))
    replace_everywhere(copied, swap)
    result = swap.get(copied, copied)
    notes: tuple[str, ...] = ()
    if examples:
        before = outputs_on(model, examples)
        moved = relative_difference(outputs_on(result, examples), before)
        if moved > max(torch.finfo(tensor.dtype).eps for tensor in before if tensor.is_floating_point()) ** 0.5:
            raise ValueError(
                f"with torch.nn's layers the output on the example inputs would move by {moved:.2g} of its largest value, more than "
                "rounding; something in the model depends on the class of its norms"
            )
        notes = (f"the output on the example inputs moved by {moved:.1e} of its largest value",)
    attach_report(Report("to torch.nn", tuple(rows), notes=notes), result)
    return result


def _of_convolutions(model: nn.Module) -> dict[nn.Module | None, Ranks]:
    """The number of dimensions that the model's convolutions take, or that of (N, C) if it has none."""
    ranks = {len(module.kernel_size) + 2 for module in model.modules() if isinstance(module, _ConvNd)}
    if len(ranks) > 1:
        raise ValueError(
            f"this {type(model).__name__} has convolutions over inputs of {' and '.join(map(str, sorted(ranks)))} dimensions, so nothing "
            "tells which of torch's layers its norms are; give example_inputs"
        )
    return {None: Ranks(ranks or {2}, certain=False)}


@torch.no_grad()
def _seen_on(model: nn.Module, examples: Sequence[Example]) -> dict[nn.Module | None, Ranks]:
    """The inputs that each norm sees in a run on the examples."""
    running = copy.deepcopy(model)
    seen: dict[nn.Module | None, Ranks] = {}
    pairs = [(old, new) for old, new in zip(model.modules(), running.modules()) if isinstance(old, Norm)]
    for old, new in pairs:
        seen[old] = Ranks(set(), certain=True)
        new.register_forward_pre_hook(_recording_ranks(seen[old]), with_kwargs=True)
    outputs_on(running, examples)
    return seen


def _recording_ranks(ranks: Ranks) -> Any:
    def record_rank(norm: nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        ranks.seen.add((args[0] if args else named["x"]).dim())
        ranks.masked = ranks.masked or len(args) > 1 or named.get("mask") is not None

    return record_rank
