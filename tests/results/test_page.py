"""Checks the page's text: complete, the same for the same runs, closed to the outside, and deaf to hostile names."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import html
import json
import re
from functools import cache
from html.parser import HTMLParser

import pytest
from plotly import graph_objects

from normlib.results.page import PageContent, page
from normlib.results.page.parts import LONGEST_OPEN, parts
from normlib.results.plots.by_column import MOST_LISTED, metric_plot
from normlib.results.plots.files.style import OTHER_STYLES, STYLES
from normlib.results.plots.marks import SYMBOLS, marks
from normlib.results.store.frame import frame
from normlib.results.store.record import Record
from normlib.results.study.question import Question
from normlib.results.study.study import Study
from normlib.results.study.tuning import TUNED, views
from normlib.results.tables.model import Column, Table
from tests.results.factories import make_record
from tests.results.page_content import HOSTILE, IMAGE, NORMS, content, records
from tests.results.tuned_records import DEPTH, tuned_records

SCRIPT = re.compile(r'<script(?: type="text/plain" id="plotly")?>(.*?)</script>', re.DOTALL)
LARGEST_WITHOUT_PLOTLY = 300_000
"""Bytes; 90 runs with their plots and tables take a third of this."""


@cache
def text() -> str:
    return page(content(records()))


@cache
def without_plotly() -> str:
    return text().replace(SCRIPT.findall(text())[0], "")


def data(of: str) -> dict:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', of, re.DOTALL)
    assert found
    return json.loads(found[1])


class Parts(HTMLParser):
    """Collects the elements that a browser would make, and the text outside of scripts."""

    def __init__(self, page_text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page_text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_the_same_runs_give_the_same_bytes() -> None:
    assert page(content(records())) == text()


def test_it_needs_nothing_from_elsewhere() -> None:
    parsed = Parts(without_plotly())
    links = [value for _, attrs in parsed.elements for key, value in attrs.items() if key in ("src", "href", "action")]
    assert links and all(link and link.startswith(("#", "data:")) for link in links)
    policy = next(attrs["content"] for tag, attrs in parsed.elements if tag == "meta" and "http-equiv" in attrs)
    assert policy and policy.startswith("default-src 'none'; ") and "http" not in policy


def test_only_the_scripts_of_the_page_may_run() -> None:
    policy = re.search(r'http-equiv="Content-Security-Policy" content="(.*?)"', text())
    assert policy
    allowed = re.search(r"script-src ([^;]*);", html.unescape(policy[1]))
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in SCRIPT.findall(text())]
    assert allowed and len(digests) == 2
    assert sorted(allowed[1].split()) == sorted(f"'sha256-{digest}'" for digest in digests)


def test_plotly_is_there_once_and_the_rest_is_small() -> None:
    assert text().count("plotly.js v") == 1
    assert len(without_plotly().encode()) < LARGEST_WITHOUT_PLOTLY


def test_hostile_names_are_letters() -> None:
    parsed = Parts(without_plotly())
    assert {tag for tag, _ in parsed.elements}.isdisjoint({"img", "b", "iframe"})
    assert sum(tag == "script" for tag, _ in parsed.elements) == 3  # the data, and the page's own two
    assert all(not key.startswith("on") for _, attrs in parsed.elements for key in attrs)
    boxes = [attrs["value"] for tag, attrs in parsed.elements if tag == "input"]
    assert sorted(boxes, key=str) == sorted(NORMS)
    assert any(HOSTILE in word for word in parsed.words)


def test_plotly_gets_no_tag_but_its_line_breaks() -> None:
    plots = data(text())["plots"]
    assert set(plots) == {"metric", "differences", "curves", "gap", "cost"}
    hovers = [
        hover
        for plot in plots.values()
        for panel in plot["panels"]
        for trace in panel["traces"]
        for hover in trace["text"]
    ]
    titles = [plot["y_title"] for plot in plots.values()] + [mark["label"] for mark in data(text())["marks"].values()]
    assert hovers
    assert set(re.findall(r"<[^>]*>", "".join(hovers + titles))) == {"<br>"}
    assert any(html.escape(IMAGE, quote=False) in hover for hover in hovers)


def test_hovering_shows_the_seeds() -> None:
    traces = data(text())["plots"]["metric"]["panels"][0]["traces"]
    group = next(trace for trace in traces if trace["arm"] == "group")
    assert "seed 0: 91" in group["text"][2] and "(diverged)" in group["text"][2] and "n = 3" in group["text"][2]
    assert len(group["x"]) == len(group["y"]) == len(group["low"]) == len(group["text"]) == 3


def test_an_arm_without_figures_in_a_condition_lacks_the_point() -> None:
    panels = {panel["section"]: panel["traces"] for panel in data(text())["plots"]["metric"]["panels"]}
    number = {
        section: len(next(trace for trace in traces if trace["arm"] == "layer")["x"])
        for section, traces in panels.items()
    }
    assert number == {"model=mlp": 3, "model=convnet": 2}


def test_many_replicates_are_counted_and_not_listed() -> None:
    runs = [make_record(norm="batch", seed=seed) for seed in range(MOST_LISTED + 5)]
    plot = metric_plot(content(runs).study)
    assert plot
    hover = plot.panels[0].traces[0].text[0]
    assert f"seed {MOST_LISTED - 1}:" in hover and f"seed {MOST_LISTED}:" not in hover and "and 5 more" in hover


def test_every_part_is_there_in_order() -> None:
    headings = re.findall(r'<h2 id="(.*?)-heading">', text())
    assert headings == [
        "verdicts", "main", "differences", "batch_size_effect", "speed", "workloads", "gap", "metrics", "cost",
        "runs", "guarantees", "environment", "limits", "again",
    ]  # fmt: skip
    words = " ".join(Parts(without_plotly()).words)
    for said in (
        "One split of the data", "The test set has 250 samples", "a processor", "normlib report experiment=page_test",
        "warning: something to know", "no positions", "85 of 85 trained runs held against another arm’s",
        "90 runs, 5 arms, 6 conditions, 3 seeds; made 2025-01-01",
    ):  # fmt: skip
        assert said in words


def test_no_sheet_is_left_out() -> None:
    strange = Table(
        name="strange",
        title="Of a kind to come",
        columns=(Column("norm", "arm", label=True), Column("x", "x")),
        rows=[{"arm": "batch", "x": 1.0}],
    )
    second_view = dataclasses.replace(strange, name="accuracy_fixed", part="main", title="Of a second view")
    note_alone = Table(name="differences", title="Nothing to compare", notes=("because there is no baseline",))
    shown = page(content(records(NORMS[:2]), sheets=[strange, second_view, note_alone]))
    main, further = (shown.index(f'id="{anchor}-heading"') for anchor in ("main", "others"))
    assert main < shown.index("Of a second view") < further < shown.index("Of a kind to come")
    assert "because there is no baseline" in shown


def test_a_long_table_is_folded_where_the_part_shows_something_else() -> None:
    short, long = (
        Table(
            name="speed",
            title=f"{rows} rows",
            columns=(Column("norm", "arm", label=True),),
            rows=[{"arm": "batch"}] * rows,
        )
        for rows in (LONGEST_OPEN, LONGEST_OPEN + 1)
    )
    (alone,) = parts([long], [])
    (beside,) = parts([long, short], [])
    assert not alone.folds(long) and beside.folds(long) and not beside.folds(short)
    another = dataclasses.replace(long)
    (both,) = parts([long, another], [])
    assert [both.folds(sheet) for sheet in both.sheets] == [False, True]
    (main,) = parts([dataclasses.replace(long, part="main"), dataclasses.replace(short, part="main")], [])
    assert not any(main.folds(sheet) for sheet in main.sheets)


def test_only_runs_with_a_counterpart_count_as_verified() -> None:
    runs = [make_record(norm=norm, seed=seed) for norm, seed in (("batch", 0), ("layer", 0), ("batch", 1))]
    assert "2 of 3 trained runs held against another arm’s" in page(content(runs))
    shown = page(content([make_record(), Record(**{**vars(runs[1]), "hashes": {**runs[1].hashes, "batches": []}})]))
    assert shown.count("2 of 2 trained runs held") == 3 and shown.count("0 of 2 trained runs held") == 1


def test_arms_that_chose_different_depths_do_not_count_as_verified() -> None:
    tuned = views(frame(tuned_records(DEPTH)), DEPTH)[TUNED]
    study = Study(tuned, Question(), view="tuned")
    shown = page(PageContent(experiment="tuned", study=study, sheets=[]))
    assert "parameters of all that is not a norm. 0 of 6 trained runs held" in shown
    assert "the dataset. 6 of 6 trained runs held" in shown


@pytest.mark.parametrize(
    "runs",
    [
        [],
        [make_record(seed=0)],
        [make_record(norm=norm, status="failed", reason="an error") for norm in ("batch", "layer")],
        [make_record(norm="layer", seed=seed, environment={}, hashes={}) for seed in range(2)],
    ],
    ids=["no runs", "one run", "all failed", "no baseline, no hashes, no environment"],
)
def test_poor_results_still_make_a_page(runs: list) -> None:
    assert "</html>" in page(content(runs))


def test_environments_show_what_differs() -> None:
    def run(seed: int, cpu: str) -> object:
        return make_record(seed=seed, environment={"torch": "2.6.0", "cpu": cpu})

    shown = page(content([run(0, "this"), run(1, "that"), run(2, "that")]))
    assert "<dd>2.6.0</dd>" in shown and "<dd>this</dd>" not in shown
    assert re.search(r"<li>2 runs: cpu that</li>\s*<li>1 run: cpu this</li>", shown)


def test_plotly_knows_every_look() -> None:
    known = {style[1] for style in (*STYLES.values(), *OTHER_STYLES)} | {"."}
    assert known == set(SYMBOLS)
    for mark in marks([*STYLES, "batch_control", "some_other"], {"batch_control"}).values():
        graph_objects.Scatter(
            marker={"symbol": mark.symbol, "size": mark.size}, line={"dash": mark.dash, "color": mark.color}
        )
