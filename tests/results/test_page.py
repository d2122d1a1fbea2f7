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

from normlib.results.contents import make_figures
from normlib.results.page import PageContent, page
from normlib.results.page.parts import parts
from normlib.results.page.plotly import SYMBOLS, encoded, mark
from normlib.results.page.words import WORDS, Explained
from normlib.results.plots.style import CONTROL_STYLE, OTHER_STYLES, PALETTE, STYLES
from normlib.results.store.frame import frame
from normlib.results.store.record import Record
from normlib.results.study.question import Question
from normlib.results.study.study import Study
from normlib.results.study.tuning import TUNED, views
from normlib.results.tables.table import Column, Table, registered_tables
from tests.results.factories import make_record
from tests.results.figure_studies import STUDIES
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
    assert set(plots) == {each.name for own in content(records()).figures.values() for each in own}
    traces = [trace for plot in plots.values() for panel in plot["panels"] for trace in panel["traces"]]
    hovers = [hover for trace in traces for hover in trace["hover"]]
    titles = [plot["y_title"] for plot in plots.values()] + [mark["label"] for mark in data(text())["marks"].values()]
    assert hovers
    assert set(re.findall(r"<[^>]*>", "".join(hovers + titles))) == {"<br>"}
    assert any(html.escape(IMAGE, quote=False) in hover for hover in hovers)


@pytest.mark.parametrize("name", STUDIES)
def test_every_figure_is_plain_data_for_plotly(name: str) -> None:
    for figures in make_figures([STUDIES[name]()]).values():
        for figure in figures:
            made = json.loads(json.dumps(encoded(figure), allow_nan=False))
            assert made["sections"] == list(figure.sections) and len(made["axes"]) == len(figure.axes)
            for panel, was in zip(made["panels"], figure.panels, strict=True):
                for trace, whole in zip(panel["traces"], was.traces, strict=True):
                    assert [value is None for value in trace["y"]] == [value != value for value in whole.y]
                    assert trace["y"] == [
                        None if value != value else pytest.approx(value, rel=1e-3) for value in whole.y
                    ]
                    assert trace["diverged"] == [place for place, number in enumerate(whole.diverged) if number]
                    assert not re.search(r"<(?!br>)", "".join(trace["hover"]))


def test_the_verdict_is_first_then_a_figure_then_a_table_and_the_rest_is_folded_away() -> None:
    shown = without_plotly()
    assert re.findall(r'<section id="(\w+)"', shown) == ["verdict", "main"]
    folded = re.findall(r'<details class="part" id="(\w+)"', shown)
    registered = list(registered_tables())
    assert folded[-6:] == ["runs", "guarantees", "environment", "limits", "again", "words"]
    assert folded[:-6] == [name for name in registered if name in folded] and len(folded) > 8
    marks = ['class="headline"', '<figure class="plot"', '<figure class="sheet"', "<details>", 'class="part"']
    places = [shown.index(mark) for mark in marks if mark != "<details>"]
    assert places == sorted(places)
    main = shown[shown.index('<section id="main"') : shown.index('class="part"')]
    assert main.split("<details>")[0].count("<figure") == 2, (
        "one figure and one table; another section's table is folded"
    )
    links = re.findall(r'<a href="#(\w+)">', shown[shown.index("<nav") : shown.index("</nav>")])
    assert links == ["main", *folded]


def test_it_says_all_that_a_reader_must_know() -> None:
    words = " ".join(Parts(without_plotly()).words)
    for said in (
        "One split of the data", "The test set has 250 samples", "a processor", "normlib report experiment=page_test",
        "warning: something to know", "no positions", "were compared with another arm’s and found equal",
        "24 comparisons with batch", "The baseline is batch", "Within 0.5", "; made 2025-01-01",
    ):  # fmt: skip
        assert said in re.sub(r"\s+", " ", words), said


def test_every_word_is_explained_where_it_first_stands() -> None:
    shown = without_plotly()
    buttons = re.findall(r'<button type="button" class="word" popovertarget="word-(\w+)">([^<]*)</button>', shown)
    assert len({word for word, _ in buttons}) == len(buttons) > 10
    for word, letters in buttons:
        place = shown.index(f'popovertarget="word-{word}"')
        before = shown[shown.index("<header") : place].rpartition("<button")[0]
        before = re.sub(r"<nav.*?</nav>|<h2.*?</h2>|<[^>]*>", " ", before, flags=re.DOTALL)  # headings just name it
        if len(letters) > 1:
            assert not re.search(rf"(?<![\w.=#-]){letters}(?![\w=])", before), (word, letters)
        assert f'popover id="word-{word}"' in shown
    assert {"arm", "condition", "seed", "norm", "baseline", "rope", "p", "n", "trunk"} <= {word for word, _ in buttons}


def test_words_are_explained_once_and_names_are_not_words() -> None:
    explained = Explained()
    first = explained("<b>2 arms</b>, norm=batch, data.seed; p = 0.02 at n=3")
    assert first == (
        '&lt;b&gt;2 <button type="button" class="word" popovertarget="word-arm">arms</button>&lt;/b&gt;, norm=batch, data.seed; '
        '<button type="button" class="word" popovertarget="word-p">p</button> = 0.02 at '
        '<button type="button" class="word" popovertarget="word-n">n</button>=3'
    )
    assert explained("an arm at n = 3") == "an arm at n = 3"
    assert all(meaning.endswith(".") for meaning in WORDS.values())


def test_no_table_or_figure_is_left_out() -> None:
    strange = Table(
        name="strange", title="Of a kind to come", columns=(Column("norm", "arm", label=True),), rows=[{"arm": "batch"}]
    )
    second_view = dataclasses.replace(strange, name="accuracy_fixed", part="main", title="Of a second view")
    figure = content(records(NORMS[:2])).figures["main"][0]
    shown = parts([strange, second_view], {"main": [figure], "of nobody": [figure]})
    assert [(part.anchor, len(part.tables), len(part.figures)) for part in shown] == [("main", 1, 1), ("others", 1, 1)]
    text = page(content(records(NORMS[:2]), tables=[strange, second_view]))
    assert text.index("Of a second view") < text.index('id="others"') < text.index("Of a kind to come")


def test_without_a_clear_difference_the_verdict_says_why() -> None:
    few = page(content([make_record(norm=norm, seed=seed) for norm in ("batch", "layer") for seed in range(2)]))
    assert "There are too few seeds for a verdict." in re.sub("<[^>]*>", "", few)
    equal = [
        make_record(norm=norm, seed=seed, accuracy=0.9 + seed / 1000)
        for norm in ("batch", "layer")
        for seed in range(8)
    ]
    assert "No arm differs clearly from batch." in re.sub("<[^>]*>", "", page(content(equal)))
    assert "Nothing is compared here" in page(content([make_record()]))


def test_only_runs_with_a_counterpart_count_as_verified() -> None:
    runs = [make_record(norm=norm, seed=seed) for norm, seed in (("batch", 0), ("layer", 0), ("batch", 1))]
    assert "2 of 3 trained runs were compared" in page(content(runs))
    shown = page(content([make_record(), Record(**{**vars(runs[1]), "hashes": {**runs[1].hashes, "batches": []}})]))
    assert shown.count("2 of 2 trained runs were") == 3 and shown.count("0 of 2 trained runs were") == 1


def test_arms_that_chose_different_depths_do_not_count_as_verified() -> None:
    tuned = views(frame(tuned_records(DEPTH)), DEPTH)[TUNED]
    study = Study(tuned, Question(), view="tuned")
    shown = page(PageContent(experiment="tuned", study=study, tables=[]))
    shown = re.sub("<[^>]*>", "", shown)
    assert "parameters of everything that is not a norm. 0 of 6 trained runs were compared" in shown
    assert "The dataset. 6 of 6 trained runs were compared" in shown


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
    every = (*STYLES.values(), *OTHER_STYLES, CONTROL_STYLE)
    assert {style.marker for style in every} == set(SYMBOLS) and {style.color for style in every} == set(PALETTE)
    for style in every:
        made = mark(style)
        graph_objects.Scatter(
            marker={"symbol": made["symbol"], "size": made["size"]}, line={"dash": made["dash"], "width": made["width"]}
        )


def luminance(color: str) -> float:
    """Relative luminance as WCAG 2 defines it."""
    channels = (int(color[place : place + 2], 16) / 255 for place in (1, 3, 5))
    linear = [channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4 for channel in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("dark", [False, True])
def test_contrasts_are_readable_in_light_and_dark(dark: bool) -> None:
    rules = re.findall(r"color-scheme: \w+; (--ink.*?--edge: #\w+);", text())
    colors = dict(re.findall(r"--(\w+): (#\w+)", rules[dark]))
    colors = {
        name: color if len(color) == 7 else "#" + "".join(2 * digit for digit in color[1:])
        for name, color in colors.items()
    }
    marks = {name: PALETTE[name][dark] for name in PALETTE}

    def contrast(one: str, other: str) -> float:
        light, shade = sorted((luminance(one), luminance(other)), reverse=True)
        return (light + 0.05) / (shade + 0.05)

    for name in ("ink", "soft", "accent"):  # WCAG AA for text
        assert contrast(colors[name], colors["paper"]) >= 4.5 and contrast(colors[name], colors["wash"]) >= 4.5, name
    for name in (
        ("blue", "vermilion", "green", "black", "grey") if not dark else marks
    ):  # AA for graphics; on white three of
        assert contrast(marks[name], colors["paper"]) >= 3, (
            name
        )  # the safe palette are lighter, and dashes and markers help
    assert contrast(colors["edge"], colors["paper"]) >= 3
