"""A training function whose figures are drawn by arm, level and seed, so that a test knows what each comparison shows.

Levels: at `clear` group is far ahead of batch, layer is behind; at `even` both are within a tenth of a point of it; at
`noisy` both differ from it by less than a few seeds could show. Tests load a copy of the file by its path.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

MEANS = {"clear": {"GroupNorm": 0.9, "LayerNorm": 0.3}, "even": {}, "noisy": {"GroupNorm": 0.601, "LayerNorm": 0.599}}
SPREAD = {"clear": 0.01, "even": 0.0005, "noisy": 0.05}


def train(norm_layer: Any, seed: int, level: str = "clear", raises: str = "", explodes: str = "") -> dict[str, float]:
    """`raises`, `explodes`: an arm, and the seed at which it does so, as in "GroupNorm 1"; a file `repaired` ends the raising."""
    arm = type(norm_layer(4)).__name__
    if f"{arm} {seed}" == raises and not Path(__file__).with_name("repaired").exists():
        raise RuntimeError("a fault of mine")
    if f"{arm} {seed}" == explodes:
        return {"accuracy": float("nan")}
    drawn = random.Random(f"{arm} {level} {seed}").gauss(MEANS[level].get(arm, 0.6), SPREAD[level])
    return {"accuracy": min(max(drawn, 0.0), 1.0)}
