"""Makes studies for tests whose figures have every odd shape: categories, many arms, runs that diverged, one section and many."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from normlib.results.store.record import DIVERGED, Record
from normlib.results.study.study import Study
from normlib.tasks.metric import Metric
from tests.results.factories import ACCURACY, make_record, study_of

NORMS = ("batch", "group", "layer", "none")
PERPLEXITY = Metric("perplexity", higher_is_better=False)
POINTS = 4


def run(
    norm: str, seed: int = 0, size: int = 32, figure: float | None = 0.9, metric: Metric = ACCURACY, **over: Any
) -> Record:
    """A record with a learning curve of `POINTS` points, of 10 steps each, that ends at `figure`."""
    steps = [10 * (point + 1) for point in range(POINTS)]
    validation = {
        "step": steps, "samples": [step * size for step in steps], "seconds": [step * 1e-3 for step in steps],
        "loss": [1.0] * POINTS, metric.name: [None if figure is None else figure * (i + 1) / POINTS for i in range(POINTS)],
    }  # fmt: skip
    curves = {"train": {"step": [1], "loss": [2.0]}, "validation": validation}
    return make_record(
        norm=norm, seed=seed, batch_size=size, accuracy=figure, metric=metric, curves=curves, **({"steps": 40} | over)
    )  # type: ignore[arg-type]


def optimizer(name: str) -> dict[str, Any]:
    """What `run` takes for another optimizer."""
    return {
        "spec": {"optimizer": {"name": name, "lr": 0.1, "lr_rule": "linear", "momentum": 0.9, "weight_decay": 0.0}},
        "labels": {"norm": "", "model": "mlp", "data": "digits", "task": "classification", "optimizer": name},
    }


def plain() -> Study:
    return study_of(
        run(norm, seed, size, 0.9 - 0.02 * place + 0.01 * seed)
        for place, norm in enumerate(NORMS) for size in (2, 32) for seed in range(3)
    )  # fmt: skip


def categories() -> Study:
    records = []
    for norm in NORMS:
        for name in ("sgd", "adamw with a name that is rather long", "lion"):
            kind = optimizer(name)
            records += [run(norm, seed, **(kind | {"labels": kind["labels"] | {"norm": norm}})) for seed in range(2)]
    return study_of(records, columns="optimizer")


def ordered() -> Study:
    """Numbers of which one is 0, as no log axis has it."""
    return study_of((run(norm, spec={"seed": 0, "threads": n}) for norm in NORMS for n in (0, 1, 4)), columns="threads")


def many_arms() -> Study:
    names = ("batch", *(f"a_name_as_long_as_they_come_{n:02}" for n in range(26)))
    return study_of(run(name, seed, figure=0.5 + place / 100) for place, name in enumerate(names) for seed in range(2))


def diverged() -> Study:
    """One run of `none` at 2, and every run of `layer` at 32; what is left of them are broken networks."""
    return study_of(_broken(ACCURACY, 0.9, 0.1))


def without_figures() -> Study:
    """The same, with a metric of which diverged runs have no figure."""
    return study_of(_broken(PERPLEXITY, 20.0, None))


def at_the_limit() -> Study:
    """Figures whose intervals would reach beyond 100 % and below 0 %."""
    return study_of(
        run(norm, seed, figure=figure)
        for norm, figures in {"batch": (1.0, 0.6, 1.0), "group": (0.0, 0.4, 0.0)}.items()
        for seed, figure in enumerate(figures)
    )


def sections(number: int) -> Callable[[], Study]:
    return lambda: study_of(
        run(norm, size=size, model=f"model_{section:02}", figure=0.5 + 0.01 * section)
        for norm in NORMS[:2] for size in (2, 4, 8, 16, 32, 64, 128) for section in range(number)
    )  # fmt: skip


def one_run() -> Study:
    return study_of([run("batch")])


def hostile() -> Study:
    return study_of(run(name, figure=0.9) for name in ("batch", "<b>$x$ & 'q'</b>", "größe\nü"))


STUDIES: dict[str, Callable[[], Study]] = {
    "plain": plain, "categories": categories, "ordered": ordered, "many arms": many_arms, "diverged": diverged,
    "without figures": without_figures, "at the limit": at_the_limit, "four sections": sections(4),
    "many sections": sections(14), "one run": one_run, "hostile": hostile,
}  # fmt: skip


def _broken(metric: Metric, figure: float, broken: float | None) -> list[Record]:
    return [
        run(norm, seed, size, broken if lost else figure - seed / 100, metric, **({"status": DIVERGED, "steps": 25} if lost else {}))
        for norm in NORMS for size in (2, 32) for seed in range(3)
        for lost in [(norm, size) == ("layer", 32) or (norm, size, seed) == ("none", 2, 0)]
    ]  # fmt: skip
