"""Checks one run from spec to record: what a record holds, how runs diverge and fail, budgets, curves, and settings that reach the norms."""

from __future__ import annotations

import dataclasses
import datetime
import math
import warnings
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor

from normlib.data.digits import Digits
from normlib.norms import norms
from normlib.norms.base import Norm
from normlib.results.store.record import Record
from normlib.training.network import NetworkShape, build_network
from normlib.training.setup import set_up
from normlib.training.step_loop import TRAIN_CURVE_POINTS, StepLoop
from normlib.training.trainer import EXPECTED_WARNINGS
from normlib.training.weights import read_weights

SMALL = ("model.width=8", "model.depth=2", "data.batch_size=100")
STEPS_PER_EPOCH = Digits.sizes["train"] // 100  # more than 6 and at most 13: some runs below end in the second epoch


def test_a_finished_run_leaves_every_fact_in_its_record(make_run, train) -> None:
    overrides = (*SMALL, "training.steps=15", "evaluation.points=3", "norm=batch")
    run, record = make_run(*overrides), train(*overrides)
    assert (record.status, record.reason, record.traceback) == ("done", None, None)
    assert (record.id, record.spec, record.code) == (run.id, run.spec, run.code)
    assert (record.experiment, record.labels, record.data_version) == (run.experiment, run.labels, run.data_version)
    assert record.command == run.command
    assert record.command.startswith("normlib train model.width=8")
    assert (record.planned_steps, record.steps, record.samples) == (15, 15, 1500)
    assert set(record.metrics) == {"train", "validation", "test"}
    for split, size in Digits.sizes.items():
        scores = record.metrics[split]
        assert scores["samples"] == size
        assert 0 <= scores["accuracy"] <= 1
        assert (scores["accuracy"] * size) == pytest.approx(round(scores["accuracy"] * size))
        assert math.isfinite(scores["loss"])
        assert scores["loss"] > 0
    assert record.seconds_training > 0
    assert record.seconds_per_step == record.seconds_training / 15
    assert record.samples_per_second == 1500 / record.seconds_training
    assert record.peak_memory_bytes is None or record.peak_memory_bytes >= 0
    assert record.parameters == {"trunk": 64 * 8 + 8 * 8 + 8 * 10 + 10, "norm": 2 * 2 * 8}
    assert record.state_size == 2 * (8 + 8 + 1)  # running mean and variance of two sites, and their counters
    assert set(record.hashes) == {"trunk", "batches", "schedule", "data"}
    assert len(record.hashes["batches"]) == 2
    assert {"python", "torch", "normlib", "cpu", "cores", "accelerator", "threads", "commit"} <= set(record.environment)
    assert (record.environment["accelerator"], record.environment["threads"]) == ("cpu", 1)
    started, ended = map(datetime.datetime.fromisoformat, (record.started, record.ended))
    assert started < ended
    assert started.tzinfo is not None
    assert Record.from_json(record.to_json()) == record


def test_a_record_names_no_host(train) -> None:
    import socket

    assert socket.gethostname() not in train(*SMALL, "training.steps=1").to_json()


def test_the_network_learns(train) -> None:
    record = train("data.batch_size=32", "training.epochs=2", "model.width=32", "model.depth=2", "norm=batch")
    assert record.metrics["test"]["accuracy"] > 0.7  # chance is a tenth
    assert record.steps == 2 * (Digits.sizes["train"] // 32)


# ---- budgets and curves


@pytest.mark.parametrize(
    ("overrides", "steps"),
    [
        (("training.epochs=2",), 2 * STEPS_PER_EPOCH),
        (("training.steps=5",), 5),
        (("training.steps=30", "training.epochs=1"), 30),
    ],
)
def test_budgets_count_optimizer_steps(overrides: tuple[str, ...], steps: int, make_run, train) -> None:
    assert make_run(*SMALL, *overrides).planned_steps == steps
    record = train(*SMALL, *overrides)
    assert (record.planned_steps, record.steps) == (steps, steps)
    assert len(record.hashes["batches"]) == -(-steps // STEPS_PER_EPOCH)


@pytest.mark.parametrize(
    ("points", "expected"), [(1, [15]), (3, [5, 10, 15]), (4, [4, 8, 12, 15]), (100, list(range(1, 16)))]
)
def test_validation_is_evaluated_at_its_points(points: int, expected: list[int], train) -> None:
    record = train(*SMALL, "training.steps=15", f"evaluation.points={points}")
    curve = record.curves["validation"]
    assert curve["step"] == expected
    assert curve["samples"] == [100 * step for step in expected]
    assert curve["seconds"] == sorted(curve["seconds"])
    assert curve["seconds"][-1] <= record.seconds_training
    assert {len(values) for values in curve.values()} == {len(expected)}
    assert (curve["loss"][-1], curve["accuracy"][-1]) == tuple(
        record.metrics["validation"][key] for key in ("loss", "accuracy")
    ), "the last point is the run's end"


def test_evaluations_along_the_way_change_nothing(train) -> None:
    one, many = (train(*SMALL, "training.steps=15", f"evaluation.points={points}") for points in (1, 15))
    assert one.metrics == many.metrics
    assert one.curves["train"] == many.curves["train"]


def test_the_training_curve_is_the_mean_loss_between_its_points(train) -> None:
    fine = train(*SMALL, "training.steps=20").curves["train"]
    assert fine["step"] == list(range(1, TRAIN_CURVE_POINTS + 1))
    coarse = train(*SMALL, "training.steps=40", "schedule=constant").curves["train"]
    assert coarse["step"] == list(range(2, 41, 2))
    single = train(*SMALL, "training.steps=20", "schedule=constant").curves["train"]["loss"]
    means = [(first + second) / 2 for first, second in zip(single[::2], single[1::2])]
    assert coarse["loss"][:10] == pytest.approx(means, rel=1e-12)  # the same losses, a sum of two in float64


def test_the_evaluation_batch_changes_rounding_only(train) -> None:
    one, other = (train(*SMALL, "training.steps=5", f"evaluation.batch_size={size}") for size in (7, 512))
    for split in ("train", "validation", "test"):
        assert one.metrics[split]["accuracy"] == other.metrics[split]["accuracy"]
        # Sums of at most 1,797 float32 losses of order one, each batch summed on its own: far less than 1e-5 a loss.
        assert one.metrics[split]["loss"] == pytest.approx(other.metrics[split]["loss"], rel=1e-5)


# ---- runs that come to a bad end


class NotFiniteFrom(Norm):
    """Passes its input on, but as NaN from its n-th training step on."""

    def __init__(self, num_features: int, step: int = 14) -> None:
        super().__init__(num_features)
        self.step, self.seen = step, 0

    def normalize(self, x: Tensor) -> Tensor:
        self.seen += self.training and x.device.type != "meta"
        return x if self.seen < self.step else x * math.nan


@pytest.mark.parametrize("steps_per_chunk", [1, 5, 50])
def test_a_run_whose_loss_is_not_finite_stops_and_is_recorded(steps_per_chunk: int, registered, train) -> None:
    registered(norms, f"not_finite_{steps_per_chunk}")(NotFiniteFrom)
    small = (*SMALL, "training.steps=30", "evaluation.points=3")
    whole = train(*small, "norm=none")
    record = train(*small, f"norm=not_finite_{steps_per_chunk}", steps_per_chunk=steps_per_chunk)
    assert record.status == "diverged"
    assert record.reason == "the loss was no longer finite at step 14 of 30"
    assert (record.steps, record.samples, record.planned_steps) == (13, 1300, 30)
    assert record.hashes["batches"] == whole.hashes["batches"][:1], "the one whole epoch"
    assert record.curves["validation"]["step"] == [10]
    assert max(record.curves["train"]["step"]) <= 13
    for scores in record.metrics.values():
        assert scores["loss"] is None, "it is scored as it is: broken"
        assert 0 <= scores["accuracy"] < 0.2  # argmax of NaN is one class, about a tenth of the samples
    assert record.seconds_training > 0
    assert Record.from_json(record.to_json()) == record


def test_a_learning_rate_beyond_all_bounds_diverges(train) -> None:
    record = train(*SMALL, "training.steps=6", "optimizer.lr=1e30", "schedule=constant", "norm=none")
    assert record.status == "diverged"
    assert record.steps < 6
    assert record.hashes["batches"] == []
    assert record.metrics["test"]["loss"] is None


def test_a_network_broken_by_its_last_step_has_diverged(train) -> None:
    record = train(*SMALL, "training.steps=1", "optimizer.lr=1e38", "schedule=constant", "norm=none")
    assert record.status == "diverged"
    assert record.reason == "the loss of the trained network is not finite (after all 1 steps)"
    assert (record.steps, len(record.hashes["batches"])) == (1, 1)


class Fails(Norm):
    """Raises in its third forward pass of training, as a fault in a user's own norm would."""

    error: type[BaseException] = RuntimeError

    def __init__(self, num_features: int) -> None:
        super().__init__(num_features)
        self.seen = 0

    def normalize(self, x: Tensor) -> Tensor:
        self.seen += self.training and x.device.type != "meta"
        if self.seen == 3:
            raise self.error("planted fault")
        return x


def test_a_fault_inside_a_norm_is_a_failed_run_with_its_traceback(registered, train) -> None:
    registered(norms, "fails")(Fails)
    record = train(*SMALL, "training.steps=6", "norm=fails")
    assert (record.status, record.reason) == ("failed", "RuntimeError: planted fault")
    assert "planted fault" in record.traceback
    assert "in normalize" in record.traceback, "the traceback leads to the fault"
    assert (record.metrics, record.hashes, record.steps) == ({}, {}, 0)
    assert record.environment["torch"] == torch.__version__
    assert Record.from_json(record.to_json()) == record


def test_ctrl_c_passes_through(registered, train) -> None:
    @registered(norms, "interrupted")
    class Interrupted(Fails):
        """Stands for Ctrl-C in the middle of a step."""

        error = KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(*SMALL, "training.steps=6", "norm=interrupted")


# ---- settings that reach the norms and the trainer


def norm_of(make_run, *overrides: str) -> Norm:
    run = make_run(*SMALL, *overrides)
    return next(iter(build_network(run.spec, NetworkShape((1, 8, 8), 10), run.planned_steps).sites.values())).norm


@pytest.mark.parametrize("norm", norms.names())
def test_the_batch_for_statistics_reaches_every_norm_and_counts_where_the_batch_does(
    norm: str, make_run, train
) -> None:
    # Batch renorm's full bounds from the start: at first it would hardly differ from its running averages.
    own = {"group": ("norm.num_groups=2",), "batch_renorm": ("norm.schedule=null",)}.get(norm, ())
    model = ("model=resnet", "model.depth=8") if norms[norm].cls.slot == "branch" else ("model=convnet",)
    overrides = (*model, f"norm={norm}", *own)
    assert norm_of(make_run, *overrides).norm_batch_size is None
    assert norm_of(make_run, *overrides, "site.norm_batch_size=10").norm_batch_size == 10
    plain, grouped = (
        train(*SMALL, "training.steps=3", *overrides, *more) for more in ((), ("site.norm_batch_size=10",))
    )
    assert plain.hashes == grouped.hashes
    assert (plain.metrics != grouped.metrics) == norms[norm].cls.depends_on_batch


def test_the_horizon_sets_the_momentum_of_running_averages(make_run, train) -> None:
    assert norm_of(make_run, "norm=batch").momentum == 0.1
    assert norm_of(make_run, "norm=batch", "site.horizon=10000").momentum == 0.01
    assert norm_of(make_run, "norm=batch", "site.horizon=50").momentum == 1.0
    assert norm_of(make_run, "norm=batch_renorm", "site.horizon=400").momentum == 0.25
    assert not hasattr(norm_of(make_run, "norm=group", "site.horizon=400", "norm.num_groups=2"), "momentum")
    short, long = (train(*SMALL, "training.steps=3", "norm=batch", f"site.horizon={n}") for n in (100, 10_000))
    assert short.metrics != long.metrics
    assert short.curves["train"] == long.curves["train"], "training normalizes by the batch, whatever the horizon"


def test_the_runs_length_reaches_the_norms(make_run) -> None:
    norm = norm_of(make_run, "norm=batch_renorm", "norm.schedule=fraction", "training.steps=40")
    assert norm.total_steps == 40


def test_batch_renorm_reports_its_bounds_and_clipping(train) -> None:
    settings = (
        "norm=batch_renorm",
        "norm.schedule=fraction",
        "norm.warmup=0",
        "norm.d_ramp_end=0.5",
        "norm.r_ramp_end=0.5",
    )
    report = train(*SMALL, "training.steps=8", *settings).norm_report
    assert set(report) == {"r_max", "d_max", "clipped_r", "clipped_d", "mean_clipped_r", "mean_clipped_d"}
    assert (report["r_max"], report["d_max"]) == (3.0, 5.0)
    assert all(0 <= report[key] <= 1 for key in report if "clipped" in key)
    assert report["mean_clipped_r"] > 0, "the first steps, with bounds of 1 and 0, clip"
    assert train(*SMALL, "training.steps=1", "norm=batch").norm_report == {}


def test_precision_is_that_of_the_layers_not_of_the_parameters(registered, train, tmp_path: Path) -> None:
    seen: dict[str, set[torch.dtype]] = {"32": set(), "bf16-mixed": set()}
    current = "32"

    @registered(norms, "watches_types")
    class Watches(Norm):
        """Notes the type of what comes in, in training and in evaluation."""

        def forward(self, x: Tensor) -> Tensor:
            if x.device.type != "meta":
                seen[current].add(x.dtype)
            return super().forward(x)

        def __init__(self, num_features: int) -> None:
            super().__init__(num_features)

        def normalize(self, x: Tensor) -> Tensor:
            return x

    for current in seen:
        file = tmp_path / f"{current}.safetensors"
        record = train(
            *SMALL, "training.steps=2", "norm=watches_types", f"training.precision={current}", weights_file=file
        )
        assert record.status == "done"
        assert {value.dtype for value in read_weights(file).values()} == {torch.float32}
    assert seen == {"32": {torch.float32}, "bf16-mixed": {torch.bfloat16}}


def test_threads_of_the_spec_are_used(train, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(StepLoop, "on_train_start", lambda self: seen.append(torch.get_num_threads()))
    record = train(*SMALL, "training.steps=1", "threads=2")
    assert (seen, record.environment["threads"]) == ([2], 2)
    assert torch.get_num_threads() == 1, "the caller's own number is put back"


# ---- Lightning's own


def test_module_and_data_work_in_a_plain_trainer(make_run, train, tmp_path: Path) -> None:
    overrides = (*SMALL, "training.steps=15", "evaluation.points=3", "data.crop=1")
    run, record = make_run(*overrides), train(*overrides)
    module = StepLoop(set_up(run, tmp_path), steps_per_chunk=4)
    with warnings.catch_warnings():
        for message in EXPECTED_WARNINGS:
            warnings.filterwarnings("ignore", message)
        trainer = pl.Trainer(
            max_epochs=2, accelerator="cpu", logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(module)
    assert trainer.global_step == module.steps_done == 15, "Lightning counts optimizer steps too"
    assert module.train_curve == record.curves["train"]
    assert module.evaluate(*record.metrics) == record.metrics


def test_a_run_warns_of_nothing_and_prints_nothing(train, capfd: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert train(*SMALL, "training.steps=2").status == "done"
    assert capfd.readouterr() == ("", "")


def test_a_run_writes_nothing(train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    train(*SMALL, "training.steps=2")
    assert list(tmp_path.iterdir()) == []


def test_records_are_frozen(train) -> None:
    record = train(*SMALL, "training.steps=1")
    with pytest.raises(dataclasses.FrozenInstanceError):
        record.status = "diverged"
