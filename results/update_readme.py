"""Writes what documents show of the gallery: the README's headline, between its markers, and docs/gallery.md as a whole.

Run it after the gallery was made again:

    python results/update_readme.py
"""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GALLERY = ROOT / "results" / "gallery" / "small_batch"
BENCH = ROOT / "results" / "gallery" / "bench"
SITE = "https://normlib.github.io/normlib/"
BEGIN, END = "<!-- results: begin -->\n", "<!-- results: end -->"
FIGURES = {
    "accuracy": "Test accuracy against batch size, a line for each norm",
    "differences": "Difference of each norm to batch norm, in points",
    "learning_curves": "Validation accuracy along the run",
}
SHOWN = ("accuracy", "differences")
"""The tables that stand open on the page; the others are folded."""
LEAD = """# Gallery

Finished comparisons, committed with every record. `python results/update_readme.py` writes this page from them.

## The default experiment

Six norms and a control, in a perceptron and in a small convolutional network, on images of digits, at five batch sizes and with eleven seeds.
`normlib compare` makes it in about two minutes on two cores. [Read the results](../results/README.md) explains the words and
the marks; [Words](glossary.md) is shorter.

**[Open the interactive page]({page})**: tables to sort, figures to point at, every comparison in words. It is one file of 5 MB and
works offline. `normlib report results/gallery/small_batch --open` makes it from a checkout.

> {headline}
"""
WHY = """On the perceptron, batch norm sees one value for each sample, and its accuracy falls with the batch. Batch renorm falls less. The norms
that look at one sample at a time do not fall. On the convolutional network the statistics see every position, and nothing falls. At
batch 128 all lines fall for another reason: one epoch has only ten updates there, and batch norm makes the most of few.
"""
CHOSEN = """### How its settings were chosen

By hand, on validation accuracy, on seeds apart from those reported. Looked at were depths 3 to 6, widths 8 to 128, one and two epochs, SGD and
AdamW, rates 0.003 to 0.1, and linear and square-root rules. Chosen were AdamW without decay, a rate of 0.005 at batch 32 that follows the
square root of the batch, cosine decay and one epoch; a perceptron of 4 layers of 128 units, and a plain convolutional network of 3 layers.

With SGD, the linear rule and a rate of 0.1, the fall at batch 128 came from the rate: group norm fell to 17 % where batch norm held 95 %. At
0.005 it comes from the budget: in two epochs every arm of the perceptron gets to between 94 and 97 % there. `normlib compare
experiment=tuned_rate` shows what one rate for all arms hides.

Running averages look back over 320 samples at every batch size, which is torch's momentum of 0.1 at batch 32. With 0.1 everywhere, batch 2
would also be judged by averages over 20 samples. Batch renorm's schedule counts in fractions of the run, because the paper's 5,000 steps
of plain batch norm would be all of it. There are eleven seeds, because a table of 30 comparisons needs as many before any can pass the correction.
"""
COST = """## What a norm costs

`normlib bench` on one machine. The figure shows times beside those of `torch.nn` and of a copy of the same bytes. The
[tables](../results/gallery/bench/tables/cost.md) hold every shape, layout and pass.

{figure}
"""


def headline() -> str:
    """The first verdict of the default experiment."""
    return (GALLERY / "verdicts.md").read_text(encoding="utf-8").splitlines()[0]


def results_section() -> str:
    """The README's part: the headline as a quotation, and where the tables are."""
    page = f"{SITE}results/gallery/small_batch/report.html"
    return f"> {headline()}\n\nEvery table is in the [gallery](docs/gallery.md), and on an [interactive page]({page})."


def with_results(readme: str, section: str) -> str:
    """The README's text with the section between the markers."""
    head, rest = readme.split(BEGIN)
    _, tail = rest.split(END)
    return f"{head}{BEGIN}{section}\n{END}{tail}"


def gallery_page() -> str:
    """The text of docs/gallery.md: verdict, figures, the main tables, and the other tables folded."""
    folder = GALLERY.relative_to(ROOT).as_posix()
    parts = [LEAD.format(headline=headline(), page=f"{SITE}{folder}/report.html")]
    parts += [f"![{words}](../{folder}/figures/{name}.png)\n" for name, words in FIGURES.items()]
    parts += [WHY, CHOSEN, *map(table, SHOWN), "## Other tables\n"]
    others = sorted({path.stem for path in (GALLERY / "tables").glob("*.md")} - set(SHOWN))
    parts += [f"<details markdown>\n<summary>{title(name)}</summary>\n\n{table(name)}\n</details>\n" for name in others]
    figure = f"![Time of each norm](../{BENCH.relative_to(ROOT).as_posix()}/figures/cost.png)"
    return "\n".join([*parts, COST.format(figure=figure)])


def table(name: str) -> str:
    """One table of the default experiment with its notes."""
    return (GALLERY / "tables" / f"{name}.md").read_text(encoding="utf-8").strip() + "\n"


def title(name: str) -> str:
    """The first heading of a table, which may have one for each network, without the network."""
    return re.sub(", model=[a-z]+", "", table(name).splitlines()[0].removeprefix("### "))


def documents() -> dict[Path, str]:
    """Every document that shows the gallery, with its text."""
    readme = ROOT / "README.md"
    return {
        readme: with_results(readme.read_text(encoding="utf-8"), results_section()),
        ROOT / "docs" / "gallery.md": gallery_page(),
    }


if __name__ == "__main__":
    for path, text in documents().items():
        path.write_text(text, encoding="utf-8")
