"""Checks that LightningModules of users' own are compared as normlib's networks are: one trunk, one order, one schedule for every
arm; whatever Lightning can do works; a killed run goes on; what cannot be compared is refused before anything trains."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from normlib.cli import main
from normlib.experiments.complaints import ConfigError
from normlib.experiments.plan import make_plan, make_run
from normlib.experiments.user_code import try_metrics
from normlib.norms import norms
from normlib.results.store.store import Store
from normlib.training.run import train_run
from normlib.training.user_module import UserModuleError

FILE = Path(__file__).with_name("my_modules.py")
SHORT = ("trainer.max_epochs=2", "accelerator=cpu")


def run_of(name: str, *words: str, data: str | None = "Points") -> Any:
    datamodule = [f"datamodule={FILE}:{data}"] if data else []
    return make_run([f"module={FILE}:{name}", *datamodule, *SHORT, *words])[0]


def record_of(name: str, *words: str, data: str | None = "Points", **options: Any) -> Any:
    record = train_run(run_of(name, *words, data=data), Path("unused"), **options).record
    assert record.trained, record.traceback or record.reason
    return record


ARMS = ("batch", "group norm.num_groups=2", "layer", "batch_renorm", "none")


@pytest.mark.parametrize(
    ("name", "data"),
    [("Plain", "Points"), ("WithFactory", "Points"), ("Gan", "Points"), ("Loaded", None), ("Draws", None)],
)
def test_arms_have_one_trunk_one_order_and_one_schedule(name: str, data: str | None) -> None:
    arms = ARMS if name == "Plain" else ARMS[:3]
    records = [record_of(name, *f"norm={arm}".split(), data=data) for arm in arms]
    hashes = [record.hashes for record in records]
    assert all(each == hashes[0] for each in hashes) and len(hashes[0]["batches"]) == 2
    assert len(set(hashes[0]["batches"])) == 2, "each epoch has an order of its own"
    results = [str(record.metrics["validation"]) for record in records]
    assert len(set(results)) == len(results), "and yet the norms differ"
    other = record_of(name, "norm=batch", "seed=1", data=data).hashes
    assert all(other[key] != hashes[0][key] for key in ("trunk", "batches"))


def test_the_same_run_gives_the_same_figures_and_keeps_the_modules_own_start() -> None:
    run = run_of("Plain", "norm=layer")
    one, two = (train_run(run, Path("unused")) for _ in range(2))
    assert (one.record.metrics, one.record.hashes) == (two.record.metrics, two.record.hashes)
    assert one.weights is not None and any("net.1" in name for name in one.weights)


def test_every_norm_moves_in_or_says_why_not() -> None:
    for name in norms.names():
        record = train_run(run_of("Plain", f"norm={name}", "trainer.max_steps=1"), Path("unused")).record
        assert record.status in ("done", "skipped"), (name, record.traceback)
        assert record.status == "done" or "layer ahead" in record.reason or len(record.reason) > 30


def test_the_record_tells_what_was_fed_logged_and_counted() -> None:
    record = record_of("Plain", "norm=batch", "data.batch_size=4", "trainer.accumulate_grad_batches=2")
    assert record.batch_sizes == {"step": 8, "forward": 4, "statistics": 4}
    assert (record.steps, record.planned_steps, record.samples) == (8, 8, 64)
    assert [record.metrics[split]["samples"] for split in ("train", "validation", "test")] == [64, 24, 40]
    assert set(record.metrics["test"]) == {"test_accuracy", "test_loss", "samples"}
    assert set(record.metrics["validation"]) == {"val_accuracy", "val_loss", "samples"}
    assert [facts["name"] for facts in record.metric_facts][:2] == ["test_accuracy", "val_accuracy"]
    assert {facts["name"]: facts["higher_is_better"] for facts in record.metric_facts}["val_loss"] is False
    assert record.parameters["norm"] == 8 and record.curves["validation"]["step"] == [4, 8]
    assert record.curves["train"]["step"] == [4, 8]


def test_settings_reach_constructors_and_the_trainer() -> None:
    record = record_of(
        "Plain", "norm=none", "module.args.width=16", "trainer.precision=bf16-mixed", "trainer.gradient_clip_val=0.1"
    )
    assert record.parameters["trunk"] == 6 * 16 + 16 + 16 + 1
    assert record.spec["trainer"]["precision"] == "bf16-mixed"
    wider = run_of("Plain", "norm=none", "module.args.width=8")
    assert wider.id != run_of("Plain", "norm=none").id
    assert run_of("Plain").spec["data"]["batch_size"] == 8, "the DataModule's own"
    assert run_of("Plain", "data.batch_size=2").spec["data"]["batch_size"] == 2


def test_workers_of_a_loader_change_no_order() -> None:
    orders = [record_of("Plain", f"datamodule.args.workers={workers}").hashes["batches"] for workers in (0, 1)]
    assert orders[0] == orders[1]


def test_calls_of_norm_layer_with_settings_are_said() -> None:
    assert "norm_layer was called with eps" in record_of("WithFactory").changes[0]


def test_a_loss_that_is_not_finite_stops_the_run() -> None:
    record = record_of("Explodes")
    assert record.status == "diverged" and "no longer finite at step 3" in record.reason and record.steps == 3


def test_a_killed_run_goes_on_from_its_last_epoch(tmp_path: Path) -> None:
    words = [
        f"module={FILE}:Plain",
        f"datamodule={FILE}:Points",
        "norm=batch",
        "trainer.max_epochs=12",
        "accelerator=cpu",
    ]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert main(["train", *words, f"results_dir={whole}"]) == 0
    process = subprocess.Popen(
        [sys.executable, "-m", "normlib", "train", *words, f"results_dir={killed}"], stdout=subprocess.DEVNULL,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    checkpoints = killed / "train" / "checkpoints"
    while not [file for file in checkpoints.glob("*/*.ckpt") if int(file.stem.partition("=")[2]) >= 2]:
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not list((killed / "train" / "runs").glob("*.json"))
    reached = max(int(file.stem.partition("=")[2]) for file in checkpoints.glob("*/*.ckpt"))
    assert 2 <= reached < 11
    assert main(["train", *words, f"results_dir={killed}"]) == 0
    one, two = (Store(results, "train").scan().records[0] for results in (whole, killed))
    assert (one.metrics, one.hashes, one.steps, one.samples) == (two.metrics, two.hashes, two.steps, two.samples)
    times = ("seconds",)
    for curve in ("train", "validation"):
        assert {k: v for k, v in one.curves[curve].items() if k not in times} == {
            k: v for k, v in two.curves[curve].items() if k not in times
        }
    assert not checkpoints.exists(), "a run with a record needs no checkpoint"


BAD: list[tuple[list[str], str]] = [
    ([f"module={FILE}:Plane"], "no class or function of .*'Plane'; did you mean 'Plain'"),
    ([f"module={FILE}"], "a file and a name in it, as in my_file.py:MyClass"),
    (["module=nowhere.py:Plain"], "there is no file 'nowhere.py'"),
    ([f"module={FILE}:not_a_class"], "a class is needed, but this is a function"),
    ([f"module={FILE}:Plain", "optimizer.lr=1"], "with module= .* would change nothing.*module.args.lr="),
    ([f"module={FILE}:Plain", "model=resnet"], "would change nothing"),
    ([f"module={FILE}:Plain", "module.args.widht=1"], "module.args.widht: no argument of Plain .*did you mean 'width'"),
    ([f"module={FILE}:Plain", "data.batch_size=4"], "Plain has none; add one"),
    ([f"module={FILE}:Plain", "trainer.max_epoch=4"], "no setting of the Trainer .*did you mean 'max_epochs'"),
    ([f"module={FILE}:Plain", "module.args=[3]"], "it takes arguments by name"),
    ([f"module={FILE}:Plain", "trainer.devices=2"], "trainer.devices is set by normlib"),
    ([f"module={FILE}:Plain", "norm.fit_on_batches=2"], "for pretrained networks of model="),
    ([f"module={FILE}:Plain", "norm.gamma_noise=-1"], "at least 0, got -1"),
    (
        [f"module={FILE}:Plain", "metric=closs"],
        "does not say whether higher or lower is better; add metric.higher_is_better",
    ),
    ([f"module={FILE}:Plain", f"datamodule={FILE}:Points", "site.norm_batch_size=9"], r"at most data.batch_size \(8\)"),
    (["trainer.max_epochs=2"], "for a LightningModule of your own: name it with module="),
]


@pytest.mark.parametrize(("words", "message"), BAD)
def test_what_cannot_be_is_refused_in_the_plan(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", *words, *([] if "trainer." in words[-1] else SHORT)]) == 2
    import re

    assert re.search(message, " ".join(capsys.readouterr().err.split()))


def test_a_module_needs_a_budget() -> None:
    with pytest.raises(ConfigError, match="trainer.max_epochs or trainer.max_steps"):
        make_run([f"module={FILE}:Plain", f"datamodule={FILE}:Points"])


@pytest.mark.parametrize(
    ("name", "metric", "message"),
    [
        ("Plain", "val_dice", "no figure that the module logs is named 'val_dice'.*val_accuracy"),
        ("Plain", None, "metric= names the figure that is compared; this module logs test_accuracy"),
        ("Silent", "val_loss", "logs no figure"),
        ("NoNorm", "val_loss", "has no normalization layer"),
        ("Breaks", "val_loss", "does not train on one batch with norm=batch: RuntimeError: a fault of mine"),
    ],
)  # fmt: skip
def test_one_batch_tells_before_the_sweep(name: str, metric: str | None, message: str) -> None:
    words = [f"module={FILE}:{name}", f"datamodule={FILE}:Points", *SHORT, "norm=batch,layer", "seed=0"]
    with pytest.raises((ConfigError, UserModuleError), match=message):
        try_metrics(make_plan(words).runs, metric)


def test_the_trial_changes_no_random_state_and_trains_one_batch() -> None:
    before = torch.get_rng_state()
    try_metrics([run_of("Plain", "trainer.max_epochs=500")], "val_accuracy")
    assert torch.equal(before, torch.get_rng_state())
