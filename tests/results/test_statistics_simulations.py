"""Checks that docs/statistics.md shows the committed results, that these are what the simulations give, and what they show."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Sequence

import numpy as np
import pytest

from benchmarks import statistics_coverage, statistics_family, statistics_laws
from benchmarks.statistics_documents import BOUNDS, DOCUMENT, ROOT, Result, read_results, with_tables
from normlib.results.stats import median_interval, outperformance, replicates_needed, smallest_sign_flip_p
from normlib.results.stats.sign_flip import EXACT_UP_TO, FLIPS
from normlib.results.study.comparison import SIGNIFICANCE
from normlib.results.study.question import POINTS

RESULTS = read_results()
AGAIN = "run: python benchmarks/statistics_coverage.py; python benchmarks/statistics_family.py"


def committed(simulation: str, **wanted: object) -> list[Result]:
    """The committed results with these fields."""
    return [
        result
        for result in RESULTS
        if result.simulation == simulation and all(getattr(result, field) == value for field, value in wanted.items())
    ]


def assert_same(made: Sequence[Result], before: Sequence[Result]) -> None:
    """Equal to what two experiments make: on another processor exp and log may round one across an edge."""
    assert [dataclasses.replace(row, percent=0.0) for row in made] == [
        dataclasses.replace(row, percent=0.0) for row in before
    ], AGAIN
    for new, old in zip(made, before):
        assert new.percent == pytest.approx(old.percent, abs=2 * 100 / new.experiments), f"{old}: {AGAIN}"


def test_the_document_shows_the_committed_results() -> None:
    text = DOCUMENT.read_text()
    assert with_tables(text, RESULTS) == text, "run: python benchmarks/statistics_documents.py"


def test_a_number_typed_by_hand_is_noticed() -> None:
    text = DOCUMENT.read_text()
    typed = [dataclasses.replace(RESULTS[0], percent=12.3), *RESULTS[1:]]
    assert with_tables(text, typed) != text
    with pytest.raises(AssertionError):
        assert_same(typed[:1], RESULTS[:1])


def test_the_sentence_on_the_power_follows_from_the_results() -> None:
    claimed = {row.setting: row for row in committed("family", case="normal", n=12, figure="better or worse")}
    said = f"find {claimed['2'].percent:.1f} % of the differences of two standard deviations"
    assert said in " ".join(DOCUMENT.read_text().split())
    other = [dataclasses.replace(row, percent=50.0) if row == claimed["2"] else row for row in RESULTS]
    assert "find 50.0 % of the differences of two" in with_tables(DOCUMENT.read_text(), other)


def phrases() -> list[str]:
    """Phrases of the document that hold figures, with the figures that the code and the results give."""
    coverage, family = statistics_coverage, statistics_family
    ten_of_ten = outperformance(np.ones(10), np.zeros(10))
    needed = [replicates_needed(comparisons) for comparisons in (9, 25, 30)]
    with_interval = next(n for n in range(2, 20) if not math.isnan(median_interval(np.arange(n))[1]))
    comparisons = (family.ARMS - 1) * family.CONDITIONS
    low, high = BOUNDS["difference"]
    error = 100 * math.sqrt(0.05 * 0.95 / coverage.EXPERIMENTS)
    return [
        f"its interval goes from {100 * float(ten_of_ten.low):.0f} to {100 * float(ten_of_ten.high):.0f} %",
        f"needs {needed[0]} seeds to show anything at all, one of 25 needs {needed[1]}, one of 30 needs {needed[2]}",
        f"Above {EXACT_UP_TO} seeds, {FLIPS:,} patterns",
        f"needs at least {with_interval} seeds",
        f"a corrected p of at most {SIGNIFICANCE}",
        f"In % of {coverage.EXPERIMENTS:,} simulated experiments",
        f"Required are {low:g} to {high:g} for differences and at least {BOUNDS['outperforms'][0]:g} for outperforming",
        f"Below {low:g}: the differences are skewed",
        f"Above {high:g}: the scores differ",
        f"multiples of 1/{statistics_laws.TEST_SAMPLES}",
        f"The standard error of a cell is {error:.2f}",
        f"the first {coverage.BOOTSTRAPPED:,} of each cell, {coverage.RESAMPLES:,} resamples",
        f"{coverage.WORKLOAD_EXPERIMENTS:,} experiments of {coverage.WORKLOADS} workloads",
        f"Tables of {family.ARMS} arms in {family.CONDITIONS} conditions: {comparisons} comparisons with one baseline",
        f"The correlation within pairs is {family.CORRELATION}, and the region of equivalence ± {POINTS} points",
        f"in % of {family.TABLES:,} tables",
        f"At most {100 * family.LEVEL:g} are allowed",
        f"(in the first rows, of all {comparisons})",
    ]


@pytest.mark.parametrize("phrase", phrases())
def test_figures_in_the_prose_are_those_of_the_code(phrase: str) -> None:
    assert phrase in " ".join(DOCUMENT.read_text().split())


def test_what_the_prose_says_of_five_and_of_most_holds() -> None:
    prose = " ".join(DOCUMENT.read_text().split())
    assert "five seeds never reach 0.05" in prose and "Five workloads never reach 0.05" in prose
    assert smallest_sign_flip_p(5) > 0.05 >= smallest_sign_flip_p(6)
    assert "Uncorrected, most tables without any difference claim one" in prose
    assert all(row.percent > 50 for row in committed("family", case="normal", figure="uncorrected") if row.n >= 10)


@pytest.mark.parametrize(("law", "correlation"), [("normal", 0.0), ("steps, 0.9995 and 0.999", 0.7)])
def test_cells_of_the_coverage_come_out_again(law: str, correlation: float) -> None:
    made = statistics_coverage.coverage(law, correlation, 3)
    assert_same(made, committed("coverage", case=law, setting=f"{correlation:g}", n=3)[: len(made)])


def test_a_cell_of_the_claims_comes_out_again() -> None:
    made = statistics_family.family("log-normal", 10)
    assert_same(made, committed("family", case="log-normal", n=10))


def test_every_cell_is_there_and_simulated_often_enough() -> None:
    laws, correlations = statistics_coverage.LAWS, statistics_coverage.CORRELATIONS
    cells = {(row.case, row.setting, row.n) for row in committed("coverage", figure="difference")}
    assert cells == {(law, f"{c:g}", n) for law in laws for c in correlations for n in (3, 5, 10, 20)}
    for figure in ("difference", "outperforms"):
        assert all(row.experiments >= 2000 for row in committed("coverage", figure=figure))
    assert all(row.experiments >= 2000 for row in committed("family"))


def test_intervals_cover_what_the_document_says_they_cover() -> None:
    assert all(row.percent >= 93 for row in committed("coverage", figure="outperforms"))
    outside = {row.case for row in committed("coverage", figure="difference") if row.percent < 93}
    assert outside == {"log-normal, spreads 1:4", "exponential, spreads 1:4"}
    too_wide = {row.case for row in committed("coverage", figure="difference") if row.percent > 97.5}
    assert too_wide and all(case.startswith("steps") for case in too_wide)


def test_tables_without_a_difference_claim_one_at_most_as_often_as_allowed() -> None:
    claims = [row for row in committed("family", figure="any false claim") if not row.case.endswith("spreads 1 to 3")]
    assert {row.n for row in claims if row.setting == "0"} == {5, 10, 12, 20}
    assert all(row.percent <= 5 for row in claims)


def test_links_of_the_document_name_what_is_there() -> None:
    text = DOCUMENT.read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if not link.startswith("https://")]
    assert links and all((DOCUMENT.parent / link).exists() for link in links)
    files = re.findall(r"`(benchmarks/[^`]+)`", text)
    assert len(files) >= 3 and all((ROOT / name).is_file() for name in files)
