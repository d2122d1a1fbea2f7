"""The base class of norms with running statistics: one driver for whatever they measure.

In: inputs (N, C, *positions). Out: the inputs normalized with the statistics that the switches ask for; the running
statistics have moved. This file knows no statistic by name: each is averaged as it is measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from normlib.norms._averages import mean_of_measured, mean_of_parts, move_towards
from normlib.norms.kernels.axes import mean_over_batch, per_channel
from normlib.norms.kernels.inspection import is_recomputing, may_be_recomputed, statistics_dtype
from normlib.norms.kernels.masked import refuse_single_values
from normlib.norms.kernels.synchronized import several_processes
from normlib.norms.measuring import MeasuringNorm, Statistics
from normlib.norms.recomputation import Passes

__all__ = ["RunningNorm", "Statistics", "mean_over_batch", "per_channel"]


class RunningNorm(MeasuringNorm):
    """A norm that keeps running averages of its statistics and normalizes with them at inference.

    The averages are buffers `running_<statistic>`.

    The averages are buffers `running_<statistic>`.

    A subclass implements `measure` and `normalize`. In the constructor it names its statistics, each with what it
    starts at: a number for (C,), or a tensor. The base class adds running averages, frozen and precise statistics,
    ghost batches (`norm_batch_size`), masks, statistics of all processes (`sync`) and activation checkpointing. With
    `guard`, batches that are not finite stay out of the averages; under float16 and autocast they always do.

    .. code-block:: python

        class RMSOfBatch(normlib.RunningNorm):
            def __init__(self, num_features: int, eps: float = 1e-5) -> None:
                super().__init__(num_features, {"mean_square": 1.0}, eps=eps)

            def measure(self, x):
                return {"mean_square": x.square().mean([0, *range(2, x.dim())])}

            def normalize(self, x, mean_square):
                return x * (per_channel(mean_square, x) + self.eps).rsqrt()

    Settings:
        momentum: weight of the new batch in the running averages; null averages all batches alike
        track_running_stats: whether running averages are kept, which then normalize at inference
        guard: whether batches that are not finite stay out of the running averages (under float16 and autocast they
            always do)
        sync: whether statistics in training are those of all processes, as if their batches were one
    """

    depends_on_batch: ClassVar[bool] = True
    takes_mask: ClassVar[bool] = True
    buffer_count: ClassVar[str] = "2C+1"
    #: Whether "precise" statistics average those of the batches, each counting once, instead of pooling all values.
    averages_batches: ClassVar[bool] = False
    num_batches_tracked: Any  # Tensor, or None as in torch.nn
    #: In words: what its statistics are over with a mask, for the message that refuses a single value.
    over_valid: ClassVar[str] = "the valid samples and positions of the batch"

    def __init__(
        self,
        num_features: int,
        statistics: Mapping[str, float | Tensor],
        *,
        momentum: float | None = 0.1,
        track_running_stats: bool = True,
        guard: bool = False,
        sync: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(num_features, device=device, dtype=dtype, **settings)
        self.momentum, self.track_running_stats, self.guard, self.sync = momentum, track_running_stats, guard, sync
        self._starts, self._passes = dict(statistics), Passes()
        for name, start in statistics.items():
            shape = start.shape if isinstance(start, Tensor) else (num_features,)
            kept = torch.empty(shape, device=device, dtype=dtype) if track_running_stats else None
            self.register_buffer(f"running_{name}", kept)
        self.register_buffer("num_batches_tracked", torch.tensor(0, device=device) if track_running_stats else None)
        self.reset_running_stats()

    def _transform(self, x: Tensor, mask: Tensor | None, in_half: bool) -> Tensor:
        if self._statistics == "weighed":
            return self._weighed(x, mask)
        by_batch, moves = self.uses_batch_statistics, self._moves()
        running = self.running(x) if self.has_running_statistics else {}
        # The backward pass needs these values, and the buffers may move until then.
        if not by_batch and torch.is_grad_enabled():
            running = {name: value.clone() for name, value in running.items()}
        if not by_batch and not moves:
            return self.normalize_by_running(x, running)
        across_processes, groups = self._joins_other_processes(), self.num_groups_of_samples(x.shape[0])
        if not across_processes:
            self._require_batch(x, groups)
        xs = (x,) if groups == 1 else x.tensor_split(groups)
        masks: Sequence[Tensor | None] = [None] * groups if mask is None else mask.tensor_split(groups)
        again = moves and is_recomputing()
        asks_state = not by_batch or type(self).normalize_by_measured is not MeasuringNorm.normalize_by_measured
        if again and asks_state and len(self._passes):
            running = dict(self._passes.recall())
        elif moves and asks_state and may_be_recomputed():
            self._passes.remember(running)
        if by_batch and mask is None and not across_processes:
            outputs, statistics = zip(*(self.measure_and_normalize(part, running) for part in xs), strict=True)
            counts: Any = [self.num_values(part) for part in xs]
        else:
            pairs = zip(xs if by_batch else x.detach().tensor_split(groups), masks, strict=True)
            statistics, counts = zip(
                *(self.measure_part(part, valid, across_processes) for part, valid in pairs), strict=True
            )
            self._refuse_single_values(counts, across_processes)
            measured = zip(xs, statistics, strict=True)
            outputs = (
                tuple(self.normalize_by_measured(part, each, running) for part, each in measured) if by_batch else ()
            )
        y = self.normalize_by_running(x, running) if not by_batch else outputs[0] if groups == 1 else torch.cat(outputs)
        if moves and not again:
            self._move(statistics, counts, mask is None and not across_processes, in_half or self.guard)
        return y

    def running_buffers(self) -> list[tuple[str, Tensor]]:
        """The buffers of the running statistics, each with its name."""
        names = [f"running_{name}" for name in self._starts]
        return [(name, getattr(self, name)) for name in names if self._buffers.get(name) is not None]

    def _moves(self) -> bool:
        return self.training and self.update_running and self.has_running_statistics and self.track_running_stats

    def _move(
        self, statistics: Sequence[Statistics], counts: Sequence[Any], all_measured: bool, skip_nonfinite: bool
    ) -> None:
        with torch.no_grad():
            parts = [self.averaged(each, count) for each, count in zip(statistics, counts, strict=True)]
            measured = None
            if all_measured:
                new = mean_of_parts(parts)
            else:
                new, measured = mean_of_measured(parts, [torch.as_tensor(count) for count in counts])
            values = [(buffer, new[name.removeprefix("running_")].detach()) for name, buffer in self.running_buffers()]
            move_towards(values, self.num_batches_tracked, self.momentum, skip_nonfinite, measured)

    def _weighed(self, x: Tensor, mask: Tensor | None) -> Tensor:
        if self.training:
            raise ValueError(
                'statistics="weighed" is for inference, but the norm is in training mode: call eval(), or set statistics="auto"'
            )
        running, exact, outputs = self.running(x), x.to(statistics_dtype(x)), []
        assert self.own_weight is not None
        for index in range(x.shape[0]):
            sample = exact[index : index + 1]
            own, _ = self.measure_part(sample, None if mask is None else mask[index : index + 1])
            mixed = self.combine(running, own, self.own_weight)
            outputs.append(self.normalize(sample, **{name: mixed[name] for name in self._starts}))
        return self.scale_and_shift(torch.cat(outputs))

    def _joins_other_processes(self) -> bool:
        if not self.sync or not self.training or not (self.uses_batch_statistics or self.update_running):
            return False
        if self.norm_batch_size is not None:
            raise ValueError(
                f"sync=True takes statistics over the samples of all processes, and norm_batch_size={self.norm_batch_size} over "
                "groups of them; leave one out: sync=False, or norm_batch_size=None (site.norm_batch_size=null)"
            )
        return several_processes()

    def _waits_for_others(self) -> bool:
        return self._joins_other_processes()

    def _require_batch(self, x: Tensor, groups: int) -> None:
        count = self.num_values(x) if groups == 1 else x.shape[0] // groups * x[0, 0].numel()
        fix = "use larger batches, or a norm that does not depend on the batch"
        self.require_several_values(count, x, "the samples and positions of the batch", fix)

    def _refuse_single_values(self, counts: Sequence[Any], across_processes: bool) -> None:
        over = "the samples and positions of all processes" if across_processes else self.over_valid
        fix = "leave more of it valid, or use a norm with wider statistics"
        for count in counts:
            refuse_single_values(self._name, torch.as_tensor(count), over, fix)

    @property
    def has_running_statistics(self) -> bool:
        return self._buffers.get("num_batches_tracked") is not None

    def reset_running_stats(self) -> None:
        """Put the running statistics back to where they start."""
        if not self.has_running_statistics:
            return
        with torch.no_grad():
            for name, start in self._starts.items():
                buffer: Tensor = getattr(self, f"running_{name}")
                buffer.copy_(start if isinstance(start, Tensor) else torch.full_like(buffer, start))
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        super().reset_parameters()
        self.reset_running_stats()

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, momentum={self.momentum}, track_running_stats={self.track_running_stats}"
