"""Checks the verbs: what they print, which exit code they return, and that they write nothing outside the results folder."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import normlib
from normlib.cli import VERBS, main
from normlib.help import FIRST_STEPS, epilog
from normlib.help import VERBS as DESCRIBED
from normlib.results.store.store import Store
from tests.experiments.tiny_sweeps import TINY, contents, files_in

NARROW = [*TINY, "norm=layer,instance", "seed=0,1", "jobs=2"]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_train_prints_the_run_and_writes_its_record(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *TINY, "norm=layer", "seed=3"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("done: norm=layer model=mlp data=synthetic seed=3\n")
    for split in ("train", "validation", "test"):
        assert re.search(rf"{split} +accuracy \d+\.\d\d %, calibration error \d", shown)
    (run_id,) = contents(place / "results", "train")
    assert f"record: results/train/runs/{run_id}.json" in shown
    before = contents(place / "results", "train")
    assert main(["train", *TINY, "norm=layer", "seed=3"]) == 0
    assert contents(place / "results", "train") == before
    assert files_in(place) == {f"results/train/runs/{run_id}.json"}


def test_settings_may_stand_before_and_behind_flags(place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for words in ("--cfg job norm=group", "norm=group --cfg job", "norm=group -c job -p norm", "norm=group --cfg=job"):
        assert main(["train", *words.split()]) == 0
        assert "name: group" in capfd.readouterr().out
    assert main(["train", "--info", "searchpath"]) == 0
    assert files_in(place) == set()


def test_multirun_trains_and_litters_nothing(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "-m", *NARROW]) == 0
    records = contents(place / "results", "train")
    assert len(records) == 4
    assert files_in(place) == {f"results/train/runs/{run_id}.json" for run_id in records}
    assert sorted(path.name for path in (place / "results").iterdir()) == ["train"]


def test_plan_compare_and_report(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The three verbs on one folder, in order, so that the sweep is trained once."""
    assert main(["plan", *NARROW]) == 0
    shown = capsys.readouterr().out
    assert "experiment comparison: 4 runs in results/comparison" in shown
    counts = dict(re.findall(r"^ +(done|diverged|failed|missing|skipped) +(\d+)", shown, re.MULTILINE))
    assert counts == {"done": "0", "diverged": "0", "failed": "0", "missing": "2", "skipped": "2"}
    assert "2 × norm=instance model=mlp: InstanceNorm takes" in shown and "estimated time" in shown
    assert files_in(place) == set(), "a plan writes nothing"

    assert main(["compare", *NARROW]) == 0
    shown = capsys.readouterr().out
    assert "comparison: 4 runs: 0 done before, 2 to do in 2 processes, 2 skipped" in shown and "2/2 done" in shown
    folder = place / "results" / "comparison"
    assert {"runs", "runs.csv", "tables", "figures"} <= {path.name for path in folder.iterdir()}
    assert {"/".join(name.split("/")[:2]) for name in files_in(place)} == {"results/comparison"}
    assert len(contents(place / "results")) == 4
    table = shown.partition("Test accuracy")[2]

    assert main(["plan", *NARROW]) == 0
    assert "nothing to train" in capsys.readouterr().out

    before = contents(place / "results")
    assert main(["compare", *NARROW]) == 0
    assert "2 done before, 0 to do" in capsys.readouterr().out and contents(place / "results") == before

    made = [path for path in folder.rglob("*.*") if path.suffix in (".md", ".csv", ".tex")]
    text = {path: path.read_text() for path in made}
    assert folder / "tables" / "accuracy.csv" in made
    for path in made:
        path.unlink()
    assert main(["report", "name=comparison"]) == 0
    assert {path: path.read_text() for path in made} == text, "from the records alone"
    assert capsys.readouterr().out.partition("Test accuracy")[2] == table


def test_a_broken_record_is_named_and_the_report_goes_on(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed in (0, 1):
        assert main(["train", *TINY, "norm=layer", "experiment=small_batch", f"seed={seed}"]) == 0
    cut, whole = sorted(contents(place / "results", "small_batch"))
    file = Store("results", "small_batch").path(cut)
    file.write_bytes(file.read_bytes()[:300])
    capsys.readouterr()
    assert main(["report"]) == 0
    shown = "".join(capsys.readouterr().out.split())
    assert f"{cut}.json" in shown and "cutshort" in shown
    runs = (place / "results" / "small_batch" / "runs.csv").read_text()
    assert whole in runs and cut not in runs


@pytest.mark.parametrize(
    ("word", "meant"),
    [("compair", "compare"), ("comapre", "compare"), ("reprot", "report"), ("lsit", "list"), ("pan", "plan")],
)
def test_a_mistyped_verb_finds_its_neighbour(word: str, meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([word, "norm=group"])
    assert ended.value.code == 2
    assert f"no verb is named {word!r}; did you mean {meant!r}" in capsys.readouterr().err


def test_a_mistyped_flag_finds_its_neighbour(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["compare", "--overwite"])
    assert ended.value.code == 2
    assert "no flag of compare is named '--overwite'; did you mean '--overwrite'" in capsys.readouterr().err


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0 and capsys.readouterr().out == f"normlib {normlib.__version__}\n"


def test_no_verb_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    shown = capsys.readouterr().out
    assert all(verb in shown for verb in VERBS) and "normlib compare" in shown


@pytest.mark.parametrize(
    ("verb", "there", "not_there"),
    [
        ("compare", {"training.epochs=5", "rope=null", "jobs=null", "control=true"}, {"bench.blocks=8"}),
        ("train", {"training.epochs=5", "save_weights=false"}, {"rope=null", "jobs=null", "bench.blocks=8"}),
        ("report", {"rope=null", "results_dir=results"}, {"training.epochs=5", "save_weights=false", "jobs=null"}),
        ("bench", {"bench.blocks=8", "results_dir=results", "plugins=[]"}, {"threads=1 ", "rope=null", "name=null"}),
        ("check", {"plugins=[]"}, {"results_dir=results", "seed=0"}),
        ("export", {"name=null"}, {"rope=null", "plugins=[]"}),
    ],
)
def test_the_help_of_a_verb_has_its_own_settings(verb: str, there: set[str], not_there: set[str]) -> None:
    shown = epilog(verb)
    assert {setting for setting in there | not_there if f"  {setting}" in shown} == there
    assert len(DESCRIBED[verb].examples) == 2


@pytest.mark.parametrize("verb", [None, *VERBS])
def test_the_help_fits_a_terminal(verb: str | None) -> None:
    assert max(map(len, epilog(verb).splitlines())) <= 100  # columns


def examples() -> list[str]:
    lines = [*FIRST_STEPS, *(example for verb in DESCRIBED.values() for example in verb.examples)]
    return sorted({line.partition("#")[0].strip() for line in lines} - {"normlib compare --help"})


@pytest.mark.parametrize("example", [e for e in examples() if re.match(r"normlib (train|compare|plan)\b", e)])
def test_every_example_of_the_help_plans(example: str, place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Planned instead of trained: the same parsing and checks without the training."""
    (place / "my_norm.py").write_text(
        "import normlib\n@normlib.register('my_norm')\nclass N(normlib.Norm):\n    def normalize(self, x): return x\n"
    )
    words = shlex.split(example)[1:]
    if "--cfg" in words:
        assert main(words) == 0
        return
    overrides = [word for word in words[1:] if word != "-m"]
    narrow = [] if any(word.startswith("seed=") for word in words) else ["seed=0"]
    assert main(["plan", *overrides, *narrow]) == 0
    assert re.search("^experiment (small_batch|comparison):", capfd.readouterr().out, re.MULTILINE)


def test_as_a_process(place: Path) -> None:
    """`python -m normlib` and its exit codes, once from outside."""
    quiet = {key: value for key, value in os.environ.items() if key != "NORMLIB_DEBUG"}
    command = [sys.executable, "-m", "normlib", "report", "results_dir=nowhere"]
    done = subprocess.run(command, capture_output=True, text=True, env=quiet)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("normlib report: there are no records in nowhere/")
    debug = subprocess.run(command, capture_output=True, text=True, env=quiet | {"NORMLIB_DEBUG": "1"})
    assert debug.returncode != 0 and "Traceback" in debug.stderr
    assert files_in(place) == set()


def test_a_reader_that_has_seen_enough_is_no_error(place: Path) -> None:
    command = [sys.executable, "-m", "normlib", "list"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 128 + 13
