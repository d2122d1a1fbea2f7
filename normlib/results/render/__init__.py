"""A table as Markdown, CSV, LaTeX, terminal text or HTML."""
