"""The command line: verbs in, exit codes out. The only file that reads the command line.

It imports torch only when a verb needs it, so help and reports come at once.

Exit codes: 0 all is well, 1 runs failed or a norm breaks its contract, 2 bad input, 128 + n ended by signal n.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Sequence
from typing import Any

from normlib import __version__
from normlib.arguments import HYDRA_FLAGS, TABLE_FLAGS, VerbParser, make_parser
from normlib.errors import NormlibError
from normlib.naming import unknown_name
from normlib.stopping import Stopped, ignore_signals, stop_on_signals
from normlib.terminal import new_console, show_anything


def command() -> int:
    """The installed command `normlib` and `python -m normlib`: `main` in its own process."""
    stop_on_signals()
    show_anything()
    try:
        return main()
    finally:
        ignore_signals()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code. NORMLIB_DEBUG=1 shows tracebacks instead of messages."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    parser = make_parser(__version__)
    if any(argument in ("-sc", "--shell-completion") or argument.startswith("-sc=") for argument in arguments):
        return _complete(arguments, parser)
    if arguments and not arguments[0].startswith("-") and arguments[0] not in VERBS:
        parser.error(unknown_name("verb", arguments[0], VERBS))
    options, rest = parser.parse_known_args(arguments)
    if options.verb is None:
        parser.print_help()
        return 2
    for flag in rest:
        if flag.startswith("-"):
            known = parser.flags(options.verb)
            parser.error(
                f"{unknown_name(f'flag of {options.verb}', flag, known)}; settings are key=value, as in norm=batch,group"
            )
    options.overrides += rest  # settings after a flag
    try:
        return VERBS[options.verb](options)
    except (KeyboardInterrupt, Stopped) as stop:
        print("stopped; every finished run is kept, and the same command goes on from here", file=sys.stderr)
        return 128 + (stop.signal if isinstance(stop, Stopped) else signal.SIGINT)
    except BrokenPipeError:  # the reader of the output has closed it, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so Python's last flush says nothing
        return 128 + SIGPIPE
    except (NormlibError, OSError) as error:
        if os.environ.get("NORMLIB_DEBUG") == "1":
            raise
        print(f"normlib {options.verb}: {error}", file=sys.stderr)
        return error.exit_code if isinstance(error, NormlibError) else 2


def _complete(arguments: Sequence[str], parser: VerbParser) -> int:
    """The words for a shell while a line is typed, one per line, or the script that makes the shell ask for them."""
    line = os.environ.get("COMP_LINE")
    if line is not None and any(argument.startswith("query=") for argument in arguments):
        from normlib.completion import completions

        with contextlib.suppress(NormlibError):  # an unfinished line may name things that do not exist
            print("\n".join(completions(line[: int(os.environ.get("COMP_POINT", len(line)))], parser)))
        return 0
    from normlib.hydra_app import shell_completion

    shell_completion(arguments)
    return 0


def _list(options: argparse.Namespace) -> int:
    from normlib.experiments.settings import GROUPS
    from normlib.listing import listing
    from normlib.listing_text import lines, page

    rows = listing(*options.overrides, config_dirs=options.config_dir)
    names = [name for name in options.overrides if not name.startswith("plugins=")]
    whole = bool(names) and not any(name in GROUPS for name in names)
    if options.json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
    else:
        as_text = page(rows, shutil.get_terminal_size().columns, whole) if sys.stdout.isatty() else lines(rows, whole)
        print("\n".join(as_text))
    return 0


def _plan(options: argparse.Namespace) -> int:
    from normlib.experiments.plan import make_plan
    from normlib.experiments.plan_display import show_state
    from normlib.experiments.state import progress_of

    show_state(new_console(), progress_of(make_plan(options.overrides, options.config_dir)))
    return 0


def _compare(options: argparse.Namespace) -> int:
    from normlib.api import compare_on

    swept, _ = compare_on(new_console(), options.overrides, options.config_dir, options.overwrite)
    return 1 if swept.failed else 0


def _train(options: argparse.Namespace) -> int:
    flags = _hydra_flags(options)
    if flags or options.multirun:
        from normlib.hydra_app import multirun

        return _exit_code(multirun(options.overrides, options.config_dir, flags, options.multirun))
    from normlib.experiments.plan import make_run
    from normlib.experiments.sweep import run_one
    from normlib.results.render.record import show_record
    from normlib.training.outcome import now

    run, settings = make_run(options.overrides, options.config_dir)
    began = now()
    outcome = run_one(run, settings)
    if outcome.record.started < began and not settings["save_weights"]:
        print(f"this run already has a record and was not trained again (to train it again, delete {run.id}.json)")
    show_record(new_console(), outcome.record, settings["results_dir"])
    if outcome.problem is not None:
        print(f"normlib train: {outcome.problem}", file=sys.stderr)
        return 1
    return _exit_code([outcome.record.status])


def _hydra_flags(options: argparse.Namespace) -> list[str]:
    """Hydra's own flags, as Hydra takes them."""
    flags = []
    for long, *_ in HYDRA_FLAGS:
        value = getattr(options, long.removeprefix("--").replace("-", "_"))
        if value:
            flags += [long] if value is True else [long, value]
    return flags


def _report(options: argparse.Namespace) -> int:
    from normlib.experiments.reporting import load_plugins, report_from_records
    from normlib.results.elsewhere.report import files_among, report_on_file

    flags = {name: getattr(options, name) for name in TABLE_FLAGS}
    if files_among(options.overrides) or any(flags.values()):
        load_plugins(options.overrides)
        report = report_on_file(options.overrides, flags, options.to, options.overwrite)
    else:
        report = report_from_records(options.overrides, options.config_dir, options.to, options.overwrite)
    report.render(new_console())
    if options.open:
        import webbrowser

        if not webbrowser.open(report.page.resolve().as_uri()):
            print(f"there is no browser to open the page; it is {report.page}")
    return 0


def _export(options: argparse.Namespace) -> int:
    from normlib.experiments.exporting import export_runs

    print("\n".join(export_runs(options.overrides, options.config_dir, options.to)))
    return 0


def _bench(options: argparse.Namespace) -> int:
    from normlib.timings.run import bench

    console = new_console()
    bench(options.overrides, console, options.overwrite).render(console)
    return 0


def _check(options: argparse.Namespace) -> int:
    from normlib.checking import check

    console = new_console()
    checks = check(options.overrides, options.config_dir, console, done=lambda arm: arm.render(console))
    return 0 if checks.passed else 1


def _exit_code(statuses: Sequence[str]) -> int:
    return 1 if "failed" in statuses else 0


SIGPIPE = 13  # Windows has no such signal, but its pipes break, too
VERBS: dict[str, Any] = {
    "list": _list, "plan": _plan, "compare": _compare, "train": _train, "report": _report, "export": _export,
    "bench": _bench, "check": _check,
}  # fmt: skip
