"""Checks that a training function of a user's own is called once a run, with the arm's norms and its condition, and that its
figures are recorded without a claim about pairing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

import normlib
from normlib.cli import main
from normlib.experiments.plan import make_plan, make_run
from normlib.results.study.study import Question, Study
from normlib.training.run import train_run

FILE = Path(__file__).with_name("my_functions.py")


def record_of(name: str, *words: str) -> Any:
    return train_run(make_run([f"function={FILE}:{name}", *words])[0], Path("unused")).record


def test_a_run_calls_the_function_with_its_norm_seed_and_condition() -> None:
    record = record_of("train", "norm=group", "norm.num_groups=2", "condition.width=4", "seed=3")
    assert record.status == "done" and record.spec["condition"] == {"width": 4} and not record.hashes
    assert set(record.metrics["test"]) == {"accuracy", "train_loss"}
    assert [facts["name"] for facts in record.metric_facts] == ["accuracy", "train_loss"]
    again = record_of("train", "norm=group", "norm.num_groups=2", "condition.width=4", "seed=3")
    assert (again.metrics, again.id) == (record.metrics, record.id)
    assert record_of("train", "norm=layer", "condition.width=4", "seed=3").metrics != record.metrics


def test_the_random_state_is_the_runs_and_the_callers_is_untouched() -> None:
    before = torch.get_rng_state()
    figures = [record_of("draws", f"norm={norm}", "seed=5").metrics["test"]["accuracy"] for norm in ("batch", "none")]
    assert figures[0] == figures[1] != record_of("draws", "norm=batch", "seed=6").metrics["test"]["accuracy"]
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("name", "status", "reason"),
    [
        ("explodes", "diverged", "accuracy is not finite"),
        ("returns_nothing", "failed", "must return a dict of its figures, .* but it returned NoneType"),
        ("returns_words", "failed", "accuracy must be a number, but it is str"),
        ("raises", "failed", "RuntimeError: a fault of mine"),
    ],
)  # fmt: skip
def test_what_is_no_figure_is_said(name: str, status: str, reason: str) -> None:
    record = record_of(name)
    assert record.status == status and re.search(reason, record.reason)


BAD = [
    ([f"function={FILE}:nothing"], "no class or function of"),
    ([f"function={FILE}:NOT_A_FUNCTION"], "must name a function, but this is a int"),
    ([f"function={FILE}:train", "condition.rl=1"], "condition.rl: no argument of train .*did you mean 'lr'"),
    ([f"function={FILE}:train", "optimizer.lr=1"], "pass it to the function with condition.lr="),
    ([f"function={FILE}:train", "norm.frozen=all"], "norm.frozen needs to know the network"),
    ([f"function={FILE}:train", "save_weights=true"], "keeps its networks to itself"),
    ([f"function={FILE}:train", "metric=closs"], "add metric.higher_is_better"),
    ([f"function={FILE}:train", "module=a.py:B"], "a run trains one of them"),
    (["condition.lr=1"], "name it with function="),
]


@pytest.mark.parametrize(("words", "message"), BAD)
def test_what_cannot_be_is_refused_in_the_plan(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", *words]) == 2
    assert re.search(message, " ".join(capsys.readouterr().err.split()))


def test_a_sweep_in_python_is_the_plan_of_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(FILE.parent)
    monkeypatch.syspath_prepend(str(FILE.parent))
    from my_functions import train

    settings = {"results_dir": str(tmp_path), "jobs": 1}
    runs = normlib.sweep(train, ["batch", "none"], {"lr": [0.1, 0.2]}, range(2), quiet=True, settings=settings)
    words = [
        "function=my_functions.py:train",
        "norm=batch,none",
        "condition.lr=0.1,0.2",
        "seed=0,1",
        f"results_dir={tmp_path}",
    ]
    assert set(runs["id"]) == {run.id for run in make_plan([*words, "columns=condition.lr"]).runs}
    study = Study(runs, Question(columns="condition.lr"))
    assert not study.hashed and set(study.places.column_labels) == {"0.1", "0.2"}
