"""The cost of norms with statistics per sample, beside torch.nn's layers or their compiled plain formula.

Norm and rival take turns in one process on one thread, and the thread's own time counts. Prints one line per cell: the
median over the rounds of the ratio of the two, forward (without gradients), and forward and backward.

    python benchmarks/sample_kernels.py --norms group layer instance rms
    python benchmarks/sample_kernels.py --norms frn grn --against formula --csv frn.csv
    python benchmarks/sample_kernels.py --errors
"""

from __future__ import annotations

import argparse
import csv
import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from sample_rivals import torch_layer
from torch import Tensor, nn

import normlib
from normlib.timings.formulas import FORMULAS, compiled_formula
from normlib.timings.timing import keep_freed_memory, seconds_in_turns

SHAPES = (
    (2, 128), (32, 128), (256, 512), (8, 64, 32, 32), (2, 64, 56, 56), (32, 16, 8, 8), (8, 128, 256), (2, 32, 8, 16, 16),
)  # fmt: skip
"""The shape of rank 3 has its channels last, the others in dimension 1."""
INPUTS = ("0", "3", "0..255")
NO_POSITIONS = ("instance", "frn", "evonorm_b0")
"""Norms that refuse inputs without positions."""


@dataclass(frozen=True)
class Cell:
    name: str
    shape: tuple[int, ...]
    layout: str
    dtype: torch.dtype
    values: str

    @property
    def channel_dim(self) -> int:
        return -1 if len(self.shape) == 3 else 1

    def input(self) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        if self.values == "0..255":
            x = torch.randint(0, 256, self.shape, generator=generator).float()
        else:
            x = torch.randn(self.shape, generator=generator) + float(self.values)
        return self.laid_out(x)

    def laid_out(self, x: Tensor) -> Tensor:
        formats = {4: torch.channels_last, 5: torch.channels_last_3d}
        x = x.to(self.dtype)
        return x if self.layout == "contiguous" else x.contiguous(memory_format=formats[x.dim()])

    def norm(self) -> nn.Module:
        by_position = self.name in ("layer", "rms") and self.channel_dim == -1
        settings = {"scope": "position"} if by_position else {}
        norm = normlib.create(self.name, self.shape[self.channel_dim], channel_dim=self.channel_dim, **settings)
        with torch.no_grad():
            for index, parameter in enumerate(norm.parameters()):
                parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(index)), alpha=0.1)
        return norm

    def rival(self, against: str) -> nn.Module | None:
        norm = self.norm()
        if against == "torch":
            return torch_layer(norm, self.name, self.shape)
        return compiled_formula(norm, self.name, len(self.shape)) if self.name in FORMULAS else None


def cells(names: list[str], inputs: list[str], shapes: list[tuple[int, ...]]) -> Iterator[Cell]:
    for name in names:
        for shape in shapes:
            if name in NO_POSITIONS and len(shape) == 2:
                continue
            for layout in ("contiguous", "channels_last") if len(shape) > 3 else ("contiguous",):
                for dtype in (torch.float32, torch.bfloat16):
                    for values in inputs:
                        yield Cell(name, shape, layout, dtype, values)


def ratios(cell: Cell, rival: nn.Module, rounds: int, backward: bool) -> tuple[float, float]:
    """The median ratio of norm to rival, and the norm's microseconds per call."""
    x = cell.input()
    norm = cell.norm()
    gradient = cell.laid_out(torch.randn(cell.shape, generator=torch.Generator().manual_seed(1)))

    def step(layer: Callable[[Tensor], Tensor], parameters: list[Tensor]) -> Callable[[], object]:
        if not backward:
            return lambda: layer(x)
        leaf = x.detach().requires_grad_()

        def both() -> object:
            y = layer(leaf)
            return torch.autograd.grad(y, [leaf, *parameters], gradient.to(y.dtype), allow_unused=True)

        return both

    steps = {"norm": step(norm, list(norm.parameters())), "rival": step(rival, list(rival.parameters()))}
    with torch.set_grad_enabled(backward):
        taken = seconds_in_turns(steps, rounds, "cpu")
    pairs = [ours / other for ours, other in zip(taken["norm"], taken["rival"], strict=True)]
    return statistics.median(pairs), statistics.median(taken["norm"]) * 1e6


def print_errors(names: list[str]) -> None:
    """The largest error of outputs and input gradients against float64, as a share of the largest value."""
    for name in names:
        for shape in SHAPES[3:]:
            for layout in ("contiguous", "channels_last") if len(shape) > 3 else ("contiguous",):
                shown = []
                for values in ("mean 1000", "0..255"):
                    cell = Cell(name, shape, layout, torch.float32, "0" if values == "mean 1000" else values)
                    x = cell.input()
                    x = x * 0.01 + 1000 if values == "mean 1000" else x
                    norm, exact = cell.norm(), cell.norm().double()
                    gradient = cell.laid_out(torch.randn(shape, generator=torch.Generator().manual_seed(1)))
                    found = []
                    for layer, dtype in ((norm, torch.float32), (exact, torch.float64)):
                        leaf = x.detach().to(dtype).requires_grad_()
                        y = layer(leaf)
                        found.append((y.detach(), *torch.autograd.grad(y, leaf, gradient.to(dtype))))
                    for ours, right in zip(*found, strict=True):
                        shown.append(float((ours.double() - right).abs().max() / right.abs().max()))
                print(f"{name:12} {shape!s:20} {layout:14} " + " ".join(f"{error:9.1e}" for error in shown), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--norms", nargs="+", default=["layer", "group", "instance", "rms"])
    parser.add_argument("--against", choices=["torch", "formula"], default="torch")
    parser.add_argument("--inputs", nargs="+", choices=INPUTS, default=list(INPUTS))
    parser.add_argument("--shapes", nargs="+", type=int, default=list(range(len(SHAPES))), help="by index")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--errors", action="store_true", help="errors against float64 instead of times")
    parser.add_argument("--csv", type=Path)
    asked = parser.parse_args()
    if asked.errors:
        print_errors(asked.norms)
        return
    torch.set_num_threads(1)
    keep_freed_memory()
    rows = []
    for cell in cells(asked.norms, asked.inputs, [SHAPES[index] for index in asked.shapes]):
        torch.compiler.reset()
        rival = cell.rival(asked.against)
        if rival is None:
            print(f"{cell.name} {cell.shape}: no rival", file=sys.stderr)
            continue
        taken = [ratios(cell, rival, asked.rounds, backward) for backward in (False, True)]
        (forward, forward_us), (both, both_us) = taken
        kind = str(cell.dtype).removeprefix("torch.")
        rows.append((cell.name, str(cell.shape), cell.layout, kind, cell.values, forward, both, forward_us, both_us))
        print(
            f"{cell.name:12} {cell.shape!s:20} {cell.layout:14} {kind:9} {cell.values:7} "
            f"{forward:6.2f} {both:6.2f}   {forward_us:9.1f} us {both_us:9.1f} us",
            flush=True,
        )
    if asked.csv:
        with asked.csv.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["norm", "shape", "layout", "dtype", "values", "forward", "both", "forward_us", "both_us"])
            writer.writerows(rows)


if __name__ == "__main__":
    main()
