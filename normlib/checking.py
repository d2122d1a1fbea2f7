"""`normlib check`: norms and settings as the command line names them in, the contract's report on each out.

Composes settings as every other verb does, runs the contract of `normlib.testing`, prints a table for each arm. Trains nothing
and writes nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from normlib.experiments.complaints import ConfigError
from normlib.experiments.config import Composer, configuration
from normlib.experiments.multiply import axes_of
from normlib.norms import names, norms
from normlib.testing import Finding, findings, subject
from normlib.training.installation import COMMON_NORM_SETTINGS

STYLES = {"ok": "green", "declared": "yellow", "unpromised": "yellow", "not run": "yellow", "FAILED": "bold red"}
WORDS = {
    "ok": "kept",
    "declared": "declared as not kept",
    "unpromised": "not promised by a plain module",
    "not run": "not run",
    "FAILED": "broken",
}


def check(arguments: Sequence[str], config_dirs: Sequence[str], console: Console) -> bool:
    """Run the contract on every arm that the arguments name, print what it finds; whether no promise is broken.

    `arguments` are names of norms or of arms, settings of theirs (``norm.num_groups=4``) and ``plugins=[...]``. Raises ConfigError.
    """
    given = [argument for argument in arguments if "=" in argument]
    named = [argument for argument in arguments if "=" not in argument]
    for name in named:
        if name.endswith(".py"):
            raise ConfigError(f"{name} is a file; load it with plugins=[{name}] and name the norm that it registers")
    whole = True
    with configuration(given, config_dirs) as composer:
        for label, name, settings in _arms(composer, [*([f"norm={','.join(named)}"] if named else []), *given]):
            with console.status(f"checking {label}"):
                found = list(findings(name, **settings))
            _show(console, label, found)
            whole = whole and all(each.status != "FAILED" for each in found)
    return whole


def _arms(composer: Composer, overrides: Sequence[str]) -> list[tuple[str, str, dict[str, Any]]]:
    """For every arm its label, its norm's registered name, and its settings other than the defaults."""
    parsed = composer.parse(overrides)
    keys = [override.get_key_element() for override in parsed]
    other = [key for key in keys if key not in ("norm", "plugins") and not key.startswith("norm.")]
    if other:
        raise ConfigError(
            f"check takes norms by name, their settings (norm.eps=1e-3) and plugins=[...]; got {other[0]}="
        )
    if keys.count("norm") != 1:
        raise ConfigError(
            f"name the norms to check {'once' if 'norm' in keys else 'first'}, as in `normlib check group`; "
            f"`normlib check 'norm=glob(*)'` checks all of {', '.join(names())}"
        )
    arms = []
    for texts in itertools.product(*axes_of(parsed).values()):
        settings = dict(composer.compose(texts).plain["norm"])
        name, weights = settings["name"], settings["weights"]
        if weights is not None:
            raise ConfigError(
                f"norm.weights={weights}: the contract is one norm's; check {name} and {weights} one after the other"
            )
        defaults = norms[name].settings
        own = {key: value for key, value in settings.items() if key not in COMMON_NORM_SETTINGS}
        own = {key: value for key, value in own.items() if value != defaults[key].default}
        try:
            _ = subject(name, **own).channels  # raises what the norm says of settings that it takes at no width
        except ValueError as error:
            raise ConfigError(f"norm={name}: {error}") from error
        label = " ".join(text.removeprefix("norm=") for text in texts if not text.startswith("plugins"))
        arms.append((label, name, own))
    return arms


def _show(console: Console, label: str, found: Sequence[Finding]) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("check", "", "what it holds the norm to"):
        table.add_column(column, overflow="fold")
    for each in found:
        words = Text(each.promise)
        if each.reason:
            words.append(f"\n{each.reason.strip()}", style=STYLES[each.status])
        table.add_row(each.check, Text(each.status, style=STYLES[each.status]), words)
    counts = [(word, sum(each.status == status for each in found)) for status, word in WORDS.items()]
    counts = [
        (word, number) for word, number in counts if number or word in (WORDS["ok"], WORDS["declared"], WORDS["FAILED"])
    ]
    console.print(
        Text(f"{label}: {len(found)} promises, {', '.join(f'{n} {word}' for word, n in counts)}", style="bold")
    )
    console.print(table)
    broken = [each.check for each in found if each.status == "FAILED"]
    if broken:  # once more below the table, which is longer than a screen
        console.print(Text(f"{label} breaks: {', '.join(broken)}", style=STYLES["FAILED"]))
