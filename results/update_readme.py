"""Puts the gallery's table into the README, between its markers. Run it after the gallery was made again."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- table: begin -->\n", "<!-- table: end -->"


def with_table(readme: str, table: str) -> str:
    """The README's text with the table between the markers."""
    head, rest = readme.split(BEGIN)
    _, tail = rest.split(END)
    return f"{head}{BEGIN}{table.strip()}\n{END}{tail}"


if __name__ == "__main__":
    readme = ROOT / "README.md"
    table = (ROOT / "results" / "gallery" / "small_batch" / "table.md").read_text()
    readme.write_text(with_table(readme.read_text(), table))
