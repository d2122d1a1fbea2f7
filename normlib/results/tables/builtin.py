"""normlib's own tables, in the order in which a reader asks for them."""

from __future__ import annotations

from collections.abc import Iterable

from normlib.results.study.metrics import metrics_of
from normlib.results.study.study import Study
from normlib.results.tables.means import comparison
from normlib.results.tables.means_sheet import METRICS, main_sheet
from normlib.results.tables.paired_sheet import difference_sheets, no_baseline_sheet, paired_sheets
from normlib.results.tables.sheet import Sheet
from normlib.results.tables.table import register_table
from normlib.results.tables.tuning_sheet import tuning_sheets


@register_table(
    "main",
    "Results",
    "Every arm in every condition. A click on a column’s heading sorts, one on a name below a plot hides that name everywhere. "
    "Hover over a point, or tap it, for the figure of each replicate.",
    order=10,
)
def main(study: Study) -> Iterable[Sheet]:
    return map(main_sheet, comparison(study))


@register_table(
    "differences",
    "Against the baseline",
    "Differences are taken replicate by replicate between runs that share trunk, batches and schedule; p is exact, from all ways "
    "to flip the differences' signs, and corrected (Holm) over the table. What shares less is compared as two samples, and says so.",
    order=20,
)
def differences(study: Study) -> Iterable[Sheet]:
    found = difference_sheets(study, study.comparisons)
    return found or ([no_baseline_sheet(study)] if len(study.places.row_labels) > 1 else [])


@register_table("paired", order=21)
def paired(study: Study) -> Iterable[Sheet]:
    return paired_sheets(study, study.comparisons)


@register_table(
    "tuning",
    "How settings were chosen",
    "Every arm gets the same trials, and the best mean validation figure chooses.",
    order=30,
)
def tuning(study: Study) -> Iterable[Sheet]:
    found = study.choices
    return tuning_sheets(found.axis, found.found, found.metric) if found else ()


@register_table("metrics", "Other metrics", "The other metrics of the task, of the same networks.", order=80)
def metrics(study: Study) -> Iterable[Sheet]:
    others = [metric for metric in metrics_of(study.runs) if metric.name != study.question.facts.name]
    return [main_sheet(table, METRICS) for metric in others for table in comparison(study, metric)]
