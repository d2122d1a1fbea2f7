"""Every comparison with the baseline, a line each: difference, outperformance, p, Holm, n, correlation, verdict."""

from __future__ import annotations

from collections.abc import Sequence

from normlib.results.study.comparison import BETTER, EQUAL, NONE, TOO_FEW, UNKNOWN, WORSE, Comparison
from normlib.results.study.metrics import EMPTY, difference_unit, with_range
from normlib.results.study.study import Study
from normlib.results.tables.differences import (
    DIFFERENCES,
    by_section,
    common_notes,
    family_words,
    is_clear,
    too_few_seeds,
    why_not_compared,
)  # fmt: skip
from normlib.results.tables.means import title
from normlib.results.tables.table import Column, Table, p_value, register_table

WORDS = {BETTER: "better", WORSE: "worse", EQUAL: "equal in practice", UNKNOWN: "no clear difference"}


@register_table("paired", order=21)
def paired(study: Study) -> list[Table]:
    """A table a section, in the part of the differences; none where nothing is compared."""
    return [_table(study, section, mine) for section, mine in by_section(study).items()]


def _table(study: Study, section: str, mine: Sequence[Comparison]) -> Table:
    question, metric = study.question, study.question.facts

    def difference(row: Comparison) -> str:
        return with_range(row.difference, row.low, row.high, metric)

    kind, of_look, test = "t interval", "", "two-sided sign-flip test of the mean difference, exact up to 40 seeds"
    if study.looks:
        kind, of_look = "interval, which covers at all looks at once", ", of its look alone"
        test = "two-sided, over all looks at the mean difference, each of which spends its share of the error"
    region = question.region_words.partition(" ")[0]
    return Table(
        name="paired",
        title=f"{title(question.value, metric, section)}: every arm against {question.baseline}",
        columns=(
            Column(question.columns, "column", label=True),
            Column(question.rows, "arm", label=True),
            Column("difference", "difference", difference, difference_unit(metric), strong=is_clear, always=True),
            Column("outperforms", "outperforms", _outperforms, "%", always=True),
            Column("p", "p", lambda row: p_value(row.p), always=True),
            Column("p (Holm)", "p_holm", lambda row: p_value(row.p_holm), always=True),
            Column("n", "n", always=True),
            Column("r", "correlation", _correlation, always=True),
            Column("verdict", "verdict", _verdict, always=True),
        ),
        rows=mine,
        notes=(
            f"Difference: mean of arm − {question.baseline}, seed by seed, with its 95 % {kind}.",
            "Outperforms: the share of seeds in which the arm is ahead. A tie counts half, a diverged run as a loss. "
            f"The interval is Clopper–Pearson's{of_look}.",
            f"p: {test}; p (Holm): corrected for the {family_words(mine)}. r: correlation within pairs.",
            "No rope is set, so nothing counts as equal in practice. rope=... sets the difference that does not matter."
            if question.region is None
            else f"Equal in practice: the interval lies within ± {question.region_words} (rope={region}).",
            *common_notes(study, mine),
        ),
        part=DIFFERENCES,
    )


def _outperforms(row: Comparison) -> str:
    share, low, high = (100 * x for x in (row.outperforms, row.outperforms_low, row.outperforms_high))
    return EMPTY if share != share else f"{share:.0f} ({low:.0f} to {high:.0f})"


def _correlation(row: Comparison) -> str:
    return EMPTY if row.correlation != row.correlation else f"{row.correlation:.2f}".replace("-", "−")


def _verdict(row: Comparison) -> str:
    """The verdict, with what it must not be read without."""
    if row.verdict == NONE:
        return why_not_compared(row)
    remarks = [f"unpaired: {row.unpaired}"] if row.unpaired else []
    remarks += [f"{row.diverged} diverged"] if row.diverged else []
    remarks += [f"{row.baseline_diverged} of {row.baseline} diverged"] if row.baseline_diverged else []
    told = f" ({'; '.join(remarks)})" if remarks else ""
    return (too_few_seeds(row) if row.verdict == TOO_FEW else WORDS[row.verdict]) + told
