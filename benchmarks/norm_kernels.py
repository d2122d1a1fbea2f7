"""Time and error of the functions that normalize over the batch, beside torch.nn's and the plain formula, on a CPU.

All sides of a cell take turns in one process, on one thread. The result is the median of the ratios within a round.
"function" compares `normalize_over_batch` with `torch.nn.functional.batch_norm`, on the same tensors, in training with
running statistics. "layer" compares normlib's with torch.nn's. Errors are against float64, in standard deviations of the
output.
Run from the repository: python benchmarks/norm_kernels.py [times|layers|errors|renorm|thresholds] [part of a cell's name]
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from statistics import median

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import normlib
from normlib.norms.kernels import batch_moments
from normlib.norms.kernels.batch_formulas import batch_norm_formula, measure_formula
from normlib.norms.kernels.batch_norm import apply_statistics, normalize_over_batch
from normlib.timings.timing import keep_freed_memory, seconds_in_turns

ROUNDS = 15
ALLOWED = 1.05
EPS = 1e-5
SHAPES = [
    (2, 128), (32, 128), (256, 512), (8, 64, 32, 32), (2, 64, 56, 56), (32, 16, 8, 8), (8, 128, 256), (2, 32, 8, 16, 16),
    (16, 64, 32, 32),
]  # fmt: skip
INPUTS = {"mean 0": (0.0, 1.0), "mean 3": (3.0, 1.0), "0..255": (127.5, 73.6)}
HARD = {**INPUTS, "mean 1000, spread 0.01": (1000.0, 0.01)}
LAYOUTS = ("contiguous", "channels last")


def draw(shape: tuple[int, ...], layout: str, dtype: torch.dtype, mean: float, spread: float, seed: int = 0) -> Tensor:
    x = torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    x = ((x - 0.5) * (12**0.5 * spread) + mean).to(dtype)
    return x.movedim(1, -1).contiguous().movedim(-1, 1) if layout == "channels last" else x


def cells(inputs: dict[str, tuple[float, float]], wanted: str) -> Iterator[tuple[str, Tensor]]:
    for shape in SHAPES:
        for layout in LAYOUTS[: 1 if len(shape) == 2 else 2]:
            for dtype in (torch.float32, torch.bfloat16):
                for what, (mean, spread) in inputs.items():
                    name = f"{shape!s:20} {layout:13} {str(dtype)[6:]:8} {what}"
                    if wanted in name:
                        yield name, draw(shape, layout, dtype, mean, spread)


def ratios(steps: dict[str, Callable[[], object]], to: str, rounds: int = ROUNDS) -> dict[str, float]:
    taken = seconds_in_turns(steps, rounds, "cpu")
    return {name: median(a / b for a, b in zip(taken[name], taken[to])) for name in steps if name != to}


def both_ways(step: Callable[[Tensor], Tensor], x: Tensor) -> dict[str, Callable[[], object]]:
    leaf, gradient = x.clone().requires_grad_(), torch.randn_like(x)
    return {"forward": lambda: step(x), "both": lambda: step(leaf).backward(gradient)}


def report(name: str, sides: dict[str, Callable[[Tensor], Tensor]], x: Tensor) -> bool:
    """Print the ratios of each side to "torch.nn". Returns whether the first is at most 1.05, both ways."""
    found = {}
    for way in ("forward", "both"):
        found[way] = ratios({side: both_ways(step, x)[way] for side, step in sides.items()}, "torch.nn")
    first, *others = (side for side in sides if side != "torch.nn")
    worst = max(found[way][first] for way in found)
    rest = "  ".join(f"{side} {found['forward'][side]:5.2f} {found['both'][side]:5.2f}" for side in others)
    mark = "" if worst <= ALLOWED else " > 1.05"
    print(f"{name:62} {found['forward'][first]:5.2f} {found['both'][first]:5.2f}   {rest}{mark}", flush=True)
    return worst <= ALLOWED


def times(wanted: str) -> None:
    print(f"{'ratio to torch.nn.functional.batch_norm':62} forward, both ways; the plain formula")
    held = []
    for name, x in cells(INPUTS, wanted):
        channels = x.shape[1]
        weight, bias = torch.ones(channels, requires_grad=True), torch.zeros(channels, requires_grad=True)
        mean, var = torch.zeros(channels), torch.ones(channels)
        sides = {
            "ours": lambda x, p=(mean, var, weight, bias): normalize_over_batch(x, *p, 0.1, EPS),
            "torch.nn": lambda x, p=(mean, var, weight, bias): F.batch_norm(x, *p, True, 0.1, EPS),
            "formula": lambda x, p=(mean, var, weight, bias): batch_norm_formula(x, *p, 0.1, EPS),
        }
        held.append(report(name, sides, x))
    print(f"{sum(held)} of {len(held)} cells are at most {ALLOWED}")


def layers(wanted: str) -> None:
    print(f"{'ratio of normlib.BatchNorm to torch.nn':62} forward, both ways")
    held = []
    for name, x in cells(INPUTS, wanted):
        kind = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}[x.dim()]
        held.append(report(name, {"ours": normlib.BatchNorm(x.shape[1]), "torch.nn": kind(x.shape[1])}, x))
    print(f"{sum(held)} of {len(held)} cells are at most {ALLOWED}")


def errors(wanted: str) -> None:
    """The largest error of output, gradient and running statistics, beside torch's."""
    print(f"{'largest error':75} {'output':>9} {'gradient':>9} {'mean':>9} {'var':>9}   torch's own")
    for name, x in cells(HARD, wanted):
        gradient = draw(tuple(x.shape), "contiguous", torch.float32, 0.0, 1.0, seed=1).to(x.dtype)
        exact = _results(batch_norm_formula, x.double(), gradient.double())
        spread = exact[3].sqrt()
        units = (1.0, exact[1].abs().max(), spread, exact[3])
        line = f"{name:75} "
        for step in (normalize_over_batch, lambda *a: F.batch_norm(*a[:5], True, *a[5:])):
            found = _results(step, x, gradient)
            line += " ".join(
                f"{((ours.double() - right).abs() / unit).max():9.1e}" for ours, right, unit in zip(found, exact, units)
            )
            line += "   "
        print(line.rstrip(), flush=True)


def _results(step: Callable[..., Tensor], x: Tensor, gradient: Tensor) -> tuple[Tensor, ...]:
    """Output, gradient, and the running statistics after one step at momentum 1."""
    dtype = torch.float64 if x.dtype is torch.float64 else torch.float32
    leaf = x.clone().requires_grad_()
    mean, var = torch.zeros(x.shape[1], dtype=dtype), torch.ones(x.shape[1], dtype=dtype)
    weight = torch.ones(x.shape[1], dtype=dtype)
    y = step(leaf, mean, var, weight, torch.zeros_like(weight), 1.0, EPS)
    y.backward(gradient)
    assert leaf.grad is not None
    return y.detach(), leaf.grad, mean, var


def thresholds(wanted: str) -> None:
    """Measures what `LARGE`, `LONG` and `FEW_VALUES` are based on."""
    print("moments by sample beside torch's contiguous kernel: values, positions, forward, both ways")
    for exponent in range(15, 21):
        for positions in (16, 32, 64, 128, 1024):
            x = draw((2**exponent // 16 // positions, 16, positions), "contiguous", torch.float32, 0.0, 1.0)
            weight, bias = torch.ones(16, requires_grad=True), torch.zeros(16, requires_grad=True)
            sides = {
                "ours": lambda x, p=(weight, bias): apply_statistics(x, batch_moments._by_sample(x.detach()), *p, EPS),
                "torch.nn": lambda x, p=(weight, bias): torch.native_batch_norm(x, *p, None, None, True, 0.0, EPS)[0],
            }
            report(f"2**{exponent:<4} {positions}", sides, x)
    print("error of a mean at mean 1000 and spread 0.01, in spreads: values, by torch's flat kernel, by `measure`")
    for values in (8, 16, 32, 128, 2_000, 2**16, 200_000):
        x = draw((values, 64), "contiguous", torch.float32, 1000.0, 0.01)
        right = measure_formula(x.double()).mean
        found = batch_moments.one_pass(x).mean, batch_moments.measure(x).mean
        print(f"{values:8} " + " ".join(f"{(mean.double() - right).abs().max() / 0.01:9.4f}" for mean in found))


def renorm(wanted: str) -> None:
    """A whole training step of a perceptron with four layers: batch renorm beside batch norm."""
    for batch_size in (2, 4, 8, 32):
        steps = {name: _training_step(name, batch_size) for name in ("batch_renorm", "batch")}
        found = ratios(steps, "batch", rounds=41)["batch_renorm"]
        print(f"batch_renorm / batch, perceptron of width 128, batches of {batch_size}: {found:.2f}", flush=True)


def _training_step(name: str, batch_size: int) -> Callable[[], object]:
    parts: list[nn.Module] = []
    for width in (64, 128, 128, 128):
        settings = {"warmup": 0} if name == "batch_renorm" else {}
        parts += [nn.Linear(width, 128, bias=False), normlib.create(name, 128, **settings), nn.ReLU()]
    model = nn.Sequential(*parts, nn.Linear(128, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    x, targets = torch.randn(batch_size, 64), torch.zeros(batch_size, dtype=torch.long)

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(model(x), targets).backward()
        optimizer.step()

    return step


if __name__ == "__main__":
    torch.set_num_threads(1)
    keep_freed_memory()
    parts = {"times": times, "layers": layers, "errors": errors, "renorm": renorm, "thresholds": thresholds}
    chosen, wanted = (*sys.argv[1:], "", "")[:2]
    for name, part in parts.items():
        if chosen in ("", name):
            part(wanted)
