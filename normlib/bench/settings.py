"""What a bench is asked: key=value in Hydra's grammar in, a checked `BenchSettings` and names of norms out. Times nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from omegaconf import DictConfig, OmegaConf

from normlib.bench.record import LEAST_BLOCKS
from normlib.experiments.complaints import ConfigError, clear_errors
from normlib.experiments.config import plain_text, plugins_of
from normlib.naming import unknown_name
from normlib.plugins import load_plugin

DTYPES = ("float32", "float64", "bfloat16", "float16")
LAYOUTS = ("contiguous", "channels_last")
PASSES = ("forward", "forward_backward")
INPUTS = ("normal", "shifted", "pixels")
CACHES = ("warm", "cold")
CONVNET_SHAPES = ["32x64x32x32", "8x256x14x14", "32x512x7x7"]
TRANSFORMER_SHAPES = ["8x197x384", "32x64x512"]


@dataclass
class BenchSettings:
    """`shapes`: NxCxHxW for images, NxTxC for tokens, NxC for flat inputs. `devices`: empty is the CPU, and CUDA where there is
    one. `inputs`: normal values, those with a mean of 3, or whole numbers from 0 to 255, as pixels have. `caches`: whether a call
    finds its input in a cache, as the last one left it (warm), or takes another copy of it out of a ring that no cache holds (cold).
    `blocks`: passes over all that is timed, each with memory of its own, and `rounds` of each. `compile`: whether formulas are compiled, which takes seconds each. `full`: every shape, type and number of threads.
    """

    shapes: list[str] = field(default_factory=lambda: ["8x256x14x14", "8x197x384"])
    layouts: list[str] = field(default_factory=lambda: list(LAYOUTS))
    dtypes: list[str] = field(default_factory=lambda: ["float32"])
    threads: list[int] = field(default_factory=lambda: [1])
    devices: list[str] = field(default_factory=list)
    passes: list[str] = field(default_factory=lambda: list(PASSES))
    inputs: list[str] = field(default_factory=lambda: ["normal", "shifted"])
    caches: list[str] = field(default_factory=lambda: ["warm"])
    blocks: int = 8
    rounds: int = 4
    compile: bool = False
    full: bool = False


FULL: dict[str, Any] = {
    "shapes": [*CONVNET_SHAPES, *TRANSFORMER_SHAPES], "dtypes": ["float32", "bfloat16"], "threads": [1, 2], "compile": True,
    "inputs": list(INPUTS), "caches": list(CACHES),
}  # fmt: skip
CHOICES = {
    "layouts": LAYOUTS, "dtypes": DTYPES, "passes": PASSES, "inputs": INPUTS, "caches": CACHES, "devices": ("cpu", "cuda"),
}  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """What the command line asks for."""

    norms: tuple[str, ...]
    bench: BenchSettings
    results_dir: str


def read(overrides: Sequence[str]) -> Asked:
    """Load the plugins, then check every setting. ConfigError or RegistryError say what came, the rule and the fix."""
    for plugin in plugins_of(overrides):
        load_plugin(plugin)
    with clear_errors(overrides):
        parsed = OverridesParser.create().parse_overrides(list(overrides))
    given = {override.get_key_element(): override for override in parsed}
    own: dict[str, Any] = {}
    for key, override in given.items():
        section, _, name = key.partition(".")
        if section == "bench" and name in BenchSettings.__dataclass_fields__:
            if override.is_sweep_override():
                raise ConfigError(f"{override.input_line}: give several as a list, {key}=[...]")
            own[name] = override.value()
            if isinstance(getattr(BenchSettings(), name), list) and not isinstance(own[name], list):
                raise ConfigError(f"{override.input_line}: this is a list, even of one: {key}=[{own[name]}]")
        elif key not in ("norm", "results_dir", "plugins"):
            known = [
                *(f"bench.{name}" for name in BenchSettings.__dataclass_fields__),
                "norm",
                "plugins",
                "results_dir",
            ]
            raise ConfigError(unknown_name("setting of bench", key, known))
    results_dir = plain_text(given["results_dir"].value()) if "results_dir" in given else "results"
    return Asked(_norms(given.get("norm")), _checked(own, overrides), results_dir)


def _norms(override: Override | None) -> tuple[str, ...]:
    from normlib.norms import norms

    if override is None:
        return tuple(norms.names())
    value = override.value()
    if isinstance(value, Glob):
        return tuple(value.filter(norms.names()))
    names = (
        [item.strip("'\"") for item in override.sweep_string_iterator()] if override.is_sweep_override() else [value]
    )
    names = names[0] if isinstance(names[0], list) else names
    return tuple(norms[plain_text(name)].name for name in names)


def _checked(own: dict[str, Any], overrides: Sequence[str]) -> BenchSettings:
    with clear_errors([override.removeprefix("bench.") for override in overrides]):
        typed = OmegaConf.merge(OmegaConf.structured(BenchSettings), OmegaConf.create({"full": own.get("full", False)}))
        assert isinstance(typed, DictConfig)
        wide = FULL if typed.full else {}
        settings = OmegaConf.to_object(OmegaConf.merge(typed, wide, own))
    assert isinstance(settings, BenchSettings)
    for name, allowed in CHOICES.items():
        for value in getattr(settings, name):
            if value not in allowed:
                raise ConfigError(f"bench.{name}: {unknown_name('choice', value, allowed)}")
    for shape in settings.shapes:
        if not re.fullmatch(r"[1-9]\d*(x[1-9]\d*){1,4}", shape):
            raise ConfigError(
                f"bench.shapes: a shape is NxC, NxTxC (tokens), NxCxHxW or NxCxDxHxW, e.g. 32x64x32x32; got {shape!r}"
            )
    for name in ("shapes", "threads", *CHOICES):
        values = getattr(settings, name)
        if not values and name != "devices":
            raise ConfigError(f"bench.{name} is empty, so nothing would be timed; name at least one")
        if twice := [value for value in values if values.count(value) > 1]:
            raise ConfigError(f"bench.{name} has {twice[0]!r} twice, which would be timed once; name each once")
    if settings.blocks < LEAST_BLOCKS:
        raise ConfigError(
            f"bench.blocks is at least {LEAST_BLOCKS}, since the intervals are over blocks; got {settings.blocks}"
        )
    if settings.rounds < 1 or min(settings.threads) < 1:
        raise ConfigError(
            f"bench.rounds and bench.threads are at least 1; got {settings.rounds} and {settings.threads}"
        )
    return settings
