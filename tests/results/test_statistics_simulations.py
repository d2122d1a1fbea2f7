"""Checks that docs/statistics.md shows the committed results, that these are what the simulations give, and what they show."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

import pytest

from benchmarks import statistics_coverage, statistics_family
from benchmarks.statistics_documents import DOCUMENT, ROOT, Result, read_results, with_tables

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
