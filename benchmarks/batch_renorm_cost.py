"""What the norms cost: batch renorm against batch norm (at most 1.5 times), and every norm against its torch.nn counterpart.

    python benchmarks/batch_renorm_cost.py

Forward and backward on one CPU thread, float32. What is compared runs in turns in the same process, round after round, so
that a busy machine slows both; a figure is the median over the rounds of the ratio within a round.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

import normlib.norms
from normlib.norms.base import Norm

ALLOWED = 1.5
CHANNELS = 64
IMAGES = (32, CHANNELS, 32, 32)
FLAT = (2, 128)


def step(layer: nn.Module, x: Tensor, gradient: Tensor) -> Callable[[], None]:
    """One forward and one backward pass of `layer` at `x`."""
    x = x.detach().requires_grad_()

    def run() -> None:
        layer(x).backward(gradient)
        x.grad = None

    return run


def seconds(steps: dict[str, Callable[[], None]], rounds: int, repeats: int) -> dict[str, list[float]]:
    """Seconds per step of each, in every round; each round runs them one after the other."""
    taken: dict[str, list[float]] = {name: [] for name in steps}
    for run in steps.values():
        for _ in range(3):
            run()
    for _ in range(rounds):
        for name, run in steps.items():
            start = time.perf_counter()
            for _ in range(repeats):
                run()
            taken[name].append((time.perf_counter() - start) / repeats)
    return taken


def ratio(taken: dict[str, list[float]], one: str, other: str) -> float:
    return statistics.median(a / b for a, b in zip(taken[one], taken[other]))


def data(shape: tuple[int, ...], layout: str) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    memory_format = torch.channels_last if layout == "channels_last" else torch.contiguous_format
    x, gradient = (torch.randn(shape, generator=generator).contiguous(memory_format=memory_format) for _ in range(2))
    return x, gradient


def norm(name: str, width: int, **settings: object) -> Norm:
    layer: Norm = normlib.norms.create(name, width, **settings)
    layer.set_total_steps(1_000_000)
    return layer


class LayerNormOverChannels(nn.LayerNorm):
    """torch's layer norm over the channels of an image, as ConvNeXt has it."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def counterparts(width: int) -> dict[str, tuple[Norm, nn.Module]]:
    return {
        "batch": (norm("batch", width), nn.BatchNorm2d(width)),
        "batch_renorm": (norm("batch_renorm", width), nn.BatchNorm2d(width)),
        "group": (norm("group", width), nn.GroupNorm(8, width)),
        "layer": (norm("layer", width), nn.GroupNorm(1, width)),
        "layer, scope=position": (norm("layer", width, scope="position"), LayerNormOverChannels(width)),
        "instance": (norm("instance", width), nn.InstanceNorm2d(width, affine=True)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=21)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    print(
        f"torch {torch.__version__}, {platform.processor() or platform.machine()}, 1 thread, {IMAGES} float32, {rounds} rounds\n"
    )

    print("| layout | batch_renorm / batch | batch_renorm / torch.nn.BatchNorm2d | schedule |\n|---|---|---|---|")
    worst = 0.0
    for layout in ("contiguous", "channels_last"):
        x, gradient = data(IMAGES, layout)
        for schedule in ("steps", None):
            layers = {
                "renorm": norm("batch_renorm", CHANNELS, schedule=schedule),
                "batch": norm("batch", CHANNELS),
                "torch": nn.BatchNorm2d(CHANNELS),
            }
            taken = seconds({name: step(layer, x, gradient) for name, layer in layers.items()}, rounds, 3)
            ours, theirs = ratio(taken, "renorm", "batch"), ratio(taken, "renorm", "torch")
            worst = max(worst, ours, theirs)
            print(f"| {layout} | {ours:.2f} | {theirs:.2f} | {schedule} |")
    print(f"\nworst {worst:.2f}, allowed {ALLOWED}: {'ok' if worst <= ALLOWED else 'TOO SLOW'}\n")

    print("| norm | layout | ms | torch.nn ms | ratio |\n|---|---|---|---|---|")
    for layout in ("contiguous", "channels_last"):
        x, gradient = data(IMAGES, layout)
        for name, (ours_layer, theirs_layer) in counterparts(CHANNELS).items():
            taken = seconds(
                {"ours": step(ours_layer, x, gradient), "torch": step(theirs_layer, x, gradient)}, rounds, 2
            )
            ms = [1e3 * statistics.median(taken[which]) for which in ("ours", "torch")]
            print(f"| {name} | {layout} | {ms[0]:.2f} | {ms[1]:.2f} | {ratio(taken, 'ours', 'torch'):.2f} |")

    print(f"\nSmall and flat, {FLAT}, microseconds:\n\n| norm | us | torch.nn us | ratio |\n|---|---|---|---|")
    x, gradient = data(FLAT, "contiguous")
    width = FLAT[1]
    small = {
        "batch": (norm("batch", width), nn.BatchNorm1d(width)),
        "batch_renorm": (norm("batch_renorm", width), nn.BatchNorm1d(width)),
        "batch_renorm, schedule=None": (norm("batch_renorm", width, schedule=None), nn.BatchNorm1d(width)),
        "group": (norm("group", width), nn.GroupNorm(8, width)),
        "layer": (norm("layer", width), nn.LayerNorm(width)),
    }
    for name, (ours_layer, theirs_layer) in small.items():
        taken = seconds({"ours": step(ours_layer, x, gradient), "torch": step(theirs_layer, x, gradient)}, rounds, 200)
        us = [1e6 * statistics.median(taken[which]) for which in ("ours", "torch")]
        print(f"| {name} | {us[0]:.0f} | {us[1]:.0f} | {ratio(taken, 'ours', 'torch'):.2f} |")


if __name__ == "__main__":
    main()
