"""The texts of ``--help``: examples, and the config groups with their choices, read from files without importing torch."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import wrap

SUMMARIES = {
    "list": "show norms, models, datasets and experiments, with their settings and defaults",
    "plan": "show what a comparison would do: done, missing and skipped runs, and the time left",
    "compare": "do the missing runs of a comparison in parallel, then report",
    "train": "train one run (or, with -m, a Hydra multirun) and write its record",
    "report": "make the tables, the figures and the page again from the records alone, of one folder or several, or from a table of runs",
    "bench": "time norms against torch.nn, timm, the compiled formula and a copy; write a table and a figure",
    "check": "hold norms against the contract that every norm here passes, and say what they keep and break",
    "export": "write the runs, one a row, to a Parquet, CSV or JSON lines file",
}
EXAMPLES = {
    None: [
        "normlib compare                                  # the default experiment, small_batch",
        "normlib train norm=group norm.num_groups=4 model=convnet data.batch_size=8 seed=3",
        "normlib report experiment=small_batch",
    ],
    "list": ["normlib list", "normlib list plugins=[my_norm.py]"],
    "plan": [
        "normlib plan experiment=small_batch",
        "normlib plan norm=batch,group data.batch_size=2,32 'seed=range(3)'",
    ],
    "compare": [
        "normlib compare",
        "normlib compare experiment=small_batch norm=batch,group data.batch_size=2,32 'seed=range(3)'",
        "normlib compare 'norm=glob(*)' model=convnet jobs=4",
        "normlib compare optimizer.lr=0.01,0.1,1 columns=optimizer.lr data.batch_size=32 'seed=range(3)'",
        "normlib compare plugins=[my_norm.py] norm=batch,my_norm results_dir=/tmp/results",
    ],
    "train": [
        "normlib train norm=group norm.num_groups=4 model=convnet data=digits data.batch_size=8 seed=3",
        "normlib train norm=batch optimizer=adamw schedule=cosine training.epochs=10 save_weights=true",
        "normlib train -m norm=batch,layer seed=0,1",
        "normlib train norm=group --cfg job                # print the composed configuration",
    ],
    "report": [
        "normlib report experiment=small_batch",
        "normlib report experiment=small_batch norm=batch,group rows=norm columns=data.batch_size",
        "normlib report experiment=small_batch baseline=group rope=1 target=0.9 --open",
        "normlib report results/a results/b --to results/both    # other machines, other days",
        "normlib report runs.csv --arm norm --metric dice --columns batch_size    # made elsewhere",
    ],
    "bench": [
        "normlib bench                                    # every norm, two shapes, two means: some minutes",
        "normlib bench norm=batch,group bench.shapes=[32x64x32x32] bench.dtypes=[float32,bfloat16]",
        "normlib bench norm=rms bench.shapes=[8x197x384] bench.compile=true bench.blocks=12",
        "normlib bench norm=group bench.inputs=[normal,shifted,pixels] bench.caches=[warm,cold]",
        "normlib bench plugins=[my_norm.py] norm=my_norm results_dir=/tmp/results",
        "normlib bench bench.full=true                    # every shape, type, input, cache; compiled, too",
    ],
    "check": [
        "normlib check group norm.num_groups=4",
        "normlib check batch,layer                        # or norm=batch,layer, or 'norm=glob(*)' for all",
        "normlib check my_norm plugins=[my_norm.py]",
    ],
    "export": [
        "normlib export experiment=small_batch --to runs.parquet",
        "normlib export results/a results/b norm=batch,group --to runs.csv",
    ],
}
OTHER_SETTINGS = """seed, training.epochs, training.steps, training.precision, site.placement, site.activation, site.dropout,
site.norm_batch_size, site.horizon, init.scheme, init.scale, evaluation.points, evaluation.statistics, accelerator, threads,
norm.gamma_noise, norm.weights, norm.frozen, norm.fit_on_batches, model.weights, results_dir, data_dir, plugins=[file.py],
jobs, retry_failed, save_weights, rows, columns, baseline, rope, target, control, most_seeds, tuning"""
WIDTH = 98  # columns of a terminal that few set narrower
PACKAGE = Path(__file__).resolve().parent


def summary(verb: str) -> str:
    """One line on a verb."""
    return SUMMARIES[verb]


def epilog(verb: str | None) -> str:
    """Examples of a verb (or of all), the config groups, and the settings that belong to no group."""
    lines = ["examples:", *(f"  {example}" for example in EXAMPLES[verb]), "", "config groups (group=choice):"]
    for group, names in choices().items():
        lines += wrap(", ".join(names), WIDTH, initial_indent=f"  {group:<11}", subsequent_indent=" " * 13)
    lines += [
        "",
        "other settings (key=value; all with defaults in `normlib list`):",
        *wrap(OTHER_SETTINGS, WIDTH, initial_indent="  ", subsequent_indent="  "),
        "",
        "Exit codes: 0 all is well, 1 runs failed or a norm breaks its contract, 2 bad input,",
        "128 + n stopped by signal n.",
    ]
    return "\n".join(lines)


def choices() -> dict[str, list[str]]:
    """The choices of each config group, as the sources and the configuration files name them."""
    from_files = {
        group: sorted(file.stem for file in (config_dir() / group).glob("*.yaml"))
        for group in ("norm", "logger", "experiment")
    }
    return {
        "experiment": from_files["experiment"],
        "norm": sorted([*registered("norms"), *from_files["norm"]]),
        "model": registered("models"),
        "data": registered("data"),
        "optimizer": ["sgd", "adamw"],
        "schedule": ["constant", "cosine", "one_cycle"],
        "logger": from_files["logger"],
    }


def registered(room: str) -> list[str]:
    """The names under which the files of one room register their classes."""
    sources = (file.read_text(encoding="utf-8") for file in (PACKAGE / room).rglob("*.py"))
    return sorted(name for source in sources for name in re.findall(r'^@register\(\s*"(\w+)"', source, re.MULTILINE))


def config_dir() -> Path:
    """The folder of normlib's own configuration: inside an installed wheel, or beside the package in a checkout."""
    inside = PACKAGE / "conf"
    return inside if inside.is_dir() else PACKAGE.parent / "conf"
