"""The schedule of batch renorm's bounds: its checked times, and the straight lines between them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from normlib.norms.kernels.inspection import may_read_values

# When the bounds start to move, and when d and r reach their maxima: in steps (section 4 of the paper), and as
# fractions of a run of 100,000 steps.
SCHEDULES = {"steps": (5_000.0, 25_000.0, 40_000.0), "fraction": (0.05, 0.25, 0.4)}
SHORTEST_RAMP = 1e-6  # steps; a ramp that ends where it starts jumps at the next step


@dataclass(frozen=True)
class Schedule:
    """The schedule's `kind` ("steps", "fraction" or None) and its times.

    The times are when the bounds start to move, when d reaches its maximum, and when r does.
    """

    kind: str | None
    start: float = 0.0
    d_end: float = 0.0
    r_end: float = 0.0

    def in_steps(self, total_steps: int | None) -> Schedule | None:
        """The schedule in steps. None if it is in fractions of a run whose length is not known."""
        if self.kind != "fraction":
            return self
        if total_steps is None:
            return None
        return Schedule("steps", self.start * total_steps, self.d_end * total_steps, self.r_end * total_steps)

    def bounds(self, clock: Tensor, r_max: float, d_max: float) -> tuple[float | Tensor, float | Tensor]:
        """r_max and d_max in force at `clock` steps.

        They are numbers if the clock can be read without waiting, otherwise tensors in float64.
        """
        if self.kind is None:
            return r_max, d_max
        r_steps, d_steps = max(self.r_end - self.start, SHORTEST_RAMP), max(self.d_end - self.start, SHORTEST_RAMP)
        if may_read_values(clock):
            passed = int(clock) - self.start
            r, d = (min(max(passed / steps, 0.0), 1.0) for steps in (r_steps, d_steps))
            return 1 + (r_max - 1) * r, d_max * d
        dtype = torch.float32 if clock.device.type == "mps" else torch.float64  # mps has no float64
        elapsed = clock.to(dtype) - self.start
        return 1 + (r_max - 1) * (elapsed / r_steps).clamp(0, 1), d_max * (elapsed / d_steps).clamp(0, 1)


def schedule_from(
    kind: str | None, warmup: float | None, d_ramp_end: float | None, r_ramp_end: float | None
) -> Schedule:
    """The schedule with the given times. Times that are not given are the paper's.

    Raises ValueError for times that make no sense.
    """
    given = (warmup, d_ramp_end, r_ramp_end)
    if kind is None:
        if any(time is not None for time in given):
            raise ValueError(
                f"warmup, d_ramp_end and r_ramp_end are times of a schedule, but schedule=None has none, and got {given}; "
                "leave them out or choose a schedule"
            )
        return Schedule(None)
    if kind not in SCHEDULES:
        raise ValueError(f"schedule is one of {', '.join(map(repr, SCHEDULES))} or None, got {kind!r}")
    start, d_end, r_end = (
        own if time is None else float(time) for time, own in zip(given, SCHEDULES[kind], strict=True)
    )
    came = f"got warmup={start:g}, d_ramp_end={d_end:g}, r_ramp_end={r_end:g} with schedule={kind!r}"
    if not 0 <= start <= min(d_end, r_end):
        raise ValueError(f"a schedule's times are in order, 0 <= warmup <= d_ramp_end and r_ramp_end; {came}")
    if kind == "fraction" and max(d_end, r_end) > 1:
        raise ValueError(f'fractions of the run are at most 1; {came}; for times in steps use schedule="steps"')
    return Schedule(kind, start, d_end, r_end)
