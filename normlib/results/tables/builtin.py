"""normlib's own tables, in the order in which a reader asks for them."""

from __future__ import annotations

from collections.abc import Iterable

from normlib.results.study.study import Study
from normlib.results.tables import batch_size_effect_sheet, cost, speed_sheet, workloads_sheet
from normlib.results.tables.sheet import Sheet
from normlib.results.tables.table import register_table


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


@register_table(
    "cost", "Cost", "What a norm takes in time, memory and parameters, on the machines named below.", order=90
)
def costs(study: Study) -> Iterable[Sheet]:
    return cost.sheets(study)
