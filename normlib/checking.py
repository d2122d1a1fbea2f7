"""`check`: norms and settings as the command line names them in, what the contract finds of each out, as data that prints.

Composes settings as every other verb does and runs the contract of `normlib.testing`. Trains nothing and writes nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from normlib.experiments.complaints import ConfigError
from normlib.experiments.config import Composer, configuration
from normlib.experiments.multiply import axes_of
from normlib.norms import names, norms
from normlib.notebook import printed_as_html, steps
from normlib.testing import Finding, findings, subject
from normlib.training.installation import COMMON_NORM_SETTINGS

if TYPE_CHECKING:
    import pandas as pd

STYLES = {"ok": "green", "declared": "yellow", "unpromised": "yellow", "not run": "yellow", "FAILED": "bold red"}
WORDS = {
    "ok": "kept",
    "declared": "declared as not kept",
    "unpromised": "not promised by a plain module",
    "not run": "not run",
    "FAILED": "broken",
}


@dataclass(frozen=True, repr=False)
class ArmCheck:
    """What the contract found of one arm: a `Finding` a promise. `arm` is the arm as it was named."""

    arm: str
    findings: tuple[Finding, ...]

    @property
    def broken(self) -> tuple[str, ...]:
        """The checks that the arm fails."""
        return tuple(each.check for each in self.findings if each.status == "FAILED")

    @property
    def summary(self) -> str:
        """How many promises the arm keeps, and how many it does not."""
        counts = [(word, sum(each.status == status for each in self.findings)) for status, word in WORDS.items()]
        always = (WORDS["ok"], WORDS["declared"], WORDS["FAILED"])
        told = ", ".join(f"{number} {word}" for word, number in counts if number or word in always)
        return f"{self.arm}: {len(self.findings)} promises, {told}"

    def render(self, console: Console) -> None:
        """Print a line for each promise, and below them those that are broken."""
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for column in ("check", "", "what it holds the norm to"):
            table.add_column(column, overflow="fold")
        for each in self.findings:
            words = Text(each.promise)
            if each.reason:
                words.append(f"\n{each.reason.strip()}", style=STYLES[each.status])
            table.add_row(each.check, Text(each.status, style=STYLES[each.status]), words)
        console.print(Text(self.summary, style="bold"))
        console.print(table)
        if self.broken:  # once more below the table, which is longer than a screen
            console.print(Text(f"{self.arm} breaks: {', '.join(self.broken)}", style=STYLES["FAILED"]))


@dataclass(frozen=True, repr=False)
class Checks:
    """What the contract found of all arms that were named."""

    arms: tuple[ArmCheck, ...]

    @property
    def passed(self) -> bool:
        """Whether no arm breaks a promise."""
        return not any(each.broken for each in self.arms)

    @property
    def frame(self) -> pd.DataFrame:
        """The findings, a row a promise: `arm`, `check`, `status`, `promise` and `reason`."""
        import pandas as pd

        rows = [
            {
                "arm": each.arm,
                "check": found.check,
                "status": found.status,
                "promise": found.promise,
                "reason": found.reason,
            }
            for each in self.arms
            for found in each.findings
        ]
        return pd.DataFrame(rows, columns=["arm", "check", "status", "promise", "reason"])

    def render(self, console: Console) -> None:
        """Print a table for each arm."""
        for each in self.arms:
            each.render(console)

    def _repr_html_(self) -> str:
        """As a notebook shows it: each arm's summary, which opens its table."""
        return "\n".join(
            f"<details{' open' if each.broken else ''}><summary>{escape(each.summary)}</summary>{printed_as_html(each.render)}</details>"
            for each in self.arms
        )

    def __repr__(self) -> str:
        return "\n".join(each.summary for each in self.arms)


def check(
    arguments: Sequence[str],
    config_dirs: Sequence[str],
    console: Console,
    done: Callable[[ArmCheck], None] = lambda arm: None,
) -> Checks:
    """Run the contract on every arm that the arguments name; each arm goes to `done` as soon as it is checked.

    `arguments` are names of norms or of arms, settings of theirs (``norm.num_groups=4``) and ``plugins=[...]``. Raises ConfigError.
    """
    given = [argument for argument in arguments if "=" in argument]
    named = [argument for argument in arguments if "=" not in argument]
    for name in named:
        if name.endswith(".py"):
            raise ConfigError(f"{name} is a file; load it with plugins=[{name}] and name the norm that it registers")
    checked = []
    with configuration(given, config_dirs) as composer:
        arms = _arms(composer, [*([f"norm={','.join(named)}"] if named else []), *given])
        with steps(console, len(arms), "checking") as next_is:
            for label, name, settings in arms:
                next_is(label)
                checked.append(ArmCheck(label, tuple(findings(name, **settings))))
                done(checked[-1])
    return Checks(tuple(checked))


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
