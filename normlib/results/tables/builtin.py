"""normlib's own tables, in the order in which a reader asks for them."""

from __future__ import annotations

from collections.abc import Iterable

from normlib.results.study.metrics import metrics_of
from normlib.results.study.study import Study
from normlib.results.tables import batch_size_effect_sheet, cost, speed_sheet, workloads_sheet
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


@register_table(
    "batch_size_effect",
    "What the batch size does",
    "The effect of the batch size as one number for each norm.",
    order=40,
)
def batch_size_effect(study: Study) -> Iterable[Sheet]:
    return batch_size_effect_sheet.sheets(study)


@register_table(
    "speed",
    "Speed",
    "How soon a target is reached that was set beforehand. Never reaching it counts as infinite.",
    order=50,
)
def speed(study: Study) -> Iterable[Sheet]:
    return speed_sheet.sheets(study)


@register_table(
    "workloads",
    "Across workloads",
    "What holds over several workloads at once. A workload is a model on a dataset for a task.",
    order=60,
)
def workloads(study: Study) -> Iterable[Sheet]:
    return workloads_sheet.sheets(study)


@register_table("metrics", "Other metrics", "The other metrics of the task, of the same networks.", order=80)
def metrics(study: Study) -> Iterable[Sheet]:
    others = [metric for metric in metrics_of(study.runs) if metric.name != study.question.facts.name]
    return [main_sheet(table, METRICS) for metric in others for table in comparison(study, metric)]


@register_table(
    "cost", "Cost", "What a norm takes in time, memory and parameters, on the machines named below.", order=90
)
def costs(study: Study) -> Iterable[Sheet]:
    return cost.sheets(study)
