"""Checks the tables as text: a golden Markdown table, the tidy CSV, the terminal, and hostile names kept harmless."""

from __future__ import annotations

import csv
import io

from rich.console import Console

from normlib.results.render.writers import latex, markdown, terminal, tidy_csv
from normlib.results.store.record import Record
from normlib.results.tables.sheet import Cell, Line, Sheet
from tests.results.factories import make_record, sheets_of, tables_of

REASON = "instance norm needs positions"
CSV_COLUMNS = (
    "section", "row", "column", "updates", "value", "mean", "half_width", "n",
    "diverged", "failed", "skipped", "in_best",
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

- Mean over seeds ± half-width of its 95 % t interval; n = 3, unless a cell says otherwise.
- Bold: cannot be told from the highest mean of its column (the 95 % t interval of the difference, seed by seed, \
contains 0; one seed cannot tell).
- diverged k/n: in k of n trained runs the loss was no longer finite; they count with what the broken network scores.
- failed k/n: k of n runs stopped with an error and have no figures; `compare` tries again.
- ¹ skipped: instance norm needs positions
- Test set: 250 samples, one is 0.4 points.
- Trunk parameters: 92,682 in every row.
- Norm parameters: 1,536 in every row.
- The same in all runs: model=mlp, data=digits, task=classification, optimizer=sgd.
"""


def test_markdown_golden() -> None:
    assert markdown(sheets_of(_records())) == GOLDEN


def test_the_csv_is_tidy_and_unrounded() -> None:
    sheets = sheets_of(_records())
    rows = list(csv.DictReader(io.StringIO(tidy_csv(sheets))))
    assert tuple(rows[0]) == CSV_COLUMNS and len(rows) == 6
    batch = next(row for row in rows if (row["row"], row["column"]) == ("batch", "2"))
    assert float(batch["mean"]) == tables_of(_records())[0].cell("batch", "2").mean
    assert (batch["n"], batch["diverged"], batch["updates"], batch["value"]) == ("3", "1", "3240", "test.accuracy")
    skipped = next(row for row in rows if row["row"] == "instance")
    assert (skipped["mean"], skipped["half_width"], skipped["n"], skipped["skipped"]) == ("", "", "0", "3")


def test_the_terminal_shows_the_same_table() -> None:
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(terminal(sheets_of(_records())))
    text = console.export_text()
    for words in ("37.7 ±59.5", "diverged 1/3", "skipped¹", REASON, "(3240)", "data.batch_size"):
        assert words in text


def test_one_seed_is_shown_without_a_width() -> None:
    text = markdown(sheets_of([make_record(norm="batch"), make_record(norm="group", accuracy=0.8)]))
    assert "| batch | **90.0** |" in text and "Mean over seeds; n = 1." in text


def test_other_quantities_keep_their_unit() -> None:
    text = markdown(sheets_of([make_record(seed=seed) for seed in range(2)], value="seconds_per_step"))
    assert "### Seconds per step" in text and "| batch | 0.0004 ± 0 |" in text and "%" not in text.split("\n- ")[0]


def test_hostile_names_do_no_harm() -> None:
    name = "<script>|*x*[bold]"
    sheets = sheets_of([make_record(norm=name, status="skipped", reason="a|b\n<c>")])
    text = markdown(sheets)
    assert "<script>" not in text and "\\|\\*x\\*[bold]" in text and "a\\|b &lt;c>" in text
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(terminal(sheets))
    assert name in console.export_text()


def test_no_tables_make_no_text() -> None:
    assert markdown([]) == tidy_csv([]) == latex([]) == ""


def test_where_bold_cannot_be_shown_a_star_stands_for_it() -> None:
    sheets = sheets_of([make_record(norm=norm, seed=seed) for norm in ("batch", "group") for seed in range(3)])
    plain, styled = (Console(width=120, file=io.StringIO()) for _ in range(2))
    plain.print(terminal(sheets, styled=False))
    styled.print(terminal(sheets))
    assert "*: cannot be told" in plain.file.getvalue()
    assert "*" not in styled.file.getvalue()


def test_a_long_name_of_an_arm_leaves_room_for_the_figures() -> None:
    records = [
        make_record(norm="an_arm_with_" + "a_very_" * 12 + "long_name", batch_size=size) for size in (2, 4, 8, 32)
    ]
    console = Console(width=80, file=io.StringIO())
    console.print(terminal(sheets_of(records)))
    assert console.file.getvalue().count("90.0") == 4


HOSTILE = r"50 % of $x_1$ & {y} #~^\end{table}<|> ± ² – ¹²"


def test_latex_is_a_booktabs_table_in_which_no_name_is_a_command() -> None:
    line = Line("a", (Cell(HOSTILE), Cell("−1.0 ± 0.5", -1.0, strong=True)))
    text = latex([Sheet("paired", "A title", ("arm", "2"), (line,), (HOSTILE,))])
    safe = (
        r"50 \% of \$x\_1\$ \& \{y\} \#\textasciitilde{}\textasciicircum{}\textbackslash{}end\{table\}"
        r"\textless{}\textbar{}\textgreater{} $\pm$ $^{2}$ -- $^{12}$"
    )
    assert text.splitlines() == [
        r"\begin{table}", r"\centering", rf"\caption{{A title. {safe}.}}", r"\label{tab:paired-a-title}",
        r"\begin{tabular}{lr}", r"\toprule", r"arm & 2 \\", r"\midrule", rf"{safe} & \textbf{{$-$1.0 $\pm$ 0.5}} \\",
        r"\bottomrule", r"\end{tabular}", r"\end{table}",
    ]  # fmt: skip


def test_every_main_table_sets_in_latex_and_a_sheet_of_notes_alone_does_not() -> None:
    text = latex(sheets_of(_records()))
    assert text.isascii() and text.count("{") == text.count("}")
    assert latex([Sheet("paired", "Nothing to compare", (), (), ("Choose one.",))]) == ""
    assert markdown([Sheet("paired", "Nothing", (), (), ("Choose one.",))]) == "### Nothing\n\n- Choose one.\n"
