"""What a bench is asked: key=value in Hydra's grammar in, a checked `BenchSettings` and names of norms out. Times nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Glob, Override
from omegaconf import DictConfig, OmegaConf

from normlib.experiments.complaints import ConfigError, clear_errors
from normlib.experiments.config import plain_text, plugins_of
from normlib.naming import unknown_name
from normlib.plugins import load_plugin
from normlib.settings import settings_in
from normlib.timings.record import LEAST_BLOCKS
from normlib.timings.settings import FULL, BenchSettings


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
    closed = {name: each for name, each in settings_in(BenchSettings).items() if each.choices}
    for name, each in closed.items():
        for value in getattr(settings, name):
            if value not in each.choices:
                raise ConfigError(f"bench.{name}: {unknown_name('choice', value, each.choices)}")
    for shape in settings.shapes:
        if not re.fullmatch(r"[1-9]\d*(x[1-9]\d*){1,4}", shape):
            raise ConfigError(
                f"bench.shapes: a shape is NxC, NxTxC (tokens), NxCxHxW or NxCxDxHxW, e.g. 32x64x32x32; got {shape!r}"
            )
    for name in ("shapes", "threads", *closed):
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
