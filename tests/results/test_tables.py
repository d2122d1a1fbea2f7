"""Checks the comparison: the maths by hand, the layout over any axes, and that no run hides in a cell."""

from __future__ import annotations

import math
from collections.abc import Iterable

import pytest

from normlib.results.store.record import Record
from normlib.results.study.axes import ReportError, as_text, same_text
from normlib.results.tables.means import Means
from tests.results.factories import main_tables, make_record, tables_of

T_2 = 0.95 * math.sqrt(2 / (1 - 0.95**2))  # 97.5 % quantile of Student's t with 2 degrees of freedom, closed form
ROUNDING = 1e-12  # float64 on numbers near 1


def _arms(accuracies: dict[str, list[float]], **over: object) -> list[Record]:
    return [
        make_record(norm=norm, seed=seed, accuracy=accuracy, **over)  # type: ignore[arg-type]
        for norm, values in accuracies.items()
        for seed, accuracy in enumerate(values)
    ]


def _only(records: Iterable[Record], **options: object) -> Means:
    (table,) = tables_of(records, **options)  # type: ignore[arg-type]
    return table


def test_mean_interval_and_best_by_hand() -> None:
    table = _only(_arms({"batch": [0.5, 0.6, 0.7], "group": [0.9, 0.91, 0.92], "layer": [0.91, 0.9, 0.91]}))
    batch, group, layer = (table.cell(norm, "32") for norm in ("batch", "group", "layer"))
    assert batch.mean == pytest.approx(0.6, abs=ROUNDING)
    rounding = (1 / 250) ** 2 / 12  # the variance of rounding to one of 250 test samples
    assert batch.half_width == pytest.approx(T_2 * math.sqrt((0.1**2 + rounding) / 3), abs=ROUNDING)
    assert (batch.n, batch.trained, batch.diverged, batch.failed, batch.skipped) == (3, 3, 0, 0, 0)
    # group - batch = 0.40, 0.31, 0.22: mean 0.31, half-width 0.224. group - layer = -0.01, 0.01, 0.01: contains 0.
    assert (batch.in_best, group.in_best, layer.in_best) == (False, True, True)


def test_columns_are_sorted_as_numbers_and_show_their_updates() -> None:
    table = _only([make_record(batch_size=size) for size in (128, 2, 32, 16)])
    assert table.columns == ("2", "16", "32", "128")
    assert {column: mean.updates for (_, column), mean in table.cells.items()} == {
        "2": 3240,
        "16": 405,
        "32": 200,
        "128": 50,
    }


def test_rows_follow_the_plan_then_the_alphabet() -> None:
    records = [make_record(norm=norm) for norm in ("none", "group", "layer", "batch")]
    assert _only(records).rows == ("batch", "group", "layer", "none")
    assert _only(records, order={"norm": ["none", "group"]}).rows == ("none", "group", "batch", "layer")


def test_broken_failed_and_skipped_runs_are_counted() -> None:
    records = [
        make_record(seed=0, accuracy=0.9),
        make_record(seed=1, accuracy=0.1, status="diverged"),
        make_record(seed=2, status="failed", reason="killed"),
        *(make_record(norm="instance", seed=seed, status="skipped", reason="no positions") for seed in range(3)),
    ]
    table = _only(records)
    cell, skipped = table.cell("batch", "32"), table.cell("instance", "32")
    assert (cell.mean, cell.n, cell.trained, cell.diverged, cell.failed) == (0.5, 2, 2, 1, 1)
    assert (skipped.n, skipped.skipped, skipped.skip_reason, skipped.in_best) == (0, 3, "no positions", False)
    assert math.isnan(skipped.mean) and not cell.in_best  # alone in its column, it is not the best of anything


def test_a_broken_runs_loss_is_not_a_number_and_less_is_better() -> None:
    records = _arms({"batch": [0.9, 0.91, 0.92], "group": [0.5, 0.6, 0.7]})
    records[0] = make_record(seed=0, accuracy=0.1, status="diverged")
    table = _only(records, value="test.loss")
    assert (table.cell("batch", "32").n, table.cell("batch", "32").trained) == (2, 3)
    assert table.cell("batch", "32").in_best


def test_what_varies_beside_the_axes_makes_sections() -> None:
    records = [make_record(model=model, norm=norm) for model in ("mlp", "convnet") for norm in ("batch", "group")]
    tables = tables_of(records, order={"model": ["mlp", "convnet"]})
    assert [table.section for table in tables] == ["model=mlp", "model=convnet"]  # width follows from the model
    assert all(table.rows == ("batch", "group") for table in tables)
    (shown, _) = main_tables(records)
    assert shown.notes[-1] == "The same in all runs: data=digits, task=classification, optimizer=sgd."


def test_any_two_axes_tabulate() -> None:
    def record(norm: str, lr: float, size: int) -> Record:
        return make_record(norm=norm, batch_size=size, spec={"optimizer": {"name": "sgd", "lr": lr}})

    records = [record(norm, lr, size) for norm in ("batch", "group") for lr in (0.1, 1.0, 0.01) for size in (2, 32)]
    tables = tables_of(records, rows="norm", columns="optimizer.lr")
    assert [table.section for table in tables] == ["data.batch_size=2", "data.batch_size=32"]
    assert tables[0].columns == ("0.01", "0.1", "1") and tables[0].cell("batch", "0.1").updates == 3240
    tables = tables_of(records, rows="optimizer.lr", columns="data.batch_size")
    assert [table.section for table in tables] == ["norm=batch", "norm=group"]
    assert tables[0].rows == ("0.01", "0.1", "1")


def test_a_setting_that_varies_along_with_rows_or_columns_is_no_secret() -> None:
    def record(norm: str, size: int, lr: float) -> Record:
        return make_record(norm=norm, batch_size=size, spec={"optimizer": {"name": "sgd", "lr": lr}})

    with_columns = [record(norm, size, size / 320) for norm in ("batch", "group") for size in (2, 32)]
    assert [table.section for table in tables_of(with_columns)] == ["optimizer.lr=0.00625", "optimizer.lr=0.1"]
    with_rows = [record(norm, size, 0.1 if norm == "batch" else 0.2) for norm in ("batch", "group") for size in (2, 32)]
    assert [table.section for table in tables_of(with_rows)] == ["optimizer.lr=0.1", "optimizer.lr=0.2"]


def test_a_label_follows_from_an_axis_in_its_own_group() -> None:
    def record(label: str, groups: int) -> Record:
        record = make_record(norm="group", norm_settings={"num_groups": groups})
        return Record(**{**record.to_dict(), "labels": {**record.labels, "norm": label}})

    table = _only([record("group4", 4), record("group16", 16)], rows="norm.num_groups")
    assert table.rows == ("4", "16") and table.section == ""


def test_an_arms_own_settings_are_covered_by_its_label_or_join_it() -> None:
    arms = [make_record(norm="group", norm_settings={"num_groups": groups}) for groups in (2, 8)]
    records = [*arms, make_record(norm="batch", norm_settings={"momentum": 0.1})]
    table = _only(records)
    assert table.rows == ("batch", "group (num_groups=2)", "group (num_groups=8)") and table.section == ""
    assert all(table.cell(row, "32").n == 1 for row in table.rows)


def test_unequal_seeds_are_compared_on_the_common_ones() -> None:
    table = _only(_arms({"batch": [0.9, 0.91, 0.92, 0.93], "group": [0.5, 0.5]}))
    assert (table.cell("batch", "32").n, table.cell("group", "32").n) == (4, 2)
    # On the two common seeds the gap is 0.40 and 0.41: 0.405 ± 12.7 × 0.005.
    assert table.cell("batch", "32").in_best and not table.cell("group", "32").in_best


def test_one_seed_has_no_width_and_tells_nothing() -> None:
    table = _only(_arms({"batch": [0.9], "group": [0.5]}))
    assert all(math.isnan(cell.half_width) and cell.n == 1 and cell.in_best for cell in table.cells.values())


def test_parameters_and_the_size_of_the_test_set_are_there() -> None:
    (table,) = main_tables([make_record(norm="none"), make_record(norm="batch")])
    assert {"Norm parameters: 1,536 (batch); 0 (none).", "Test set: 250 samples, one is 0.4 points."} < set(table.notes)


def test_an_absent_cell_counts_nothing() -> None:
    table = _only([make_record(norm="batch", batch_size=2), make_record(norm="group", batch_size=4)])
    assert table.cell("batch", "4").n == 0 and ("batch", "4") not in table.cells


def test_no_runs_make_no_tables() -> None:
    assert tables_of([]) == []


@pytest.mark.parametrize("status", ["failed", "skipped"])
def test_untrained_runs_alone_make_a_table(status: str) -> None:
    table = _only([make_record(status=status, reason="why")])
    assert table.cell("batch", "32").n == 0 and table.rows == ("batch",)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rows": "nrom"}, "no setting of these runs is named 'nrom'; did you mean 'norm'"),
        ({"columns": "batch_size"}, "data.batch_size"),
        ({"columns": "lr"}, "optimizer.lr"),
        ({"columns": "seed"}, "numbers the replicates"),
        ({"rows": "test.accuracy"}, "no setting"),
        ({"rows": "norm", "columns": "norm"}, "two different"),
        ({"value": "test.acuracy"}, "test.accuracy"),
        ({"value": "norm"}, "measured number"),
    ],
)
def test_what_cannot_be_tabulated_is_refused_with_the_closest_names(options: dict[str, str], message: str) -> None:
    with pytest.raises(ReportError, match=message):
        tables_of([make_record()], **options)  # type: ignore[arg-type]


def test_one_number_has_one_text_however_it_is_spelled() -> None:
    assert {same_text(value) for value in (0.1, "0.10", "1e-1", 0.1)} == {"0.1"}
    assert [same_text(value) for value in (True, "True", None, "NULL", float("inf"), "inf", "relu")] == [
        "true", "true", "null", "null", "inf", "inf", "relu",
    ]  # fmt: skip


def test_values_read_as_on_the_command_line() -> None:
    assert [as_text(v) for v in (8, 8.0, 0.1, 1e-5, True, None, float("nan"), "relu")] == [
        "8", "8", "0.1", "1e-05", "true", "null", "null", "relu",
    ]  # fmt: skip
