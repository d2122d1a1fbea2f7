"""Checks whatever may be typed: overrides are composed from a grammar, and each line ends in an answer.

No traceback, an exit code that the command line has, an end within its time, and nothing outside results_dir. A fixed seed
and a few hundred lines; NORMLIB_FUZZ=5000 tries as many.
"""

from __future__ import annotations

import contextlib
import io
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from normlib.cli import main
from normlib.experiments.settings import settings_without_classes
from normlib.results.store.store import Store
from tests.experiments.tiny_sweeps import TINY, files_in
from tests.results.factories import make_record

CASES = int(os.environ.get("NORMLIB_FUZZ", "60"))
MOST_SECONDS = 20.0
COMMON = settings(
    max_examples=CASES, derandomize=True, deadline=None, database=None, phases=[Phase.generate],  # a line is short enough as it is
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
SETTINGS = [
    *sorted({each.key for each in settings_without_classes()} - {"results_dir"}),  # results_dir: the test looks at one folder
    "experiment", "site", "tuning.axis", "norm.eps", "norm.affine", "norm.num_groups", "norm.name", "model.width", "model.name",
    "data.shape", "data.classes", "hydra.verbose", "hydra/launcher", "logger.save_dir", "norm@x", "bogus", "norm.bogus", "",
]  # fmt: skip
PLAIN = [
    "0", "1", "2", "-1", "0.5", "1e-3", "1e999", "nan", "inf", "-inf", "9" * 25, "true", "false", "null", "???", "'???'", "batch",
    "group", "layer", "none", "instance", "mlp", "convnet", "synthetic", "sgd", "cosine", "csv", "bf16-mixed", "weight_norm",
    "small_batch", "norm", "seed", "data.batch_size", "a" * 300, "'~nosuchuser/x'", "../up", "/nowhere", "''", "' '", "'a b'",
    "${seed}", "${norm.eps}", "${nosuch}", "${oc.env:NOSUCH}", "${seed", "\\u0000", "'\u2603'", "ä", "\ud800", "=", "a=b", "a,,b",
    "[]", "{}", "[1,2]", "[a", "{a:1}", "{a:", "[[1]]", "[" * 900 + "]" * 900, "*", "glob(*)", "glob(x*)", "range(2)",
    "range(0,1,0)", "range(3,0)", "range(0.0,1,0.3)", "interval(0,1)", "choice(1,2)", "choice(a,b)", "sort(3,1)", "shuffle(1,2)",
    "tag(a,1)", "int(1.7)", "json_str(1)", "extend_list(1)", "{axis:optimizer.lr,values:[0.1,1],replicates:1}",
    "batch,group", "sgd,adamw", "mlp,convnet", "2,4", "2**64", ".", "a/b", "family",
    "{axis:[a],values:[1,2],replicates:1}", "{axis:seed,values:{},replicates:null}",
]  # fmt: skip

value = st.sampled_from(PLAIN) | st.lists(st.sampled_from(PLAIN), min_size=2, max_size=3).map(",".join)
value |= st.text(alphabet="ab01.,=[](){}'\"$~+-*:\\ \n\té", max_size=12)
override = st.builds(
    lambda prefix, key, sign, given: f"{prefix}{key}{sign}{given}",
    st.sampled_from(["", "", "", "", "", "", "+", "++", "~"]), st.sampled_from(SETTINGS), st.sampled_from(["=", "=", "=", "=", "", "=="]),
    value,
)  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a few records in results/, which is where the lines are typed."""
    folder = tmp_path_factory.mktemp("fuzzed")
    before = Path.cwd()
    os.chdir(folder)
    for seed in range(2):
        for norm in ("batch", "group"):
            Store("results", "small_batch").write(make_record(norm=norm, seed=seed))
    yield folder
    os.chdir(before)


def answer(verb: str, words: list[str], place: Path) -> tuple[int, str]:
    """The exit code and what was printed, of a line that kept its time and wrote in results/ alone."""
    begun, shown = time.monotonic(), io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(shown):
        try:
            code = main([verb, *words])
        except SystemExit as exit_:  # argparse's own
            code = int(exit_.code or 0)
    assert time.monotonic() - begun < MOST_SECONDS
    assert {name.split("/")[0] for name in files_in(place)} == {"results"}
    return code, shown.getvalue()


@COMMON
@given(st.lists(override, min_size=1, max_size=3))
def test_a_plan_of_anything_is_an_answer(place: Path, words: list[str]) -> None:
    keys = {word.partition("=")[0] for word in words}
    rest = [word for word in [*TINY, "norm=layer", "seed=0"] if word.partition("=")[0] not in keys]
    code, shown = answer("plan", [*rest, *words], place)
    assert code in (0, 2)
    assert code == 0 or shown.startswith(("normlib plan: ", "usage: ")), shown
    assert "Traceback" not in shown


GROUPED = [
    "norm=batch,group",
    "norm=glob(group*)",
    "optimizer=sgd,adamw",
    "model=mlp,convnet",
    "schedule=constant,cosine",
]
OF_SOME = [
    "norm.num_groups", "norm.group_size", "norm.momentum", "norm.bogus", "norm.eps", "norm", "optimizer.beta1", "optimizer.momentum",
    "model.width", "model.bogus", "schedule.warmup", "columns", "rows", "name", "baseline",
]  # fmt: skip


@settings(COMMON, max_examples=max(CASES // 2, 1))
@given(
    st.lists(st.sampled_from(GROUPED), min_size=1, max_size=2, unique_by=lambda word: word.partition("=")[0]),
    st.lists(st.tuples(st.sampled_from(OF_SOME), value | st.sampled_from(OF_SOME)), min_size=1, max_size=2),
)
def test_a_plan_of_settings_that_some_choices_have_is_an_answer(
    place: Path, groups: list[str], of_some: list[tuple[str, str]]
) -> None:
    words = [*groups, *(f"{key}={given}" for key, given in of_some)]
    keys = {word.partition("=")[0] for word in words}
    rest = [word for word in [*TINY, "norm=layer", "seed=0"] if word.partition("=")[0] not in keys]
    code, shown = answer("plan", [*rest, *words], place)
    assert code in (0, 2) and "Traceback" not in shown
    assert code == 0 or shown.startswith(("normlib plan: ", "usage: ")), shown


@COMMON
@given(st.lists(override, min_size=1, max_size=2))
def test_a_selection_of_anything_is_an_answer(place: Path, words: list[str]) -> None:
    code, shown = answer("export", [*words, "--to", "results/runs.csv"], place)
    assert code in (0, 2) and "Traceback" not in shown


@settings(COMMON, max_examples=max(CASES // 8, 1))
@given(st.lists(override, min_size=1, max_size=2))
def test_a_run_of_anything_is_an_answer(place: Path, words: list[str]) -> None:
    keys = {word.partition("=")[0] for word in words}
    rest = [word for word in [*TINY, "norm=layer"] if word.partition("=")[0] not in keys]
    code, shown = answer("train", [*rest, *words], place)
    assert code in (0, 1, 2) and "Traceback" not in shown
