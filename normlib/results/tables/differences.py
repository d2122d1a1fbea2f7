"""The differences to the baseline at one look: arms × conditions. The table of every comparison is paired.py."""

from __future__ import annotations

from collections.abc import Sequence

from normlib.results.plots.differences import differences as differences_figure
from normlib.results.study.comparison import BETTER, EQUAL, NONE, SIGNIFICANCE, TOO_FEW, WORSE, Comparison
from normlib.results.study.looks import mixed, summary
from normlib.results.study.metrics import difference_unit, in_unit, with_half_width
from normlib.results.study.question import Question
from normlib.results.study.study import Study
from normlib.results.tables.means import title
from normlib.results.tables.table import Column, Table, register_table, usual

DIFFERENCES = "differences"


@register_table(
    DIFFERENCES,
    "Against the baseline",
    "Differences are taken seed by seed. Hashes verify that the two runs share trunk, batches and schedule; where runs carry no hashes, "
    "this is taken on trust. p is exact, from all ways to flip the signs of the differences, and corrected (Holm) over the table. With "
    "seed=auto it holds over all looks at the seeds. What shares less is compared as two samples, and says so.",
    plots=[differences_figure],
    order=20,
)
def differences(study: Study) -> list[Table]:
    """A grid a section: the mean differences with their intervals. Where the baseline is no row, a note says so instead."""
    question = study.question
    found = [_table(study, section, mine) for section, mine in by_section(study).items()]
    if found or len(study.places.row_labels) < 2:
        return found
    rows = ", ".join(study.places.row_labels)
    note = (
        f"Nothing is compared: the baseline, {question.baseline!r}, is none of the rows ({question.rows}: {rows}). "
        "Choose one with baseline=..."
    )
    return [Table(name=DIFFERENCES, title=f"Differences to {question.baseline}", notes=(note,), in_terminal=True)]


def by_section(study: Study) -> dict[str, list[Comparison]]:
    """The comparisons of each section that has any."""
    found = {
        section: [each for each in study.comparisons if each.section == section] for section in study.places.sections
    }
    return {section: mine for section, mine in found.items() if mine}


def is_clear(row: Comparison) -> bool:
    """Whether the arm is better or worse, beyond doubt."""
    return row.verdict in (BETTER, WORSE)


def why_not_compared(row: Comparison) -> str:
    """Why there is no comparison; whose fault it is is said only where it is not the arm's own."""
    return row.why_none.removeprefix(f"{row.arm}: ")


def too_few_seeds(row: Comparison) -> str:
    """The verdict where no difference could show: the seeds that there are, and those needed."""
    return f"too few seeds ({row.n} of {row.n_needed})"


def marked_equal(row: Comparison, question: Question) -> bool:
    """Whether the interval lies within the rope. At a look that alone is no verdict, since nothing is corrected yet."""
    return row.verdict == EQUAL if row.looks else question.counts_as_equal(row.within)


def common_notes(study: Study, mine: Sequence[Comparison]) -> tuple[str, ...]:
    """What both tables of differences have to say of the comparisons of one section."""
    question, notes = study.question, list[str]()
    if said := summary(mine):
        notes.append(f"{said}. Each comparison is shown as it stood at the look that decided it, or at its last one.")
    if said := mixed(study):
        notes.append(said)
    if not question.facts.higher_is_better:
        notes.append(f"Lower {question.facts.title} is better: below 0 the arm is ahead of {question.baseline}.")
    few = [each for each in mine if each.verdict == TOO_FEW]
    if few:
        notes.append(
            f"too few seeds (k of m): even the smallest p of k seeds, 2/2ᵏ, is above {SIGNIFICANCE} once it is corrected for the "
            f"{family_words(mine)}; m = {few[0].n_needed} seeds are enough. There may still be a difference."
        )
    if any(each.diverged for each in mine):
        notes.append("diverged: so many runs of the arm; they count with what they score, and as lost.")
    if any(each.unpaired for each in mine):
        notes.append(
            "unpaired: the runs share no seeds or no batches, so they are compared as two samples (Welch's t test)."
        )
    return tuple(notes)


def family_words(mine: Sequence[Comparison]) -> str:
    """How many comparisons the p values are corrected for."""
    family = sum(each.p == each.p for each in mine)
    return "comparison of this table" if family == 1 else f"{family} comparisons of this table"


def _table(study: Study, section: str, mine: Sequence[Comparison]) -> Table:
    question, metric = study.question, study.question.facts
    usual_n = usual(each.n for each in mine)

    def text(row: Comparison) -> str:
        if row.verdict == NONE:
            return why_not_compared(row)
        words = with_half_width(row.difference, row.half_width, metric, sign=True)
        remarks = ["unpaired"] if row.unpaired else []
        remarks += [f"diverged {row.diverged}"] if row.diverged else []
        remarks += [too_few_seeds(row)] if row.verdict == TOO_FEW else [f"n={row.n}"] if row.n != usual_n else []
        return ", ".join([words + (" ≈" if marked_equal(row, question) else ""), *remarks])

    kind, test = (
        ("interval over all looks", "tests at the looks") if study.looks else ("t interval", "exact sign-flip test")
    )
    width = f", ± half-width of its 95 % {kind}" if any(each.low == each.low for each in mine) else ""
    unless = ", unless a cell says otherwise" if any(each.n not in (0, usual_n) for each in mine) else ""
    notes = [f"Mean of arm − {question.baseline}, seed by seed{width}; n = {usual_n}{unless}."]
    if any(map(is_clear, mine)):
        notes.append(
            f"Bold: better or worse than {question.baseline} ({test}, p ≤ {SIGNIFICANCE} after Holm's correction for the "
            f"{family_words(mine)}). Neither bold nor ≈: no clear difference."
        )
    if any(marked_equal(each, question) for each in mine):
        notes.append(
            f"≈: equal in practice. The interval lies within ± {question.region_words}, the rope: smaller differences do not matter."
        )
    return Table(
        name=DIFFERENCES,
        title=f"{title(question.value, metric, section)}: " + in_unit(f"difference to {question.baseline}", difference_unit(metric) if metric.percent else ""),
        columns=(
            Column(f"{question.rows} \\ {question.columns}", "arm", label=True),
            Column("difference", "difference", text, strong=is_clear, always=True),
        ),
        rows=mine,
        notes=(*notes, *common_notes(study, mine)),
        across={each.column: each.column for each in mine},
        arms=study.arms(section),
        in_terminal=True,
    )  # fmt: skip
