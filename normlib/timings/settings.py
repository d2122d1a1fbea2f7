"""What `normlib bench` can be asked, as a typed dataclass that Hydra checks. Imports nothing heavy and reads no command line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from normlib.settings import setting

LAYOUTS = ("contiguous", "channels_last")
PASSES = ("forward", "forward_backward")
INPUTS = ("normal", "shifted", "pixels")
CACHES = ("warm", "cold")
CONVNET_SHAPES = ["32x64x32x32", "8x256x14x14", "32x512x7x7"]
TRANSFORMER_SHAPES = ["8x197x384", "32x64x512"]


@dataclass
class BenchSettings:
    """What is timed, and how often."""

    shapes: list[str] = setting(
        ["8x256x14x14", "8x197x384"], help="NxCxHxW for images, NxTxC for tokens, NxC for flat inputs"
    )
    layouts: list[str] = setting(list(LAYOUTS), choices=LAYOUTS, help="memory formats of images")
    dtypes: list[str] = setting(
        ["float32"], choices=("float32", "float64", "bfloat16", "float16"), help="number formats of the inputs"
    )
    threads: list[int] = setting([1], help="CPU threads")
    devices: list[str] = setting(
        [], choices=("cpu", "cuda"), help="devices; an empty list is the CPU, and CUDA where it is available"
    )
    passes: list[str] = setting(list(PASSES), choices=PASSES, help="what is timed")
    inputs: list[str] = setting(
        ["normal", "shifted"],
        choices=INPUTS,
        help="standard normal values, those shifted to a mean of 3, or whole numbers from 0 to 255, as pixels have",
    )
    caches: list[str] = setting(
        ["warm"],
        choices=CACHES,
        help="warm: a call finds its input in the cache, as the last call left it; cold: it takes a copy that no cache holds",
    )
    blocks: int = setting(
        8, help="passes over all that is timed, each with memory of its own; intervals are over blocks"
    )
    rounds: int = setting(4, help="rounds in each block")
    compile: bool = setting(False, help="whether the plain formulas are compiled, which takes seconds each")
    full: bool = setting(
        False, help="every shape, type, number of threads, input and cache, compiled; other settings go first"
    )


FULL: dict[str, Any] = {
    "shapes": [*CONVNET_SHAPES, *TRANSFORMER_SHAPES], "dtypes": ["float32", "bfloat16"], "threads": [1, 2], "compile": True,
    "inputs": list(INPUTS), "caches": list(CACHES),
}  # fmt: skip
"""What `full` stands for."""
