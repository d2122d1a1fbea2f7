"""Writes the results of the simulations to a file, and into docs/statistics.md as tables and a sentence.

In: `Result`s of one simulation. Out: benchmarks/statistics_results.csv with its rows replaced, and the tables between
their markers in the document. This file simulates nothing. To write the tables again from the file:
python benchmarks/statistics_documents.py
"""

from __future__ import annotations

import csv
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "statistics_results.csv"
DOCUMENT = ROOT / "docs" / "statistics.md"

BOUNDS = {
    "difference": (93.0, 97.5), "outperforms": (93.0, 100.0), "any false claim": (0.0, 5.0), 'any false "equal"': (0.0, 5.0),
    **{f"missed by {n} seeds": (0.0, allowed) for n, allowed in ((7, 0.78), (12, 1.78), (40, 5.0))},
}  # fmt: skip
"""The required range of a figure, in %. A table prints figures outside it in bold."""
VERDICTS = ("better or worse", "equal", "unknown", "too few")


@dataclass(frozen=True)
class Result:
    """One figure, in % (or seeds, if named so), of one case, setting and number of replicates.

    `experiments` is the number of simulated experiments behind it.
    """

    simulation: str
    case: str
    setting: str
    n: int
    figure: str
    percent: float
    experiments: int


def generator(*names: str) -> np.random.Generator:
    """A cell's own random numbers, so any cell can be repeated alone."""
    return np.random.default_rng([zlib.crc32(name.encode()) for name in names])


def read_results() -> list[Result]:
    """The committed results."""
    with RESULTS.open(newline="", encoding="utf-8") as file:
        return [
            Result(**row | {"n": int(row["n"]), "percent": float(row["percent"]), "experiments": int(row["experiments"])})
            for row in csv.DictReader(file)
        ]  # fmt: skip


def write_results(simulation: str, rows: Sequence[Result]) -> None:
    """Replace the rows of one simulation, and write its tables into the docs."""
    others = [row for row in read_results() if row.simulation != simulation] if RESULTS.exists() else []
    merged = sorted([*others, *rows], key=lambda row: row.simulation)
    with RESULTS.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([field.name for field in fields(Result)])
        writer.writerows(astuple(row) for row in merged)
    if DOCUMENT.exists():
        DOCUMENT.write_text(with_tables(DOCUMENT.read_text(encoding="utf-8"), merged), encoding="utf-8")


def with_tables(text: str, results: Sequence[Result]) -> str:
    """The document's text with the tables between their markers, `<!-- name: begin -->` and `<!-- name: end -->`."""
    coverage = [row for row in results if row.simulation == "coverage"]
    family = [row for row in results if row.simulation == "family"]
    laws = {"case": "scores", "setting": "correlation"}
    tables = {
        "coverage": table(_only(coverage, "difference", "outperforms"), laws, ("figure", "n")),
        "bootstrap": table(_only(coverage, "difference, bootstrap", "outperforms, bootstrap"), laws, ("figure", "n")),
        "no resolution": table(_only(coverage, "difference, no resolution"), laws, ("figure", "n")),
        "workloads": table(_only(coverage, "interquartile mean"), {"figure": "figure"}, ("n",)),
        "claims": table(
            [row for row in _only(family, "any false claim", "uncorrected") if row.setting == "0"],
            {"case": "noise"}, ("figure", "n"),
        ),
        "power": table(
            sorted(
                (row for row in _only(family, *VERDICTS, "any false claim") if row.case == "normal"),
                key=lambda row: (row.setting, row.n),
            ),
            {"setting": "true difference (SD)", "n": "n"}, ("figure",),
        ),
        "found": _found(family, n=12),
        "looks: claims": table([row for row in results if row.simulation == "sequential claims"], laws, ("figure",)),
        "looks: power": _looks_power([row for row in results if row.simulation == "sequential power"]),
        "looks: saved": _looks_saved([row for row in results if row.figure == "runs, same power"]),
        "looks: intervals": table([row for row in results if row.simulation == "sequential missed"], laws, ("figure",)),
        "looks: other ways": table(
            [row for row in results if row.simulation == "sequential methods"], {"case": "way"}, ("figure",)
        ),
    }  # fmt: skip
    for name, lines in tables.items():
        begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
        head, rest = text.split(begin)
        _, tail = rest.split(end)
        text = f"{head}{begin}{lines}{end}{tail}"
    return text


def table(results: Sequence[Result], rows: Mapping[str, str], columns: Sequence[str]) -> str:
    """A Markdown table of percentages. `rows` maps the fields that name a row to their headings; `columns` are fields.

    Figures outside their bounds are bold. Missing ones are a dash.
    """
    cells: dict[tuple[str, ...], dict[str, str]] = {}
    heads: dict[str, None] = {}
    for result in results:
        head = ", ".join(f"n = {result.n}" if field == "n" else getattr(result, field) for field in columns)
        heads[head] = None
        low, high = BOUNDS.get(result.figure, (0.0, 100.0))
        mark = "" if low <= result.percent <= high else "**"
        row = tuple(str(getattr(result, field)) for field in rows)
        cells.setdefault(row, {})[head] = f"{mark}{result.percent:.1f}{mark}"
    lines = [[*rows.values(), *heads], [*([":---"] * len(rows)), *(["---:"] * len(heads))]]
    lines += [[*row, *(found.get(head, "–") for head in heads)] for row, found in cells.items()]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _looks_power(results: Sequence[Result]) -> str:
    """What looks find and cost beside fixed seeds: a row per simulated table, with runs in % of the fixed ones."""
    heads = [
        "arms that differ", "by (SD)", "11 fixed seeds find", "most seeds for as much", "find", "runs",
        "40 most seeds find", "fixed seeds for as much", "runs",
    ]  # fmt: skip
    lines = [heads, [":---"] * 2 + ["---:"] * 7]
    for case, setting in dict.fromkeys((row.case, row.setting) for row in results):
        fixed, same, same_runs, most, most_fixed, most_runs = (
            row for row in results if (row.case, row.setting) == (case, setting)
        )
        shown = [f"{row.percent:.1f}" for row in (fixed, same, same_runs, most, most_runs)]
        lines.append([case, setting, shown[0], str(same.n), *shown[1:4], str(most_fixed.n), shown[4]])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _looks_saved(results: Sequence[Result]) -> str:
    """How many fewer runs there are at the same power, if every arm differs."""
    said = [f"{100 - row.percent:.1f} % at {row.setting} SD" for row in results if row.case == "every arm"]
    return (
        f"So, at the power of 11 fixed seeds and with every arm different, the runs are fewer by {', '.join(said)}.\n"
    )


def _found(family: Sequence[Result], n: int) -> str:
    """What this many seeds find, from the rows that the table of the power shows."""
    one, two = (
        next(
            row.percent
            for row in family
            if (row.case, row.setting, row.n, row.figure) == ("normal", sd, n, VERDICTS[0])
        )
        for sd in ("1", "2")
    )
    return (
        f"So {n} seeds find {two:.1f} % of the differences of two standard deviations, and {one:.1f} % of those of a single "
        "one.\n"
    )


def _only(results: Sequence[Result], *figures: str) -> list[Result]:
    """The results of these figures, figure by figure, so the columns are in this order."""
    return [row for figure in figures for row in results if row.figure == figure]


if __name__ == "__main__":
    DOCUMENT.write_text(with_tables(DOCUMENT.read_text(encoding="utf-8"), read_results()), encoding="utf-8")
