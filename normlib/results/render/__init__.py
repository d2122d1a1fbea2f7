"""Renderers: any tables as Markdown, CSV, LaTeX, HTML, or for a terminal. They compute nothing and word no result."""

from normlib.results.render.csv import tidy_csv
from normlib.results.render.latex import latex
from normlib.results.render.markdown import markdown

FILES = {".md": markdown, ".csv": tidy_csv, ".tex": latex}
"""The renderers of files, by the ending of the file."""
