"""What every task keeps: figures are sums over a split, in parts of any size; the loss is the figure of its name; directions
are right; and bad data are refused by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from normlib.data.dataset import DataError, Samples
from normlib.tasks import tasks
from normlib.tasks.metric import Metric, column_name, known_metric, shown
from normlib.tasks.task import Task

N, CLASSES = 60, 5
FACTS: dict[str, Any] = {
    "input_shape": (3, 4, 6), "num_classes": CLASSES, "num_targets": 2, "vocabulary": CLASSES, "characters_per_token": 2.0,
}  # fmt: skip


def facts_for(name: str) -> Any:
    """A dataset's facts for one task."""
    return SimpleNamespace(**FACTS | ({"input_shape": (7,)} if name == "language_modeling" else {}))


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def classes(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(CLASSES, shape, generator=torch.Generator().manual_seed(seed))


def case(name: str, **settings: Any) -> tuple[Task, Any, Samples, Tensor]:
    """A task, the facts of its data, samples and a network's outputs."""
    task, dataset = tasks[name].cls(**settings), facts_for(name)
    shape = (N, *dataset.input_shape)
    targets = {
        "classification": lambda: classes(N),
        "regression": lambda: 3 * draw(N, 2, seed=1) + torch.tensor([100.0, -2.0]),
        "segmentation": lambda: classes(N, 4, 6),
        "language_modeling": lambda: classes(N, 7),
    }[name]()
    inputs = classes(*shape, seed=2) if name == "language_modeling" else draw(*shape, seed=2)
    task.metrics_on(dataset)
    samples = Samples(inputs, targets)
    task.prepare(samples)
    return task, dataset, samples, draw(N, *task.output_shape(dataset), seed=3)


def figures(task: Task, outputs: Tensor, targets: Tensor, size: int = N) -> dict[str, float]:
    totals: dict[str, Tensor] = {}
    for part in range(0, N, size):
        for key, value in task.sums(outputs[part : part + size], targets[part : part + size]).items():
            totals[key] = totals.get(key, 0) + value  # type: ignore[assignment]
    return task.figures(totals)


EVERY = pytest.mark.parametrize("name", tasks.names())


def test_every_task_has_a_case() -> None:
    assert set(tasks.names()) == {"classification", "regression", "segmentation", "language_modeling"}


@EVERY
@pytest.mark.parametrize("size", [1, 7, 60])
def test_figures_do_not_depend_on_the_parts(name: str, size: int) -> None:
    task, _, samples, outputs = case(name)
    whole = figures(task, outputs, samples.targets)
    assert figures(task, outputs, samples.targets, size) == pytest.approx(whole, rel=1e-6)


@EVERY
def test_the_figures_are_the_declared_metrics_and_the_loss_is_the_one_that_trains(name: str) -> None:
    task, dataset, samples, outputs = case(name)
    found = figures(task, outputs, samples.targets)
    assert set(found) == {metric.name for metric in task.metrics_on(dataset)}
    assert found["loss"] == pytest.approx(float(task.loss(outputs, samples.targets)), rel=1e-5)


@EVERY
def test_right_outputs_are_better_by_every_metric(name: str) -> None:
    task, dataset, samples, outputs = case(name)
    if name == "regression":
        right = (samples.targets - samples.targets.mean(0)) / samples.targets.std(0, correction=0)
    else:
        one_hot = torch.nn.functional.one_hot(samples.targets, CLASSES).float()
        right = 20 * (one_hot.movedim(-1, 1) if name == "segmentation" else one_hot)
    good, bad = figures(task, right, samples.targets), figures(task, outputs, samples.targets)
    for metric in task.metrics_on(dataset):
        assert (good[metric.name] > bad[metric.name]) == metric.higher_is_better, metric.name


@EVERY
def test_shares_move_by_one_sample(name: str) -> None:
    """The smallest step that a metric declares is the one that it makes."""
    task, dataset, samples, outputs = case(name)
    for metric in task.metrics_on(dataset):
        if metric.step:
            value = figures(task, outputs, samples.targets)[metric.name]
            assert value * N / metric.step == pytest.approx(round(value * N / metric.step), abs=1e-9)


@EVERY
def test_a_dataset_that_does_not_tell_is_refused(name: str) -> None:
    silent = SimpleNamespace(**dict.fromkeys(FACTS) | {"input_shape": (3, 4, 6)})
    with pytest.raises(DataError, match=f"task={name} needs to know .* does not declare"):
        tasks[name].cls().num_outputs(silent)  # type: ignore[attr-defined]


# ---- held against torchmetrics, sklearn's definitions


def test_classification_agrees_with_torchmetrics() -> None:
    from torchmetrics.functional.classification import multiclass_accuracy, multiclass_calibration_error

    task, _, samples, outputs = case("classification")
    found = figures(task, outputs, samples.targets, 7)
    probabilities = outputs.softmax(1)
    assert found["accuracy"] == pytest.approx(
        float(multiclass_accuracy(probabilities, samples.targets, CLASSES, average="micro"))
    )
    assert found["calibration_error"] == pytest.approx(
        float(multiclass_calibration_error(probabilities, samples.targets, CLASSES, n_bins=15, norm="l1")), abs=1e-6
    )
    by_hand = sum(
        float(((p - torch.eye(CLASSES)[t]) ** 2).sum()) for p, t in zip(probabilities, samples.targets, strict=True)
    )
    assert found["brier_score"] == pytest.approx(by_hand / N, rel=1e-6)


def test_regression_agrees_with_torchmetrics_in_the_targets_own_unit() -> None:
    from torchmetrics.functional.regression import mean_squared_error, r2_score

    task, _, samples, outputs = case("regression")
    found = figures(task, outputs, samples.targets, 7)
    mean, deviation = samples.targets.mean(0), samples.targets.std(0, correction=0)
    predicted = outputs * deviation + mean
    assert found["rmse"] == pytest.approx(
        float(mean_squared_error(predicted.flatten(), samples.targets.flatten(), squared=False)), rel=1e-5
    )
    assert found["r2"] == pytest.approx(float(r2_score(predicted, samples.targets)), rel=1e-4)


def test_r2_of_the_mean_is_zero_and_of_constant_targets_nothing() -> None:
    task, _, samples, outputs = case("regression")
    assert figures(task, torch.zeros_like(outputs), samples.targets)["r2"] == pytest.approx(0, abs=1e-6)
    constant = torch.full((N, 2), 4.0)
    task.prepare(Samples(samples.inputs, constant))
    assert not math.isfinite(figures(task, outputs, constant)["r2"])


@pytest.mark.parametrize("ignored", [None, 255])
def test_segmentation_agrees_with_torchmetrics(ignored: int | None) -> None:
    from torchmetrics.functional.classification import multiclass_f1_score, multiclass_jaccard_index

    task, _, samples, outputs = case("segmentation", ignore_index=ignored)
    targets = samples.targets.clone()
    if ignored is not None:
        targets[:, 0] = ignored
    found = figures(task, outputs, targets, 7)
    arguments: Any = {"num_classes": CLASSES, "ignore_index": ignored, "average": "macro"}
    assert found["mean_iou"] == pytest.approx(float(multiclass_jaccard_index(outputs, targets, **arguments)), rel=1e-5)
    assert found["dice"] == pytest.approx(float(multiclass_f1_score(outputs, targets, **arguments)), rel=1e-5)


def test_a_class_that_is_nowhere_does_not_count() -> None:
    task = tasks["segmentation"].cls()
    outputs = torch.zeros(1, 3, 1, 2)
    outputs[0, 0] = 1  # class 0 everywhere
    found = task.figures(task.sums(outputs, torch.tensor([[[0, 1]]])))  # type: ignore[attr-defined]
    assert found["mean_iou"] == pytest.approx((0.5 + 0) / 2)


def test_language_modeling_agrees_with_torchmetrics() -> None:
    from torchmetrics.functional.text import perplexity

    task, dataset, samples, outputs = case("language_modeling")
    found = figures(task, outputs, samples.targets, 7)
    assert found["perplexity"] == pytest.approx(float(perplexity(outputs, samples.targets)), rel=1e-5)
    assert found["bits_per_character"] == pytest.approx(math.log2(found["perplexity"]) / 2)
    dataset.characters_per_token = None
    assert [metric.name for metric in task.metrics_on(dataset)] == ["perplexity", "loss"]
    assert set(figures(task, outputs, samples.targets)) == {"perplexity", "loss"}


# ---- data that a task does not take


def hot(targets: Tensor) -> Tensor:
    return torch.nn.functional.one_hot(targets, CLASSES)


BAD: list[tuple[str, Callable[[Tensor], Tensor], str]] = [
    ("classification", lambda t: t + 0.5, "float32; real targets are for task=regression"),
    ("classification", hot, "one-hot targets become class numbers"),
    ("classification", lambda t: t + 1, r"from 0 to num_classes - 1 = 4, got 1 to 5"),
    ("classification", lambda t: t - 1, r"got -1 to 3"),
    ("classification", lambda t: t.int(), "int32; convert them with .long"),
    ("classification", lambda t: t.unsqueeze(1), r"one class number a sample, got \(60, 1\)"),
    ("regression", lambda t: t.long(), "targets are real numbers, got int64"),
    ("regression", lambda t: t[:, 0], r"targets.unsqueeze\(1\)"),
    ("regression", lambda t: t[:, :1], r"\(n, 2\), got \(60, 1\)"),
    ("regression", lambda t: t / 0, "NaN or infinities"),
    ("segmentation", lambda t: t[:, 0], r"\(n, 4, 6\), got \(60, 6\)"),
    ("segmentation", lambda t: t.mT, r"\(n, 4, 6\), got \(60, 6, 4\)"),
    ("segmentation", lambda t: t + 1, "got 1 to 5"),
    ("language_modeling", lambda t: t[:, 1:], "the next token of each input"),
    ("language_modeling", lambda t: t + 1, "got 1 to 5"),
]


@pytest.mark.parametrize(("name", "spoil", "message"), BAD)
def test_bad_targets_are_refused_by_name(name: str, spoil: Callable[[Tensor], Tensor], message: str) -> None:
    task, dataset, samples, _ = case(name)
    task.check_samples(samples, dataset, "test")
    with pytest.raises(DataError, match=message) as refused:
        task.check_samples(Samples(samples.inputs, spoil(samples.targets)), dataset, "test")
    assert f"task={name}, test of" in str(refused.value)


# ---- metrics


@pytest.mark.parametrize(
    ("name", "higher"),
    [
        ("val_dice", True), ("val/acc", True), ("valAccuracy", True), ("top1", True), ("R2Score", True), ("test_loss", False),
        ("rmse", False), ("val_top1_error", False), ("perplexity", False), ("bits_per_character", False), ("bpc", False),
        ("mAP", True), ("closs", None), ("speed", None), ("factor", None),
    ],
)  # fmt: skip
def test_a_name_tells_a_direction_only_by_its_words(name: str, higher: bool | None) -> None:
    metric = known_metric(name)
    assert (None if metric is None else metric.higher_is_better) is higher


@pytest.mark.parametrize(
    ("name", "column"),
    [("val/dice", "val_dice"), ("top-1 acc", "top_1_acc"), ("1st", "metric_1st"), ("élan", "metric_élan")],
)
def test_what_a_module_logs_has_a_column(name: str, column: str) -> None:
    assert column_name(name) == column == Metric(column_name(name)).name


def test_metrics_in_words_and_back() -> None:
    metric = Metric("mean_iou", "%")
    assert (metric.title, Metric.from_facts(metric.facts())) == ("mean iou", metric)
    assert [shown(metric, 0.1234), shown(metric, None)] == ["12.34 %", "not finite"]
    assert shown(Metric("bits_per_character", "bits"), 2.34567) == "2.346 bits"
    with pytest.raises(ValueError, match="letters, digits and underscores"):
        Metric("mean iou")
