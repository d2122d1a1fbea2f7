"""What mkdocs builds beside the pages of docs/: files of the repository that pages point to, and the gallery's interactive page.

Documents link to each other as files of the repository, so that the links work on GitHub. A file of docs/ has its place in the site
below docs/, any other the one that it has in the repository. Links are rewritten to that; a link to a file that is no part of the
site goes to the repository.
"""

from __future__ import annotations

import functools
import posixpath
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import equations
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("CHANGELOG.md", "CONTRIBUTING.md", "results/README.md")
"""Documents outside docs/ that are pages of the site."""
FIGURES = "results/gallery/*/figures/*"
INTERACTIVE = "results/gallery/small_batch/report.html"
LINK = re.compile(r"(\]\(|src=\")([^)\s\"#]+)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Equations are shown in documents and in docstrings."""
    config.markdown_extensions.append(equations.Equations())  # type: ignore[arg-type]  # Markdown takes instances too
    fences = config.mdx_configs.setdefault("pymdownx.superfences", {}).setdefault("custom_fences", [])
    fences.append({"name": "math", "class": "math", "format": equations.fence})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the documents and figures outside docs/, and the interactive page, which is made from the records now."""
    for path in (*(ROOT / name for name in PAGES), *sorted(ROOT.glob(FIGURES))):
        name = path.relative_to(ROOT).as_posix()
        files.append(File.generated(config, name, abs_src_path=str(path)))
    files.append(File.generated(config, INTERACTIVE, content=interactive_page()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """A page's text, its links to files of the repository rewritten to those of the site or of the repository's host."""
    source = page.file.src_uri
    inside = source if (ROOT / source).is_file() else f"docs/{source}"

    def rewritten(link: re.Match[str]) -> str:
        site = str(config.site_url)
        from_root = link[2].removeprefix(site) if link[2].startswith(site) else None
        target = posixpath.normpath(from_root or posixpath.join(posixpath.dirname(inside), link[2]))
        in_site = target.removeprefix("docs/")
        if files.get_file_from_path(in_site):
            return link[1] + posixpath.relpath(in_site, posixpath.dirname(source) or ".")
        if (ROOT / target).exists():
            kind = "tree" if (ROOT / target).is_dir() else "blob"
            return f"{link[1]}{config.extra['repository']}/{kind}/main/{target}"
        return link[0]

    return LINK.sub(rewritten, markdown)


@functools.cache
def interactive_page() -> bytes:
    """The page that `normlib report` makes of the gallery's records."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "normlib", "report", str((ROOT / INTERACTIVE).parent), "--to", folder]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"`{' '.join(command)}` ended with {done.returncode}:\n{done.stderr}")
        return (Path(folder) / "report.html").read_bytes()
