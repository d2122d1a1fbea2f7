"""Checks what a table from elsewhere says once it is laid out: its figures, what failed, and everything that is refused."""

from __future__ import annotations

import dataclasses
import math
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

import normlib
from normlib.errors import NormlibError
from normlib.results.elsewhere.figures import step_of
from normlib.results.elsewhere.frames import TableError, plain_frame
from normlib.results.elsewhere.own import is_own
from normlib.results.elsewhere.rows import Asked, rows_of
from normlib.results.elsewhere.status import WORDS
from normlib.results.store.frame import frame
from normlib.results.store.record import FAILED, TRAINED
from normlib.results.study.comparison import Comparison
from normlib.results.study.pairing import paired
from normlib.results.study.question import Question
from normlib.results.study.study import Study
from tests.results.factories import make_record

ASKED = Asked(arm="norm", seed="seed", metric="dice", columns=("batch_size",))


def runs(**columns: Any) -> pd.DataFrame:
    """Two arms, two batch sizes, five seeds, with figures that have all their digits; keywords replace or add columns."""
    rows = [(norm, size, seed) for norm in ("batch", "group") for size in (2, 8) for seed in range(5)]
    table = pd.DataFrame(rows, columns=["norm", "batch_size", "seed"])
    table["dice"] = 0.5 + np.sin(table.index + 1.0) / 10
    return table.assign(**columns)


def laid_out(table: pd.DataFrame, asked: Asked = ASKED, **over: Any) -> Any:
    return rows_of(plain_frame(table), dataclasses.replace(asked, **over), "runs")


def set_cell(row: int, column: str, value: Any) -> pd.DataFrame:
    """The runs with another value in one row, counted from 1."""
    table = runs().astype({column: object})
    table.loc[row - 1, column] = value
    return table


def test_own_runs_under_other_names_give_the_figures_of_the_records() -> None:
    """The property that holds the whole way in: what is compared does not depend on who wrote the table."""
    rng = np.random.default_rng(0)
    records = [
        make_record(norm=norm, batch_size=size, seed=seed, accuracy=float(rng.random()), status=status)
        for norm in ("batch", "group", "layer") for size in (2, 8, 32) for seed in range(6)
        for status in ["failed" if (norm, size, seed) == ("group", 8, 3) else "diverged" if (norm, seed) == ("layer", 1) else "done"]
    ]  # fmt: skip
    own = frame(records).drop(columns="test.samples")  # which says that accuracies come in steps
    expected = normlib.compare_arms(own)
    names = {"norm": "Method", "data.batch_size": "batch_size", "seed": "fold", "test.accuracy": "acc"}
    foreign = own[[*names, "status"]].rename(columns=names).sample(frac=1, random_state=0)
    found = normlib.compare_arms(
        foreign, arm="Method", seed="fold", value="acc", columns="batch_size", higher_is_better=True
    )
    different = ["verdict", "control"]  # equal within 0.5 points is said of percentages only
    pd.testing.assert_frame_equal(found.drop(columns=different), expected.drop(columns=different))
    assert (found["diverged"] > 0).any() and (found["n"] < 6).any()
    in_percent = normlib.compare_arms(foreign, "Method", "fold", "acc", "batch_size", unit="%")
    pd.testing.assert_frame_equal(in_percent, expected)


def test_the_frame_of_the_records_is_read_as_such_and_its_hashes_verify() -> None:
    own = frame(
        [
            make_record(norm=norm, seed=seed, accuracy=0.9 + seed / 100)
            for norm in ("batch", "group")
            for seed in range(3)
        ]
    )
    assert is_own(own) and not is_own(own.drop(columns="metric_facts"))
    pd.testing.assert_frame_equal(normlib.compare_arms(own, value="accuracy"), normlib.compare_arms(own))
    pd.testing.assert_frame_equal(normlib.compare_arms(own, value="test.accuracy"), normlib.compare_arms(own))
    with pytest.raises(NormlibError, match="differ in the hash 'trunk'"):
        normlib.compare_arms(own.assign(**{"hashes.trunk": [str(number) for number in range(6)]}))
    bare = own[[name for name in own if not name.startswith("hashes.")]]
    assert not Study(bare, Question()).hashed and Study(own, Question()).hashed
    pd.testing.assert_frame_equal(normlib.compare_arms(bare), normlib.compare_arms(own))
    for wrong in ({"unit": "%"}, {"higher_is_better": True}, {"seed": "data.split_seed"}):
        with pytest.raises(TableError, match="tell their seed, and unit and direction"):
            normlib.compare_arms(own, **wrong)
    with pytest.raises(TableError, match="--columns names one setting"):
        normlib.compare_arms(own, columns=["data.batch_size", "model"])


def test_only_named_columns_go_on() -> None:
    rows = laid_out(runs(seconds_per_step=0.1, **{"test.samples": 10, "parameters.norm": 3}))
    assert list(rows.frame) == [
        "id", "experiment", "status", "reason", "norm", "batch_size", "seed", "metric_facts", "measured.dice", "measured.step",
    ]  # fmt: skip
    assert rows.question.value == "measured.dice" and rows.question.facts.unit == ""
    assert not rows.question.counts_as_equal(0.0), "nothing is equal in practice where nobody said within what"


@pytest.mark.parametrize("prefixed", [("config.", "summary."), ("params.", "metrics."), ("", "")])
def test_prefixes_of_exports_need_not_be_written(prefixed: tuple[str, str]) -> None:
    setting, figure = prefixed
    table = runs().rename(
        columns={
            "norm": f"{setting}norm",
            "seed": f"{setting}seed",
            "batch_size": f"{setting}batch_size",
            "dice": f"{figure}dice",
        }
    )
    assert laid_out(table).frame.equals(laid_out(runs()).frame)
    whole = Asked(f"{setting}norm", f"{setting}seed", f"{figure}dice", (f"{setting}batch_size",))
    assert laid_out(table, whole).frame.equals(laid_out(runs()).frame)


def test_several_columns_make_sections_and_none_makes_one_condition() -> None:
    two = pd.concat([runs(model="unet"), runs(model="fcn")], ignore_index=True)
    study = Study(
        laid_out(two, columns=("batch_size", "model")).frame, laid_out(two, columns=("batch_size", "model")).question
    )
    assert study.places.sections == ("model=fcn", "model=unet")
    one = runs()[lambda table: table["batch_size"] == 2]
    rows = laid_out(one, columns=())
    (compared,) = paired(Study(rows.frame, rows.question))
    assert (compared.n, compared.section, compared.column) == (5, "", "all runs")


def test_columns_that_mean_something_else_here_are_renamed() -> None:
    table = runs().rename(columns={"norm": "stage", "batch_size": "steps"})
    rows = laid_out(table, arm="stage", columns=("steps",))
    assert (rows.question.rows, rows.question.columns) == ("config.stage", "config.steps")
    assert len(paired(Study(rows.frame, rows.question))) == 2


@pytest.mark.parametrize("word", sorted({word for words in WORDS.values() for word in words}))
@pytest.mark.parametrize("column", ["status", "State"])
def test_the_words_of_a_status_count_whatever_their_case(word: str, column: str) -> None:
    table = runs(**{column: "FINISHED"})
    table.loc[0, column] = word.upper()
    status = next(status for status, words in WORDS.items() if word in words)
    rows = laid_out(table)
    if not status:
        assert len(rows.frame) == 19 and "1 row left out: the run is not at its end" in rows.messages
        return
    assert rows.frame["status"][0] == status and (rows.frame["status"][1:] == "done").all()
    assert math.isnan(rows.frame["measured.dice"][0]) == (status not in TRAINED), (
        "a failed run has no figure, whatever it logged"
    )
    told = f"what became of a run is read from the column {column}" in rows.messages
    assert told == (status != "done"), "a reader is told where it matters"


@pytest.mark.parametrize("value", [math.nan, None, math.inf, -math.inf, "nan", "inf", ""])
def test_a_finished_run_without_a_figure_has_diverged_and_loses(value: Any) -> None:
    rows = laid_out(set_cell(11, "dice", None if value == "" else value))
    assert rows.frame["status"][10] == "diverged" and rows.frame["reason"][10] == "dice is not a number"
    first, second = paired(Study(rows.frame, rows.question))
    assert (first.n, first.diverged, first.wins + first.ties + first.losses) == (4, 1, 5) and second.diverged == 0


def test_failed_runs_may_lack_what_they_never_logged_and_finished_ones_may_not() -> None:
    table = runs(State="finished").astype({"norm": object, "dice": object})
    table.loc[0, ["State", "norm", "dice"]] = "crashed", None, None
    table.loc[1, ["State", "dice"]] = "crashed", None
    rows = laid_out(table)
    assert len(rows.frame) == 19 and (rows.frame["status"] == FAILED).sum() == 1
    assert rows.frame["reason"][0] == "State is crashed"
    assert any("1 row left out: the run did not finish, and has no norm" in message for message in rows.messages)
    with pytest.raises(TableError, match="row 3 is a finished run without a value for seed"):
        laid_out(set_cell(3, "seed", None))


def test_seeds_without_a_partner_are_left_out_of_differences_and_named() -> None:
    table = runs().drop(index=[0, 13])
    rows = laid_out(table)
    first, second = paired(Study(rows.frame, rows.question))
    assert (first.n, second.n) == (3, 5) and not first.unpaired
    (said,) = rows.messages
    assert said.endswith(": batch at batch_size=2 lacks seed 0; group at batch_size=2 lacks seed 3")
    apart = runs()[lambda runs: (runs["norm"] == "batch") == (runs["seed"] < 3)]
    assert not laid_out(apart).messages, "two samples leave no seed out"
    with pytest.warns(UserWarning, match="left out of their difference: batch"):
        normlib.compare_arms(table, arm="norm", value="dice", columns="batch_size")


def test_seeds_may_be_words() -> None:
    rows = laid_out(runs(seed=[f"fold {number % 5}" for number in range(20)]))
    assert [each.n for each in paired(Study(rows.frame, rows.question))] == [5, 5]
    assert laid_out(runs(seed=[f"{number % 5}.0" for number in range(20)])).frame["seed"].tolist()[:2] == ["0.0", "1.0"]
    assert laid_out(runs(seed=[float(number % 5) for number in range(20)])).frame["seed"].tolist()[:2] == [0, 1]


@pytest.mark.parametrize(
    ("figures", "step"),
    [
        ([0.85, 0.8], 0.01),
        ([85.0, 90.0], 1.0),
        ([0.853, math.nan], 0.001),
        ([1 / 3, 0.5], 0.0),
        ([1234.5], 0.1),
        ([1e-7], 0.0),
    ],
)
def test_the_step_of_rounded_figures(figures: list[float], step: float) -> None:
    assert step_of(figures) == pytest.approx(step)


def test_rounded_figures_that_are_all_equal_have_an_interval_with_a_width() -> None:
    rows = laid_out(runs(dice=[0.8] * 10 + [0.9] * 10))
    for compared in paired(Study(rows.frame, rows.question)):
        assert compared.high > compared.difference > compared.low > 0


@pytest.mark.parametrize(
    ("table", "over", "said"),
    [
        (runs(), {"arm": None}, "does not say which columns are what: add --arm "),
        (runs(), {"arm": None, "metric": None}, "add --arm and --metric"),
        (runs(), {"arm": "nrom"}, "--arm: no column is named 'nrom'; did you mean 'norm'"),
        (runs(), {"metric": "dise"}, "--metric: .*did you mean 'dice'"),
        (runs(), {"columns": ("batch",)}, "--columns: .*did you mean 'batch_size'"),
        (runs(fold=0).drop(columns="seed"), {"seed": None}, "--seed: no column is named 'seed'. Known: batch_size, dice, fold, norm"),
        (runs().rename(columns={"dice": "metrics.dice"}), {"metric": "dise"}, "did you mean 'dice'"),
        (runs(**{f"x{number}": 0 for number in range(100)}), {"arm": "nrom"}, "and 44 more"),
        (runs(), {"columns": ("norm",)}, "different columns, and norm is named twice"),
        (runs(**{"config.lr": 1, "params.lr": 1}), {"columns": ("lr",)}, "--columns lr can be config.lr or params.lr"),
        (set_cell(4, "dice", "85.3%"), {}, "dice in row 4 is '85.3%'; write the number alone"),
        (set_cell(4, "dice", True), {}, "dice in row 4 is True"),
        (runs(dice=85.5), {"unit": "%"}, "a fraction, 0.853 for 85.3 %, and dice in row 1 is 85.5: leave the unit out"),
        (runs().rename(columns={"dice": "quality"}), {"metric": "quality"}, "'quality' .* --higher-is-better or --lower-is-better"),
        (runs(), {"baseline": "grup"}, "--baseline: no arm is named 'grup'; did you mean 'group'"),
        (runs(norm=["bn"] * 10 + ["gn"] * 10), {}, "--baseline: no arm is named 'batch'. Known: bn, gn. Name the arm"),
        (runs(status="fertig"), {}, "row 1 has 'fertig', which is none of the words"),
        (runs(status=[None] + ["done"] * 19), {}, "row 1 has None"),
        (runs(state="running"), {}, "no run of the table is finished; all were left out"),
        (runs(state="crashed"), {}, "no run of the table is finished; 20 failed"),
        (pd.concat([runs(), runs()]), {}, "4 .*|20 have several.*no other column tells them apart"),
        (pd.concat([runs(lr=0.1), runs(lr=0.2)]), {}, "columns that vary there and are not named: lr; add what is a condition"),
    ],
)  # fmt: skip
def test_what_could_give_a_wrong_figure_is_refused(table: pd.DataFrame, over: dict[str, Any], said: str) -> None:
    with pytest.raises(TableError, match=said):
        laid_out(table, **over)


def test_a_repeated_run_says_where_and_which_rows() -> None:
    with pytest.raises(TableError, match=re.escape("such as norm=batch, batch_size=2, seed=0 (row 1, row 21)")):
        laid_out(pd.concat([runs(), runs()]))
    again = pd.concat([runs(state="crashed").head(1), runs(state="finished")])
    assert len(laid_out(again).frame) == 21, "a run that was made again after a crash is no repetition"


def test_a_direction_that_is_said_outweighs_the_name() -> None:
    worse = normlib.compare_arms(runs(), "norm", "seed", "dice", "batch_size", higher_is_better=False)
    better = normlib.compare_arms(runs(), "norm", "seed", "dice", "batch_size")
    assert (worse["outperforms"] + better["outperforms"] == 1).all() and not worse.empty


def test_columns_that_vary_unnamed_are_told() -> None:
    """A learning rate of each arm's own is no duplicate, and nothing in the figures shows it."""
    (said,) = laid_out(runs(lr=[0.1] * 10 + [0.2] * 10, run_id=range(20), val_loss=[1, 2] * 10)).messages
    assert "columns that vary and are not named: lr;" in said
    assert not laid_out(runs(run_id=range(20))).messages


def test_a_frame_may_have_named_columns_in_its_index_and_types_of_pandas_own() -> None:
    asked: dict[str, Any] = {"arm": "norm", "value": "dice", "columns": "batch_size"}
    expected = normlib.compare_arms(runs(), **asked)
    indexed = runs().set_index(["norm", "seed"])
    typed = runs().astype({"norm": "category", "batch_size": "category", "seed": "Int64"})
    for table in (indexed, typed, runs().astype(object)):
        pd.testing.assert_frame_equal(normlib.compare_arms(table, **asked), expected)
    with pytest.raises(TableError, match="a pandas frame with a row for each, got 3"):
        normlib.compare_arms(3, **asked)  # type: ignore[arg-type]


def test_every_field_of_a_comparison_is_there_for_a_table_from_elsewhere() -> None:
    table = normlib.compare_arms(runs(), arm="norm", seed="seed", value="dice", columns="batch_size", baseline="group")
    assert list(table) == [field.name for field in dataclasses.fields(Comparison)]
    assert list(table["arm"]) == ["batch", "batch"] and list(table["baseline"]) == ["group", "group"]
