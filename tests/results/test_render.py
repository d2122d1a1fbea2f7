"""Checks the renderers: a golden Markdown table, the tidy CSV, terminals, LaTeX as TeX sets it, and hostile names kept harmless."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from rich.console import Console

from normlib.results.render.csv import tidy_csv
from normlib.results.render.html import html_table
from normlib.results.render.latex import LONGEST_FLOAT, Width, latex
from normlib.results.render.markdown import markdown
from normlib.results.render.terminal import terminal
from normlib.results.store.record import Record
from normlib.results.tables.model import Column, Table
from tests.results.factories import main_tables, make_record, tables_of
from tests.results.test_every_table import everything

REASON = "instance norm needs positions"
CSV_COLUMNS = (
    "section", "arm", "column", "updates", "value", "mean", "half_width", "n", "trained",
    "diverged", "failed", "skipped", "skip_reason", "in_best",
)  # fmt: skip


def _records() -> list[Record]:
    sizes = {"batch": {2: 0.5, 32: 0.9}, "group": {2: 0.9, 32: 0.9}}
    records = [
        make_record(norm=norm, batch_size=size, seed=seed, accuracy=accuracy + seed / 100)
        for norm, accuracies in sizes.items()
        for size, accuracy in accuracies.items()
        for seed in range(3)
    ]
    records[0] = make_record(norm="batch", batch_size=2, seed=0, accuracy=0.1, status="diverged")
    records[4] = make_record(norm="batch", batch_size=32, seed=1, status="failed", reason="killed")
    return records + [
        make_record(norm="instance", batch_size=size, seed=seed, status="skipped", reason=REASON)
        for size in (2, 32)
        for seed in range(3)
    ]


# batch at 2: 0.1, 0.51, 0.52 and at 32: 0.9, 0.92 (t with 1 degree: 12.7062 × 0.01); group: x, x+0.01, x+0.02.
# At 2, group - batch is 0.80, 0.40, 0.40: mean 0.533, half-width 4.303 × 0.231 / sqrt(3) = 0.574; so three seeds cannot
# tell batch, broken once, from group.
GOLDEN = """\
### Test accuracy in %

| norm \\ data.batch_size | 2 (3240 updates) | 32 (200 updates) |
|:---|---:|---:|
| batch | **37.7 ± 59.5, diverged 1/3** | **91.0 ± 12.7 (n=2), failed 1/3** |
| group | **91.0 ± 2.5** | **91.0 ± 2.5** |
| instance | skipped¹ | skipped¹ |

- A row is an arm: one normalization with its parameters. A column is a condition: one choice of data.batch_size, the same for every arm.
- Mean over seeds ± half-width of its 95 % t interval; n = 3, unless a cell says otherwise.
- Bold: no clear difference to the highest mean of its column (higher is better). The 95 % t interval of the seed-by-seed difference \
contains 0; with one seed, all are bold.
- diverged k/n: in k of n trained runs the loss was no longer finite; they count with what the broken network scores.
- failed k/n: k of n runs stopped with an error and have no figures; `compare` tries again.
- ¹ skipped: instance norm needs positions
- Test set: 250 samples, one is 0.4 points.
- Trunk parameters: 92,682 in every row.
- Norm parameters: 1,536 in every row.
- The same in all runs: model=mlp, data=digits, task=classification, optimizer=sgd.
"""


def test_markdown_golden() -> None:
    assert markdown(main_tables(_records())) == GOLDEN


def test_the_csv_is_tidy_and_unrounded() -> None:
    tables = main_tables(_records())
    rows = list(csv.DictReader(io.StringIO(tidy_csv(tables))))
    assert tuple(rows[0]) == CSV_COLUMNS and len(rows) == 6
    batch = next(row for row in rows if (row["arm"], row["column"]) == ("batch", "2"))
    assert float(batch["mean"]) == tables_of(_records())[0].cell("batch", "2").mean
    assert (batch["n"], batch["diverged"], batch["updates"], batch["value"]) == ("3", "1", "3240", "test.accuracy")
    skipped = next(row for row in rows if row["arm"] == "instance")
    assert (skipped["mean"], skipped["half_width"], skipped["n"], skipped["skipped"]) == ("", "", "0", "3")


def test_the_terminal_shows_the_same_table() -> None:
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(terminal(main_tables(_records())))
    text = console.export_text()
    for words in ("37.7 ±59.5", "diverged 1/3", "skipped¹", REASON, "(3240)", "data.batch_size"):
        assert words in text


def test_one_seed_is_shown_without_a_width() -> None:
    text = markdown(main_tables([make_record(norm="batch"), make_record(norm="group", accuracy=0.8)]))
    assert "| batch | **90.0** |" in text and "Mean over seeds; n = 1." in text


def test_other_quantities_keep_their_unit() -> None:
    text = markdown(main_tables([make_record(seed=seed) for seed in range(2)], value="seconds_per_step"))
    assert "### Seconds per step" in text and "| batch | 0.0004 ± 0 |" in text and "%" not in text.split("\n- ")[0]


def test_hostile_names_do_no_harm() -> None:
    name = "<script>|*x*[bold]"
    tables = main_tables([make_record(norm=name, status="skipped", reason="a|b\n<c>")])
    text = markdown(tables)
    assert "<script>" not in text and "\\|\\*x\\*[bold]" in text and "a\\|b &lt;c>" in text
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(terminal(tables))
    assert name in console.export_text()
    assert "<script>" not in html_table(tables[0]) and "&lt;script&gt;|*x*[bold]" in tables[0]._repr_html_()


def test_no_tables_make_no_text() -> None:
    assert markdown([]) == tidy_csv([]) == latex([]) == ""


def test_where_bold_cannot_be_shown_a_star_stands_for_it() -> None:
    tables = main_tables([make_record(norm=norm, seed=seed) for norm in ("batch", "group") for seed in range(3)])
    plain, styled = (Console(width=120, file=io.StringIO()) for _ in range(2))
    plain.print(terminal(tables, styled=False))
    styled.print(terminal(tables))
    assert "*: no clear difference" in plain.file.getvalue()
    assert "*" not in styled.file.getvalue()


def test_a_long_name_of_an_arm_leaves_room_for_the_figures() -> None:
    records = [
        make_record(norm="an_arm_with_" + "a_very_" * 12 + "long_name", batch_size=size) for size in (2, 4, 8, 32)
    ]
    console = Console(width=80, file=io.StringIO())
    console.print(terminal(main_tables(records)))
    assert console.file.getvalue().count("90.0") == 4


HOSTILE = r"50 % of $x_1$ & {y} #~^\end{table}<|> ± ² – ¹²"
ARM_AND_2 = (Column("arm", "arm", label=True), Column("2", "figure", "{:+.1f}", strong=lambda row: row["figure"] < 0))


def _long(lines: int, **row: object) -> Table:
    rows = [{"arm": f"arm_{number}", "figure": number, **row} for number in range(lines)]
    return Table(name="long", title="A table", columns=ARM_AND_2, rows=rows, notes=("What it is.", "And more"))


def test_latex_has_a_short_caption_notes_below_and_no_name_that_is_a_command() -> None:
    table = Table(
        name="mine", title="A title", columns=ARM_AND_2, rows=[{"arm": HOSTILE, "figure": -1}], notes=(HOSTILE,)
    )
    safe = (
        r"50 \% of \$x\_1\$ \& \{y\} \#\textasciitilde{}\textasciicircum{}\textbackslash{}end\{table\}"
        r"\textless{}\textbar{}\textgreater{} $\pm$ $^{2}$ -- $^{12}$"
    )
    text = latex([table])
    assert r"\caption{A title}\label{tab:mine-a-title}" in text
    row, notes = text.index(safe), text.rindex(safe + ".")
    assert row < text.index(r"\end{tabular}") < notes and r"& \textbf{-1.0} \\" in text
    assert latex([Table(name="mine", title="Nothing to compare", notes=("Choose one.",))]) == ""


def test_latex_labels_are_stable_and_unique() -> None:
    tables = list(everything())
    labels = re.findall(r"\\label\{(.*?)\}", latex(tables))
    assert len(set(labels)) == len(labels) == sum(bool(table.lines) for table in tables)
    assert set(re.findall(r"\\label\{(.*?)\}", latex(tables[:1]))) <= set(labels)
    assert re.findall(r"\\label\{(.*?)\}", latex([_long(2), _long(2)])) == ["tab:long-a-table", "tab:long-a-table-2"]


def test_a_table_takes_the_column_if_it_can_the_page_if_it_must_and_a_longtable_if_it_is_long() -> None:
    wide = Table(title="Wide", columns=(ARM_AND_2[0], *(Column(f"{n}", "figure", "{:.12f}") for n in range(8))),
                 rows=[{"arm": "a", "figure": 0.5}])  # fmt: skip
    environments = [
        re.findall(r"\\begin\{(table\*?|longtable)\}", latex([each])) for each in (_long(2), wide, _long(99))
    ]
    assert environments == [["table"], ["table*"], ["longtable"]]
    assert r"\begin{table*}" in latex([_long(2)], width="text")


@pytest.mark.skipif(
    shutil.which("pdflatex") is None, reason="no pdflatex on this machine (texlive-latex-recommended has all it needs)"
)
@pytest.mark.parametrize("width", ["column", "text"])
def test_tex_sets_every_table_within_its_column(width: Width, tmp_path: Path) -> None:
    prose = "a reason of many words, as an error message may be, which has to break its line " * 3
    long = _long(2 * LONGEST_FLOAT, arm=prose[:60])
    mine = Table(
        name="mine",
        title=HOSTILE,
        columns=ARM_AND_2,
        rows=[{"arm": HOSTILE, "figure": 1}, {"arm": prose, "figure": 2}],
        notes=(HOSTILE,),
    )
    for options, tables in (("twocolumn", [*everything(), mine]), ("", [long])):
        head = rf"\documentclass[{options}]{{article}}\usepackage{{array,booktabs,graphicx,longtable}}\usepackage[margin=0.75in]{{geometry}}"
        source = head + "\n\\begin{document}\n" + latex(tables, width) + "\n\\end{document}\n"
        (tmp_path / "tables.tex").write_text(source, encoding="utf-8")
        made = subprocess.run(
            ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "tables.tex"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert made.returncode == 0, made.stdout[-2000:]
        assert not re.findall(r"^Overfull \\hbox.*|^LaTeX Warning: (?:Label `|Float too).*", made.stdout, re.MULTILINE)
