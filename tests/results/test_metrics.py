"""Checks that every part of a report follows the metric: a share, one of which less is better, and one without bounds."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest

from normlib.results.contents import make_figures
from normlib.results.elsewhere.arms import compare_arms
from normlib.results.report import write_report
from normlib.results.store.frame import frame
from normlib.results.store.record import Record
from normlib.results.study.axes import ReportError
from normlib.results.study.comparison import BETTER, WORSE
from normlib.results.study.learning_curves import learning_curves
from normlib.results.study.metrics import figure, metric_of, metric_of_value
from normlib.results.study.pairing import paired
from normlib.results.study.question import Question
from normlib.results.study.study import Study
from normlib.results.study.tuning import choices
from normlib.results.tables.batch_size_effect import batch_size_effect_tables
from normlib.results.tables.gap import gap_tables
from normlib.results.tables.means import comparison
from normlib.results.tables.speed import Speed, speed_tables
from normlib.results.tables.table import make_tables, table_name
from normlib.results.tables.workloads import workload_tables
from normlib.results.verdicts import headline
from normlib.results.wording import digest
from normlib.tasks.metric import Metric
from tests.results.factories import ACCURACY, BITS, LOSS, METRICS, R2, make_record, study_of
from tests.results.record_parts import curves_of
from tests.results.tuned_records import RATE, VALUES, trials_of

EACH = pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
LEVEL = {ACCURACY: 0.7, BITS: 2.0, R2: -0.3}
"""What the baseline scores."""


def _records(metric: Metric, seeds: int = 8, models: tuple[str, ...] = ("mlp",)) -> list[Record]:
    """`good` is better than batch by 0.2 and `bad` worse, whichever way is better; larger batches help every arm."""
    sign = 1 if metric.higher_is_better else -1

    def run(norm: str, ahead: float, model: str, size: int, seed: int) -> Record:
        value = LEVEL[metric] + sign * (ahead + 0.01 * math.log2(size)) + 0.001 * math.sin(7 * seed + size + len(norm))
        curve = curves_of([value - sign * 0.5, value], name=metric.name)
        return make_record(
            norm=norm, model=model, batch_size=size, seed=seed, accuracy=value, metric=metric, curves=curve
        )

    return [
        run(norm, ahead, model, size, seed)
        for norm, ahead in (("batch", 0.0), ("good", 0.2), ("bad", -0.2))
        for model in models for size in (2, 32) for seed in range(seeds)
    ]  # fmt: skip


@EACH
def test_the_better_arm_wins_whichever_way_is_better(metric: Metric) -> None:
    study = study_of(_records(metric))
    assert study.question.facts == metric and study.question.value == f"test.{metric.name}"
    (table,) = comparison(study)
    assert {row for row in table.rows for column in table.columns if table.cell(row, column).in_best} == {"good"}
    verdicts = {(each.arm, each.verdict) for each in paired(study)}
    assert verdicts == {("good", BETTER), ("bad", WORSE)}
    outperforms = {each.arm: each.outperforms for each in paired(study)}
    assert outperforms == {"good": 1.0, "bad": 0.0}
    first = headline([study])
    assert "good beats" in first or "bad loses" in first
    for line in digest(study.comparisons, study.question):
        assert line.index("good") < line.index("bad")


@EACH
def test_percent_and_points_stand_only_where_they_are_meant(metric: Metric) -> None:
    tables = make_tables(study_of(_records(metric, models=("mlp", "convnet"))))
    assert tables[0].name == metric.name and tables[0].in_terminal
    for table in tables:
        if table.name in ("cost", LOSS.name):
            continue
        words = " ".join(
            [table.title, *table.header, *(e.text for line in table.lines for e in line.cells), *table.notes]
        )
        assert (" points" in words or "(points" in words) <= metric.percent, table.name
        assert "accuracy" not in words.lower() or metric is ACCURACY
        assert "nan" not in words
    lower = [note for table in tables for note in table.notes if note.startswith(f"Lower {metric.title} is better")]
    assert bool(lower) == (not metric.higher_is_better)


@EACH
def test_each_other_metric_has_a_table_outside_the_terminal(metric: Metric, tmp_path: Path) -> None:
    report = write_report(tmp_path, _records(metric, seeds=2))
    names = {path.relative_to(tmp_path).as_posix() for path in report.files}
    assert {f"tables/{metric.name}.md", "tables/loss.md", f"figures/{metric.name}.png"} <= names
    (loss,) = (table for table in report.tables if table.name == "loss")
    assert not loss.in_terminal and "cross-entropy in nats" in loss.title
    page = (tmp_path / "report.html").read_text()
    assert "Other metrics" in page and (" points" in page.partition("plotly.js v")[0]) >= metric.percent


@EACH
def test_speed_goes_the_right_way(metric: Metric) -> None:
    def speeds(**question: Any) -> dict[tuple[str, str], Speed]:
        tables = speed_tables(study_of(_records(metric), **question))
        return {(each.arm, each.column): each for table in tables for each in table.rows}

    found = speeds()
    if metric is R2:  # the baseline is below 0, and 95 % of it would be above it
        assert all("is not above 0" in each.why_none for each in found.values())
        found = speeds(target=-0.35)
    else:
        mean = float(study_of(_records(metric)).conditions[""][0].array("batch", f"validation.{metric.name}").mean())
        assert found["batch", "2"].target == pytest.approx(mean * 0.95 if metric.higher_is_better else mean / 0.95)
    assert found["good", "2"].reached == 8 and found["good", "2"].steps[0] == 20
    assert found["bad", "2"].reached == 0


@EACH
def test_slopes_gaps_ranks_and_curves_follow_the_metric(metric: Metric) -> None:
    study = study_of(_records(metric, models=("mlp", "convnet")))
    sign = 1 if metric.higher_is_better else -1
    effects = {effect.arm: effect for table in batch_size_effect_tables(study) for effect in table.rows}
    assert sign * effects["batch"].slope_per_doubling == pytest.approx(0.01, abs=0.001)
    assert effects["batch"].smallest_batch == "32" if metric is not BITS else "2"
    assert all(each.mean == 0 for table in gap_tables(study) for each in table.rows)
    ranks = {each.arm: each.rank for table in workload_tables(study) for each in table.rows}
    assert ranks == {"good": 1, "batch": 2, "bad": 3}
    curve = learning_curves(study, "model=mlp", "2")["batch"]
    assert sign * (curve.mean[1] - curve.mean[0]) == pytest.approx(0.5)


@EACH
def test_only_a_percentage_has_the_limits_of_one(metric: Metric) -> None:
    records = _records(metric, seeds=3)
    study = study_of(records)
    drawn = {name: own[0] for name, own in make_figures([study]).items()}
    assert drawn["main"].name == metric.name and drawn["main"].y_title.endswith("(%)") == metric.percent
    assert (drawn["main"].limits == (0, 100)) == (drawn["speed"].limits == (0, 100)) == metric.percent
    scale = 100 if metric.percent else 1
    shown = [end for trace in drawn["main"].panels[0].traces for end in (trace.low.min(), trace.high.max())]
    assert min(shown) < scale * LEVEL[metric] < max(shown)
    assert ("points" in drawn["differences"].y_title) == metric.percent
    assert (drawn["differences"].rope is not None) == metric.percent, (
        "nothing else is equal in practice unless it is said"
    )


@EACH
def test_trials_choose_by_the_direction(metric: Metric) -> None:
    found = choices(
        frame([each for norm in ("batch", "group") for each in trials_of(norm, VALUES[RATE][0], metric=metric)]), RATE
    )
    best = VALUES[RATE][0] if metric.higher_is_better else VALUES[RATE][1]  # where trials of `best` score more
    assert found["chosen"].tolist() == [best, best]


def test_a_trial_without_a_figure_chooses_nothing() -> None:
    lost = {
        split: {"bits_per_character": None, "loss": None, "samples": 250} for split in ("train", "validation", "test")
    }
    trials = trials_of("batch", VALUES[RATE][1], metric=BITS)
    broken = [
        dataclasses.replace(each, status="diverged", metrics=lost) if each.spec["optimizer"]["lr"] == 0.1 else each
        for each in trials
    ]
    found = choices(frame(broken), RATE)
    assert found["chosen"].tolist() == [1.0] and math.isnan(found["means"][0][0.1])


@EACH
def test_the_region_of_equivalence_is_in_the_unit_of_the_metric(metric: Metric) -> None:
    rope = 0.02 * (100 if metric.percent else 1)
    question = Question(metric=metric, rope=rope)
    assert question.counts_as_equal(0.0199) and not question.counts_as_equal(0.0201)
    assert Question(metric=metric).counts_as_equal(0.005) == metric.percent


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metric": ACCURACY, "target": 95}, "a fraction above 0 and up to 1"),
        ({"metric": BITS, "target": math.inf}, "finite"),
        ({"metric": BITS, "rope": -1}, "at least 0"),
        ({"metric": BITS, "rope": math.nan}, "at least 0"),
    ],
)
def test_a_question_that_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ReportError, match=message):
        Question(**options)
    assert Question(metric=BITS, target=1.7).target == 1.7


def test_the_metric_of_the_runs_is_found_or_asked_for() -> None:
    one, other = frame(_records(ACCURACY, 1)), frame(_records(BITS, 1))
    both = frame([*_records(ACCURACY, 1), *_records(BITS, 1, ("convnet",))])
    assert metric_of(one) == ACCURACY and metric_of(other) == BITS and metric_of(both, "loss") == LOSS
    with pytest.raises(ReportError, match=r"accuracy .*bits_per_character .*metric="):
        metric_of(both)
    with pytest.raises(ReportError, match="'accuracy'"):
        metric_of(one, "acuracy")
    other_loss = Metric("loss", "", higher_is_better=False)
    facts = [ACCURACY.facts(), other_loss.facts()]
    with pytest.raises(ReportError, match="different things"):
        metric_of(frame([*_records(BITS, 1), make_record(model="vgg", metric_facts=facts)]), "loss")
    assert metric_of_value(one, "samples_per_second").higher_is_better
    assert not metric_of_value(one, "parameters.trunk").higher_is_better


def test_a_failed_run_alone_needs_no_metric() -> None:
    study = Study(frame([make_record(status="failed", reason="why", metric_facts=[])]), Question())
    assert study.question.facts.name == "metric" and make_tables(study)


def test_arms_are_compared_by_the_metric_of_their_frame() -> None:
    verdicts = compare_arms(frame(_records(BITS)))
    assert set(verdicts.loc[verdicts["arm"] == "good", "verdict"]) == {BETTER}
    assert verdicts.loc[verdicts["arm"] == "good", "difference"].max() < 0
    assert set(compare_arms(frame(_records(BITS)), value="test.loss")["verdict"]) == {BETTER, WORSE}


def test_the_control_is_told_by_its_field_and_stands_behind_the_baseline() -> None:
    records = [make_record(norm=norm, seed=seed, control=control) for seed in range(2)
               for norm, control in (("layer", False), ("batch", True), ("batch", False), ("alpha_control", False))]  # fmt: skip
    runs = frame(records)
    assert set(runs["norm"]) == {"layer", "batch", "batch_control", "alpha_control"}
    assert runs.set_index("norm")["control"].groupby("norm").all().to_dict()["batch_control"]
    study = study_of(records, order={"norm": ["layer", "batch", "alpha_control"]})
    assert study.places.row_labels == ("layer", "batch", "batch_control", "alpha_control")
    assert study.controls == {"batch_control"}
    assert {each.arm for each in paired(study) if each.control} == {"batch_control"}


@pytest.mark.parametrize("name", ["cost", "tuning", "differences"])
def test_a_metric_that_is_called_like_an_analysis_takes_no_file_of_it(name: str, tmp_path: Path) -> None:
    metric = Metric(name, higher_is_better=False)
    report = write_report(tmp_path, [make_record(norm=norm, seed=seed, metric=metric, accuracy=2.0 + seed) for norm in ("batch", "group") for seed in range(2)])  # fmt: skip
    assert table_name(metric) == f"{name}_metric"
    assert (tmp_path / "tables" / f"{name}_metric.md").exists() and len(set(report.files)) == len(report.files)


@pytest.mark.parametrize(
    ("value", "metric", "options", "text"),
    [
        (0.9713, ACCURACY, {}, "97.1"),
        (-0.012, ACCURACY, {"sign": True}, "−1.2"),
        (2.14972, BITS, {}, "2.15"),
        (2.14972, BITS, {"width": 0.0053}, "2.1497"),
        (12345.6, R2, {"width": 120.0}, "12346"),
        (-0.00001, R2, {"sign": True, "width": 0.01}, "0.000"),
        (0.5, R2, {"sign": True, "width": 0.0}, "+0.5"),
        (math.nan, BITS, {}, "–"),
        (math.inf, BITS, {"width": math.nan}, "∞"),
        (math.inf, BITS, {"sign": True}, "+∞"),
        (-math.inf, ACCURACY, {"sign": True, "width": math.inf}, "−∞"),
    ],
)  # fmt: skip
def test_figures_in_words(value: float, metric: Metric, options: dict[str, Any], text: str) -> None:
    assert figure(value, metric, **options) == text


def _of_a_module(name: str) -> list[Record]:
    """Runs that have one figure, on validation alone, of which no record knows the facts."""
    return [
        make_record(norm=norm, seed=seed, metric_facts=[],
                    metrics={"train": {}, "validation": {name: value + 0.01 * seed, "samples": 50}, "test": {}})
        for norm, value in (("batch", 0.5), ("group", 0.7)) for seed in range(8)
    ]  # fmt: skip


def test_a_figure_that_is_known_on_validation_alone_is_reported_there(tmp_path: Path) -> None:
    report = write_report(tmp_path, _of_a_module("val_dice"), question=Question(metric="val_dice"))
    (main,) = (table for table in report.tables if table.name == "val_dice")
    assert main.title == "Validation val dice" and main.lines[1].cells[1].strong
    assert report.studies[0].comparisons[0].verdict == BETTER


def test_a_direction_that_the_name_does_not_tell_has_to_be_said(tmp_path: Path) -> None:
    records = _of_a_module("goodness")
    with pytest.raises(ReportError, match=r"metric\.higher_is_better=true or false"):
        write_report(tmp_path, records, question=Question(metric="goodness"))
    for higher, verdict in ((True, BETTER), (False, WORSE)):
        question = Question(metric="goodness", higher_is_better=higher)
        report = write_report(tmp_path, records, question=question)
        assert report.studies[0].comparisons[0].verdict == verdict
    with pytest.raises(ReportError, match="name it with metric="):
        write_report(tmp_path, records)
    with pytest.raises(ReportError, match="did you mean 'goodness'"):
        write_report(tmp_path, records, question=Question(metric="godness"))
