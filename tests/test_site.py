"""Checks the documentation as a site: it builds without a warning, all that its pages point to is there, and nothing is asked of others.

Without mkdocs (`pip install -e ".[docs]"`) only what needs no build is checked.
"""

from __future__ import annotations

import html.parser
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import normlib
import normlib.callbacks
import normlib.testing
from tests.pages import ROOT, page

REFERENCE = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "reference").glob("*.md"))
LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}
"""Elements that a browser loads by itself, with the attribute that says from where."""


@pytest.mark.parametrize("module", [normlib, normlib.callbacks, normlib.testing], ids=lambda module: module.__name__)
def test_every_public_name_is_in_the_reference(module: object) -> None:
    documented = re.findall(rf"^::: {module.__name__}\.(\w+)$", REFERENCE, re.MULTILINE)
    assert sorted(documented) == sorted({*module.__all__, *getattr(module, "_PUBLIC", ())} - {"__version__"}), (
        "each public name has a line `::: …` on one page of docs/reference/"
    )


def test_every_page_is_in_the_navigation() -> None:
    """Strict builds say so too; this holds where mkdocs is not installed."""
    navigation = page("mkdocs.yml").partition("\nnav:\n")[2]
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert pages - set(re.findall(r"([\w/]+\.md)$", navigation, re.MULTILINE)) == set(), "add these to mkdocs.yml"


def test_links_between_documents_name_files_of_the_repository() -> None:
    """As GitHub shows them; the site rewrites them from there."""
    documents = [*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md"), ROOT / "results" / "README.md"]
    for document in documents:
        text = re.sub(r"^```.*?^```$", "", document.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
        for link in re.findall(r"\]\(([^)\s#]+)", text):
            assert urlsplit(link).scheme or (document.parent / link).exists(), f"{document.name}: {link}"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built strictly: a warning ends the build, as long as it may be heard, so not with --quiet."""
    pytest.importorskip("mkdocs", reason='the site needs `pip install -e ".[docs]"`')
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


class _Page(html.parser.HTMLParser):
    """The addresses of a page: what is loaded with it, what it links to, and its anchors."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.anchors |= {found.get("id") or "", found.get("name") or ""}
        if tag in LOADED and found.get("rel") not in ("canonical", "prev", "next"):
            self.loaded.append(found.get(LOADED[tag]) or "")
        elif tag == "a":
            self.links.append(found.get("href") or "")


def test_all_that_pages_point_to_is_there_and_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    pages = {path: _Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html") if path.name != "404.html"}
    assert len(pages) > 20
    for path, shown in pages.items():
        for address in (*shown.loaded, *shown.links):
            parts = urlsplit(address)
            if parts.scheme:
                assert address not in shown.loaded or parts.scheme == "data", f"{path.name} loads {address}"
                assert not address.startswith("http:"), f"{path.name}: {address}"
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            assert target.is_file(), f"{path.name}: {address}"
            if parts.fragment and target in pages:
                assert unquote(parts.fragment) in pages[target].anchors, f"{path.name}: {address}"


def test_equations_are_shown_and_the_gallery_has_its_page(site: Path) -> None:
    norms = (site / "norms.html").read_text(encoding="utf-8")
    assert norms.count('display="block"') >= 20 and "$`" not in norms
    reference = (site / "reference" / "norms.html").read_text(encoding="utf-8")
    assert "<math" in reference and ":math:" not in reference and ".. math::" not in reference
    assert ".. code-block::" not in "".join(p.read_text(encoding="utf-8") for p in site.glob("reference/*.html"))
    report = (site / "results" / "gallery" / "small_batch" / "report.html").read_text(encoding="utf-8")
    assert "batch_renorm_fraction" in report and 'href="results/gallery/small_batch/report.html"' in (
        site / "gallery.html"
    ).read_text(encoding="utf-8")
