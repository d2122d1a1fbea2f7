"""The words of the command line, verb by verb: flags, metavars and help. Reads nothing and does no work."""

from __future__ import annotations

import argparse
import re
from typing import Any

from normlib.help import VERBS, epilog

HYDRA_FLAGS: dict[tuple[str, ...], dict[str, Any]] = {
    ("--cfg", "-c"): {
        "choices": ("job", "hydra", "all"),
        "help": "print the composed configuration instead of training",
    },
    ("--package", "-p"): {"metavar": "KEY", "help": "with --cfg: only this part of it"},
    ("--resolve",): {"action": "store_true", "help": "with --cfg: interpolations resolved"},
    ("--info", "-i"): {
        "nargs": "?",
        "const": "all",
        "choices": ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath"),
        "help": "print what Hydra knows instead of training",
    },
}
READING: dict[str, dict[str, Any]] = {
    "report": {"metavar": "DIR", "help": "write here (default: the experiment's own folder; for several, merged/)"},
    "export": {"metavar": "FILE", "help": "the file to write: .parquet, .csv or .jsonl"},
}
"""The verbs that read records from folders, each with its flag --to."""
TABLE_FLAGS: dict[str, dict[str, Any]] = {
    "arm": {"metavar": "COLUMN", "help": "the column that names the arm, such as norm"},
    "seed": {"metavar": "COLUMN", "help": "the column of the seed, by which runs are paired (default: seed)"},
    "metric": {"metavar": "COLUMN", "help": "the column of the figure that is compared"},
    "columns": {
        "metavar": "COLUMN,...",
        "help": "conditions: the first spans the tables, each further one has sections",
    },
    "baseline": {"metavar": "ARM", "help": "the arm that the others are compared with (default: batch)"},
    "unit": {"metavar": "UNIT", "help": "of the metric; with %% its numbers are fractions, shown in percent"},
    "rope": {
        "metavar": "NUMBER",
        "help": "the largest difference that is equal in practice, in points if the unit is %%",
    },
    "higher_is_better": {"action": "store_true", "help": "higher is better, if the metric's name does not say it"},
    "lower_is_better": {"action": "store_true", "help": "lower is better"},
}
"""The flags that say what the columns of a table of runs are."""


WORDS = {
    "list": (
        "NAME",
        "a group (norm), a choice (norm=group), a setting (optimizer.lr_rule), a section (training), or settings",
    ),
    "check": ("NAME|key=value", "norms to check, their settings, and plugins"),
    "report": (
        "DIR|key=value|FILE",
        "experiments' folders, and settings that select among their runs; or one table of runs",
    ),
    "export": ("DIR|key=value", "experiments' folders, and settings that select among their runs"),
}
"""The words after a verb that takes more than settings."""


class VerbParser(argparse.ArgumentParser):
    """A parser whose help ends with what belongs to the verb, built when it is needed. `verb` None is the command itself."""

    verbs: Any
    """The parsers of all verbs. Only the command's parser has them."""

    def __init__(self, *, verb: str | None = None, **keywords: Any) -> None:
        super().__init__(formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **keywords)
        self.verb = verb

    def flags(self, verb: str) -> list[str]:
        return re.findall(r"-[-\w]+", self.verbs.choices[verb].format_usage().partition(verb)[2])

    def format_help(self) -> str:
        self.epilog = epilog(self.verb)
        return super().format_help()


def make_parser(version: str) -> VerbParser:
    """The parser of all verbs. Settings without a flag are in `overrides`."""
    parser = VerbParser(
        prog="normlib",
        description="Compare normalization layers: identical networks that differ in nothing but the norm.",
    )
    parser.add_argument("--version", action="version", version=f"normlib {version}")
    parser.verbs = verbs = parser.add_subparsers(dest="verb", metavar="verb", title="verbs")
    for verb, described in VERBS.items():
        sub = verbs.add_parser(
            verb,
            verb=verb,
            help=described.summary,
            description=f"{described.summary[0].upper()}{described.summary[1:]}.",
        )
        metavar, told = WORDS.get(verb, ("key=value", "settings, in Hydra's override grammar"))
        sub.add_argument("overrides", nargs="*", metavar=metavar, help=told)
        sub.add_argument(
            "--config-dir", action="append", default=[], metavar="DIR",
            help="a folder with experiments and arms of your own (experiment/*.yaml, norm/*.yaml); may be repeated",
        )  # fmt: skip
        if verb == "list":
            sub.add_argument(
                "--json", action="store_true", help="print JSON: a list of objects, a choice or a setting each"
            )
        if verb in READING:
            sub.add_argument("--to", **READING[verb])
        if verb in ("report", "compare", "bench"):
            sub.add_argument(
                "--overwrite", action="store_true",
                help="replace files that normlib did not write if the report needs their names; all others stay",
            )  # fmt: skip
        if verb == "report":
            sub.add_argument("--open", action="store_true", help="open the page in a browser")
            of_table = sub.add_argument_group("flags for a table of runs that was made elsewhere")
            for name, keywords in TABLE_FLAGS.items():
                of_table.add_argument(f"--{name.replace('_', '-')}", **keywords)
        if verb == "train":
            sub.add_argument("-m", "--multirun", action="store_true", help="Hydra's multirun, with any launcher")
            for flags, keywords in HYDRA_FLAGS.items():
                sub.add_argument(*flags, **keywords)
    return parser
