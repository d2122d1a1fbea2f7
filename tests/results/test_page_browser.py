"""Checks the page in a real browser: it draws, sorts, hides, answers to the keyboard, fits a phone, and is not harmed by names.

Skipped where selenium, Chromium or its driver is missing.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from normlib.results.contents import make_figures
from normlib.results.page import PageContent, page
from normlib.results.plots.style import PALETTE
from tests.results.figure_studies import STUDIES
from tests.results.page_content import HOSTILE, IMAGE, content, records

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
Keys = pytest.importorskip("selenium.webdriver.common.keys").Keys
WebDriverWait = pytest.importorskip("selenium.webdriver.support.ui").WebDriverWait
BROWSER = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
DRIVER = shutil.which("chromedriver")

pytestmark = [
    pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed"),
    pytest.mark.skipif(DRIVER is None, reason="no chromedriver is installed"),
]

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1280,900",
)  # fmt: skip
WAIT_SECONDS = 20
"""For a plot to be drawn; a loaded machine is slow, and only a broken page takes so long."""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """One headless browser with a profile of its own."""
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    log = os.devnull  # the browser itself grumbles about the machine's missing services
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=DRIVER, log_output=log))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    path: Path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(page(content(records())), encoding="utf-8")
    return path.as_uri()


@pytest.fixture
def opened(browser: Any, address: str) -> Any:
    """The page, freshly loaded in a window of 1280 by 900, with everything open and every plot drawn."""
    load(browser, address)
    click(browser, browser.find_element("id", "open-all"))
    draw_all(browser)
    return browser


def load(browser: Any, address: str, scheme: str = "light") -> None:
    resize(browser, 1280, 900)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    browser.get("about:blank")  # another fragment of the same page would not load it again
    browser.get(address)


def resize(browser: Any, width: int, height: int) -> None:
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def draw_all(browser: Any, plots: str = "figure.plot") -> None:
    """Scroll from plot to plot as a reader does, and wait until each is drawn."""
    for plot in browser.find_elements("css selector", plots):
        browser.execute_script("arguments[0].scrollIntoView()", plot)
        WebDriverWait(browser, WAIT_SECONDS, poll_frequency=0.02).until(
            lambda _, plot=plot: "drawn" in plot.get_attribute("class")
        )


def click(browser: Any, element: Any) -> None:
    """Click an element that has been scrolled to the middle, clear of the bar that stays at the top."""
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", element)
    element.click()


def column(browser: Any, place: int, table: str = "#main table") -> list[str]:
    """The texts of a column of the first such table, hidden rows left out."""
    script = (
        "return [...document.querySelector(arguments[0]).tBodies[0].rows].filter(row => !row.hidden)"
        ".map(row => row.cells[arguments[1]].textContent.trim())"
    )
    return list(browser.execute_script(script, table, place))


def num_lines(browser: Any) -> list[int]:
    """How many lines with markers each canvas shows; bands have no marker, rings no line."""
    script = "return [...document.querySelectorAll('.canvas')].map(c => c.querySelectorAll('.trace:has(.lines path) .points:has(path)').length)"
    return list(browser.execute_script(script))


def visible_rows(browser: Any, arm: str) -> int:
    return int(
        browser.execute_script(
            "return [...document.querySelectorAll('tr')].filter(r => r.dataset.arm === arguments[0] && !r.hidden).length",
            arm,
        )
    )


def choose(browser: Any, plot: str, choice: str, value: str) -> None:
    """Choose a value in one of a plot's selects, as a reader does."""
    script = """const select = document.querySelector(`[data-plot=${arguments[0]}] [data-choice=${arguments[1]}]`);
        select.value = arguments[2]; select.dispatchEvent(new Event('change', {bubbles: true}));"""
    browser.execute_script(script, plot, choice, value)


def checkbox(browser: Any, arm: str) -> Any:
    return next(
        box for box in browser.find_elements("css selector", "#filter input") if box.get_property("value") == arm
    )


def test_it_draws_every_description_without_a_word_and_asks_nobody(browser: Any, tmp_path: Path) -> None:
    studies = {
        name: STUDIES[name]()
        for name in ("plain", "categories", "ordered", "diverged", "without figures", "one run", "hostile")
    }
    for name, study in studies.items():
        path = tmp_path / "report.html"
        path.write_text(
            page(PageContent(experiment=name, study=study, tables=[], figures=make_figures([study]))), encoding="utf-8"
        )
        load(browser, path.as_uri())
        click(browser, browser.find_element("id", "open-all"))
        draw_all(browser)
        assert browser.get_log("browser") == [], name
        assert browser.execute_script("return performance.getEntriesByType('resource').length") == 0
        faults = "return [...document.querySelectorAll('.canvas')].map(c => (Plotly.validate(c.data, c.layout) ?? []).map(fault => fault.msg).join()).join('')"
        assert browser.execute_script(faults) == "", name
        modes, rings = browser.execute_script(
            """const data = document.querySelector('figure.plot .canvas').data;
            return [data[0].mode, data.filter(each => each.marker.symbol === 'circle-open').map(each => each.x.length)]"""
        )
        assert modes == ("markers" if name == "categories" else "lines+markers")
        assert sum(rings) == (2 if name in ("diverged", "without figures") else 0), name


def test_what_is_folded_away_is_drawn_when_it_is_opened_and_links_open_it(browser: Any, address: str) -> None:
    load(browser, address)
    draw_all(browser, "#main figure.plot")
    parts = browser.find_elements("css selector", "details.part")
    assert parts and all(part.get_attribute("open") is None for part in parts)
    folded = "return document.querySelectorAll('details figure.plot.drawn').length"
    assert browser.execute_script(folded) == 0
    browser.find_element("css selector", "nav a[href='#gap']").click()
    assert browser.find_element("id", "gap").get_attribute("open") is not None
    draw_all(browser, "#gap figure.plot")
    assert browser.execute_script(folded) == 1 and num_lines(browser)[-1] >= 0
    load(browser, address + "#cost-table-1")
    assert browser.find_element("id", "cost").get_attribute("open") is not None, (
        "an address with a fragment opens it too"
    )


def test_a_word_is_explained_without_a_mouse(browser: Any, address: str) -> None:
    load(browser, address)
    button = browser.find_element("css selector", ".word[popovertarget=word-arm]")
    meaning = browser.find_element("id", "word-arm")
    assert not meaning.is_displayed()
    button.send_keys(Keys.ENTER)
    assert meaning.is_displayed() and "One norm with its settings" in meaning.text
    button.send_keys(Keys.ESCAPE)
    assert not meaning.is_displayed()


def test_dark_mode_reaches_plots_and_paper_is_white(browser: Any, address: str) -> None:
    load(browser, address, "dark")
    draw_all(browser, "#main figure.plot")
    read = """const canvas = document.querySelector('#main .canvas');
        return [getComputedStyle(document.documentElement).backgroundColor, canvas.layout.paper_bgcolor, canvas.layout.font.color, canvas.data.map(trace => trace.line?.color)];"""
    dark = browser.execute_script(read)
    assert dark[0] == "rgb(24, 24, 23)" and dark[1:3] == ["#181817", "#eceae4"] and PALETTE["blue"][1] in dark[3]
    browser.execute_script("window.dispatchEvent(new Event('beforeprint'))")
    white = browser.execute_script(read)
    assert white[1:3] == ["#fff", "#1c1c1a"] and PALETTE["blue"][0] in white[3]
    assert (
        browser.execute_script(
            "return document.querySelectorAll('details:not([open]), figure.plot:not(.drawn)').length"
        )
        == 0
    )
    browser.execute_script("window.dispatchEvent(new Event('afterprint'))")
    assert browser.execute_script(read) == dark
    features = [{"name": "prefers-color-scheme", "value": "light"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    assert browser.execute_script(read)[1] == "#fff", "it follows the reader's choice at once"


def test_a_policy_stands_behind_the_escaping(opened: Any) -> None:
    """What a forgotten escape would let in does not run."""
    opened.execute_script(
        """document.body.insertAdjacentHTML('beforeend', '<img src="data:," onerror="window.harmed = 1">');
        const script = document.createElement('script'); script.textContent = 'window.harmed = 2'; document.body.append(script);"""
    )
    assert opened.execute_script("return window.harmed") is None
    assert [entry["level"] for entry in opened.get_log("browser")] != []  # the browser reports what it refused


def test_hostile_names_do_nothing_and_show_as_letters(opened: Any) -> None:
    assert opened.execute_script("return window.harmed") is None
    assert opened.execute_script("return document.querySelectorAll('img, main script').length") == 0
    for place, name in enumerate((HOSTILE, IMAGE)):
        assert name in column(opened, 0)
        assert name in opened.find_element("id", "filter").get_property("textContent")
        hover = opened.execute_script(
            """const canvas = document.querySelectorAll('#main .plot .canvas')[arguments[0]];
            const found = canvas.data.findIndex(trace => trace.text[0].includes(arguments[1]));
            Plotly.Fx.hover(canvas, [{curveNumber: found, pointNumber: 0}]);
            return canvas.querySelector('.hovertext').textContent;""",
            place, "onerror" if name == IMAGE else "alert",
        )  # fmt: skip
        assert name in hover and "seed 2: 8" in hover
    assert opened.execute_script("return window.harmed") is None


def test_sorting_goes_by_numbers_both_ways_and_leaves_the_missing_last(opened: Any) -> None:
    before = column(opened, 1, "#main figure.sheet table")
    button = opened.find_element("css selector", "#main figure.sheet th:nth-child(2) button")
    heading = button.find_element("xpath", "..")
    orders = []
    for direction in ("ascending", "descending"):
        click(opened, button)
        assert heading.get_attribute("aria-sort") == direction
        orders.append(column(opened, 1, "#main figure.sheet table"))
    assert before not in orders and orders[0] != orders[1]
    for order, descending in zip(orders, (False, True), strict=True):
        numbers = [float(cell.split()[0]) for cell in order if cell[0].isdigit()]
        assert numbers == sorted(numbers, reverse=descending) and len(numbers) == 4
        assert order[-1].startswith("skipped")


def test_a_checkbox_hides_a_norm_everywhere_and_shows_it_again(opened: Any) -> None:
    lines, rows = num_lines(opened), visible_rows(opened, "group")
    checkbox(opened, "group").click()
    assert rows > 0 and visible_rows(opened, "group") == 0
    assert num_lines(opened) == [number - 1 for number in lines]
    assert opened.find_element("css selector", "[data-toggle=group]").get_attribute("aria-pressed") == "false"
    checkbox(opened, "group").click()
    assert visible_rows(opened, "group") == rows and num_lines(opened) == lines


def test_a_click_on_a_legend_hides_a_norm_everywhere_also_in_what_is_drawn_later(browser: Any, address: str) -> None:
    load(browser, address)
    draw_all(browser, "#main figure.plot")
    before = num_lines(browser)
    click(browser, browser.find_element("css selector", "#main [data-toggle=group]"))
    assert visible_rows(browser, "group") == 0 and not checkbox(browser, "group").is_selected()
    click(browser, browser.find_element("id", "open-all"))
    draw_all(browser)
    hidden = num_lines(browser)
    browser.find_element("id", "show-all").click()
    draw_all(browser)
    assert [number - 1 for number in num_lines(browser)] == hidden and num_lines(browser)[:2] == before[:2]


def test_the_keyboard_sorts_and_hides(browser: Any, address: str) -> None:
    load(browser, address)
    browser.find_element("tag name", "body").send_keys(Keys.TAB)
    assert browser.switch_to.active_element.text == "Skip to the verdict"
    for _ in range(60):
        active = browser.switch_to.active_element
        if active.get_property("value") == "group":
            active.send_keys(Keys.SPACE)
        if browser.execute_script("return arguments[0].closest('th') !== null", active):
            break
        active.send_keys(Keys.TAB)
    assert visible_rows(browser, "group") == 0
    assert browser.execute_script("return getComputedStyle(arguments[0]).outlineStyle", active) == "solid"
    active.send_keys(Keys.ENTER)
    assert active.find_element("xpath", "..").get_attribute("aria-sort") == "ascending"
    before = column(browser, 0)
    active.send_keys(Keys.ENTER)
    assert column(browser, 0) == before[::-1] and before[-2:] == ["batch", "layer"]


def test_curves_can_be_set_against_another_axis_and_condition(opened: Any) -> None:
    read = (
        "const c = document.querySelector('#speed .canvas'); return [c.layout.xaxis.title.text, c.data.at(-1).x.at(-1)]"
    )
    assert opened.execute_script(read) == ["training samples seen", 5 * 648 * 2]
    choose(opened, "learning_curves", "axis", "1")
    assert opened.execute_script(read) == ["optimizer steps", 5 * 648]
    choose(opened, "learning_curves", "column", "batch size 128")
    assert opened.execute_script(read) == ["optimizer steps", 5 * 10]


def test_panels_have_scales_of_their_own_or_one(opened: Any) -> None:
    read = "return [...document.querySelectorAll('[data-plot=differences] .canvas')].map(c => c.layout.yaxis.range)"
    own = opened.execute_script(read)
    choose(opened, "differences", "scale", "0")
    common = opened.execute_script(read)
    assert common[0] == common[1] and own[0] != own[1]
    ticks = "return document.querySelector('[data-plot=differences] .canvas').layout.yaxis.ticktext"
    assert "−5" in opened.execute_script(ticks) and "0" in opened.execute_script(ticks), "log beyond ±2"


@pytest.mark.parametrize(("width", "height"), [(360, 740), (1280, 900)])
def test_the_page_does_not_scroll_sideways(browser: Any, address: str, width: int, height: int) -> None:
    load(browser, address)
    resize(browser, width, height)
    click(browser, browser.find_element("id", "open-all"))
    draw_all(browser)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert browser.execute_script(
        "return [...document.querySelectorAll('.scroll')].every(s => s.clientWidth <= innerWidth)"
    )
