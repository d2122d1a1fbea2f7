"""The help of each verb: what it does, examples, and the choices and settings that belong to it. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from normlib.choices import defaults
from normlib.experiments.settings import GROUPS, PLAIN_GROUPS, ROLES, Described, choices_of, settings_without_classes
from normlib.listing_text import beside
from normlib.settings import settings_in
from normlib.timings.settings import BenchSettings

WIDTH = 98
"""Columns. Few terminals are narrower."""
RUN = ("section", "scalar", "own code")
"""The roles of the settings that make up a run."""


@dataclass(frozen=True)
class Verb:
    """A verb: what it does, two examples, the groups it chooses from, and the settings that belong to it, by role or by key."""

    summary: str
    examples: tuple[str, ...]
    groups: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    more: str = ""


ANY_GROUP = tuple(GROUPS)
VERBS = {
    "list": Verb(
        "show norms, models, datasets, tasks, experiments and settings, or what a name stands for",
        ("normlib list norm=group          # or: norm, group, optimizer.lr_rule, training",
         "normlib list | grep momentum     # piped, a line each: key, kind, default, type, help"),
        keys=("plugins",),
    ),
    "plan": Verb(
        "show what a comparison would do: done, missing and skipped runs, and the time left",
        ("normlib plan experiment=small_batch",
         "normlib plan norm=batch,group data.batch_size=2,32 'seed=range(3)'"),
        ANY_GROUP, (*RUN, "comparison", "question", "figures", "place", "plugins", "work"),
    ),
    "compare": Verb(
        "train the missing runs of a comparison in parallel, then report",
        ("normlib compare experiment=small_batch norm=batch,group data.batch_size=2,32 'seed=range(3)'",
         "normlib compare optimizer.lr=0.01,0.1,1 columns=optimizer.lr data.batch_size=32 'seed=range(3)'"),
        ANY_GROUP, (*RUN, "comparison", "question", "figures", "place", "plugins", "work"),
    ),
    "train": Verb(
        "train one run (or, with -m, a Hydra multirun) and write its record",
        ("normlib train norm=group norm.num_groups=4 model=convnet data=digits data.batch_size=8 seed=3",
         "normlib train -m norm=batch,layer seed=0,1"),
        ANY_GROUP, (*RUN, "place", "plugins", "work"),
    ),
    "report": Verb(
        "make the tables, the figures and the page again from records alone, or from a table of runs",
        ("normlib report experiment=small_batch baseline=group rope=1 target=0.9 --open",
         "normlib report runs.csv --arm norm --metric dice --columns batch_size    # made elsewhere"),
        ("experiment",), ("question", "figures", "place"),
        more="Any setting of a run selects among the runs, as in norm=batch,group.",
    ),
    "bench": Verb(
        "time norms against torch.nn, timm, the compiled formula and a copy; write a table and a figure",
        ("normlib bench norm=batch,group bench.shapes=[32x64x32x32] bench.dtypes=[float32,bfloat16]",
         "normlib bench bench.full=true    # every shape, type, input, cache; compiled, too"),
        ("norm",), ("bench",), ("results_dir", "plugins"),
        more="Without norm= every norm is timed.",
    ),
    "check": Verb(
        "check norms against the contract of all norms, and say what they keep and break",
        ("normlib check group norm.num_groups=4    # or batch,layer, or 'norm=glob(*)' for all",
         "normlib check my_norm plugins=[my_norm.py]"),
        ("norm",), keys=("plugins",),
    ),
    "export": Verb(
        "write the runs, one per row, to a Parquet, CSV or JSON lines file",
        ("normlib export experiment=small_batch --to runs.parquet",
         "normlib export results/a results/b norm=batch,group --to runs.csv"),
        ("experiment",), ("place",),
        more="Any setting of a run selects among the runs, as in norm=batch,group.",
    ),
}  # fmt: skip
FIRST_STEPS = (
    "normlib compare                  # the default experiment, small_batch",
    "normlib compare --help           # what a comparison can be asked",
    "normlib list norm=group          # a norm, its settings and its paper",
)
CODES = """\
Exit codes: 0 all is well, 1 runs failed or a norm breaks its contract, 2 bad input,
128 + n stopped by signal n."""


def epilog(name: str | None) -> str:
    """Examples, then the choices and the settings of a verb. Without a verb, the first steps."""
    if name is None:
        return "\n".join(["examples:", *(f"  {step}" for step in FIRST_STEPS), "", CODES])
    verb = VERBS[name]
    lines = ["examples:", *(f"  {example}" for example in verb.examples)]
    if verb.groups:
        lines += ["", "choices (key=choice; `normlib list norm=group` shows one with its settings):"]
        lines += beside([(_head(group, verb), ", ".join(choices_of(group))) for group in verb.groups], WIDTH)
    for heading, settings in _sections(verb):
        lines += [
            "",
            f"{heading[:1].lower()}{heading[1:]} (key=default):",
            *beside([_told(each) for each in settings], WIDTH),
        ]
    return "\n".join([*lines, "", *([verb.more] if verb.more else []), CODES])


def settings_of(verb: Verb) -> list[Described]:
    """The settings that belong to a verb, without the arguments of registered classes."""
    every = [each for each in settings_without_classes() if each.key not in GROUPS]
    return [each for each in every if each.setting.role in verb.roles or each.key in verb.keys] + [
        Described(f"bench.{name}", each) for name, each in settings_in(BenchSettings).items() if "bench" in verb.roles
    ]


def _sections(verb: Verb) -> Iterator[tuple[str, Sequence[Described]]]:
    """The verb's settings under headings, by role."""
    settings = settings_of(verb)
    for role, heading in {**ROLES, "": "What is timed"}.items():
        found = [each for each in settings if each.setting.role == role]
        if found:
            yield heading, found


def _head(group: str, verb: Verb) -> str:
    """A group, with its default choice."""
    chosen = defaults().get(group, "null") if "section" in verb.roles else "null"
    return group if chosen == "null" else f"{group}={chosen}"


def _told(described: Described) -> tuple[str, str]:
    each = described.setting
    several = bool(described.of) and described.key.partition(".")[0] in PLAIN_GROUPS
    values = f" ({', '.join(each.choices)})" if each.choices else ""
    return (
        f"{described.key}={each.default_text}",
        f"{', '.join(described.of)}: {each.help}{values}" if several else each.help + values,
    )
