"""Puts the gallery's first verdict and its tables into the README, between the markers. Run it after the gallery was made again."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GALLERY = ROOT / "results" / "gallery" / "small_batch"
BEGIN, END = "<!-- results: begin -->\n", "<!-- results: end -->"


def results_section(folder: Path) -> str:
    """The headline of an experiment's verdicts, as a quotation, its main tables, and the differences to the baseline."""
    headline = (folder / "verdicts.md").read_text(encoding="utf-8").splitlines()[0]
    tables = (
        (folder / "tables" / f"{name}.md").read_text(encoding="utf-8").strip() for name in ("accuracy", "differences")
    )
    return "\n\n".join([f"> {headline}", *tables])


def with_results(readme: str, section: str) -> str:
    """The README's text with the section between the markers."""
    head, rest = readme.split(BEGIN)
    _, tail = rest.split(END)
    return f"{head}{BEGIN}{section}\n{END}{tail}"


if __name__ == "__main__":
    readme = ROOT / "README.md"
    readme.write_text(with_results(readme.read_text(encoding="utf-8"), results_section(GALLERY)), encoding="utf-8")
