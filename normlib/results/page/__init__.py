"""The page of a report: one HTML file that opens offline, with everything a reader asks of a comparison."""

from normlib.results.page.page import PageContent, page

__all__ = ["PageContent", "page"]
