"""Checks bad input: exit code 2, one message with what came and the rule or the valid names, no traceback, nothing written."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from normlib.cli import main
from normlib.experiments.complaints import ConfigError
from tests.experiments.tiny_sweeps import TINY, files_in

# Arguments, and what the message must hold: the offending value, and the rule or the closest name.
CASES: list[tuple[str, tuple[str, ...]]] = [
    ("compare norm=grup", ("'grup'", "did you mean 'group'")),
    ("compare model=mpl", ("'mpl'", "did you mean 'mlp'")),
    ("plan epochs=3", ("'epochs'", "did you mean 'training.epochs'")),
    ("plan model.heads=2", ("no setting is named 'heads'", "model.heads is a setting of model=gpt, model=transformer")),
    ("plan optimizer=adamw optimizer.momentum=0.5", ("optimizer.momentum: ", "is a setting of optimizer=sgd")),
    ("plan site.placement=behind", ("no value of site.placement is named 'behind'", "Known: after, before")),
    ("plan norm.frozen=some", ("no value of norm.frozen is named 'some'", "null")),
    ("compare data=digit", ("'digit'", "did you mean 'digits'")),
    ("compare optimizer=sdg", ("'sdg'", "'sgd'")),
    ("compare schedule=foo", ("'foo'", "one_cycle")),
    ("compare logger=foo", ("'foo'", "tensorboard")),
    ("compare experiment=smallbatch", ("'smallbatch'", "did you mean 'small_batch'")),
    ("compare experiment=small_batch,small_batch", ("small_batch,small_batch", "one value")),
    ("compare nrom=batch", ("'nrom'", "did you mean 'norm'")),
    ("compare training.step=3", ("training.step: ", "did you mean 'steps'")),
    ("compare norm=group norm.num_group=4", ("norm.num_group: ", "did you mean 'num_groups'")),
    ("compare norm=batch norm.num_groups=4", ("norm.num_groups: no setting", "is a setting of norm=evonorm_s0, norm=group")),
    ("compare norm=group norm.num_groups=four", ("num_groups=four", "Integer")),
    ("compare norm=layer norm.scope=samples", ("'samples'", "sample, position")),
    ("compare optimizer.lr=high", ("optimizer.lr=high", "Float")),
    ("compare optimizer.lr=0.1,high", ("optimizer.lr=high", "Float")),
    ("compare optimizer.lr=nan", ("nan", "optimizer.lr")),
    ("compare norm=layer norm.eps=inf", ("norm.eps", "finite", "inf")),
    ("compare seed=1.5", ("seed=1.5", "Integer")),
    ("compare seed=range(1000000000)", ("at most 1,000,000 runs",)),
    ("compare seed=interval(0,1)", ("seed=interval(0,1)", "listed values")),
    ("compare norm=glob(x*)", ("norm=glob(x*)", "empty")),
    ("compare site.activation=rellu", ("'rellu'", "did you mean 'relu'")),
    ("compare training.precision=16", ("'16'", "bf16-mixed")),
    ("compare norm=group norm.num_groups=3 model=convnet", ("num_groups=3", "divide")),
    ("compare data.batch_size=0", ("data.batch_size", "at least 1", "got 0")),
    ("compare data.batch_size=5000", ("data.batch_size", "at most the 1297 training samples", "got 5000")),
    ("compare data.batch_size=8 site.norm_batch_size=9", ("site.norm_batch_size", "got 9")),
    ("compare data.split_seed=-1", ("data.split_seed", "got -1")),
    ("compare data=synthetic data.classes=1", ("classes=1", "at least 2 classes")),
    ("compare model=resnet model.depth=9", ("6n+2", "got 9")),
    ("compare training.steps=null training.epochs=0", ("training.epochs", "got 0")),
    ("compare training.steps=null training.epochs=null", ("budget",)),
    ("compare site.dropout=1", ("site.dropout", "got 1")),
    ("compare threads=0", ("threads", "got 0")),
    ("compare jobs=0", ("jobs", "got 0")),
    ("compare accelerator=tpu", ("'tpu'", "cpu")),
    ("compare rows=foo", ("rows=foo", "optimizer.lr")),
    ("compare rope=-0.1", ("rope", "at least 0", "got -0.1")),
    ("compare rope=inf", ("rope", "got inf")),
    ("compare rope=wide", ("rope=wide", "Float")),
    ("compare target=0", ("target", "above 0", "got 0")),
    ("compare target=95", ("target", "a fraction", "got 95")),
    ("compare target=nan", ("target", "got nan")),
    ("compare norm.gamma_noise=-1", ("norm.gamma_noise", "at least 0", "got -1")),
    ("plan tuning=optimizer.lr", ("tuning takes axis, values, replicates", "'optimizer.lr'")),
    ("plan tuning={axis:optimizer.lr,values:[1,2]}", ("tuning takes axis, values, replicates",)),
    ("plan tuning={axis:optimizer.lr,values:[],replicates:3}", ("tuning.values", "at least two", "got []")),
    ("plan tuning={axis:optimizer.lr,values:[0.1],replicates:3}", ("tuning.values", "at least two", "[0.1]")),
    ("plan tuning={axis:optimizer.lr,values:0.1,replicates:3}", ("tuning.values", "a list", "0.1")),
    ("plan tuning={axis:optimizer.lr,values:[0.1,1e-1],replicates:3}", ("tuning.values", "the same run", "leave one out")),
    ("plan tuning={axis:optimizer.lr,values:[0.1,high],replicates:3}", ("optimizer.lr='high'", "Float")),
    ("plan tuning={axis:optimizer.lr,values:[0.1,-1],replicates:3}", ("optimizer.lr is not negative", "got -1")),
    ("plan tuning={axis:optimizer.lr,values:[0.1,[1]],replicates:3}", ("optimizer.lr=[1]",)),
    ("plan tuning={axis:optimizer.lr,values:[0.1,1],replicates:0}", ("tuning.replicates", "at least 1", "got 0")),
    ("plan tuning={axis:optimizer.lr,values:[0.1,1],replicates:2.5}", ("tuning.replicates", "got 2.5")),
    ("plan tuning={axis:optimizer.rate,values:[0.1,1],replicates:3}", ("optimizer.rate", "norm=layer", "optimizer.lr")),
    ("plan tuning={axis:norm,values:[layer,none],replicates:3}", ("tuning.axis=norm", "span the table")),
    ("plan tuning={axis:model,values:[mlp,convnet],replicates:3}", ("tuning.axis=model", "no setting is named 'model'")),
    ("plan tuning={axis:norm.num_groups,values:[2,4],replicates:3} norm=group,layer", ("norm.num_groups", "norm=layer")),
    ("plan tuning={axis:seed,values:[1,2],replicates:3}", ("tuning.axis=seed", "cannot be tuned")),
    ("plan tuning={axis:optimizer.lr,values:[0.1,1],replicates:3} optimizer.lr=0.1,1", ("optimizer.lr", "one value")),
    ("plan tuning={axis:optimizer.lr,values:[0.1,1],replicates:3} columns=optimizer.lr", ("span the table",)),
    ("plan tuning={axis:optimizer.lr,values:[0.1,1],replicates:3} seed=1000002", ("seed=1000002", "1000000 to 1000002")),
    ("plan tuning={axis:optimizer.lr,values:[0.1,1],replicates:3} data.split_seed=${seed}", ("follows the seed",)),
    ("plan tuning={axis:[optimizer.lr],values:[0.1,1],replicates:3}", ("tuning.axis", "one setting", "['optimizer.lr']")),
    # A setting that is no axis is not swept in silence. All three verbs make the same plan, so a few settings show that.
    *[
        (f"{verb} {setting}", expected)
        for number, (setting, expected) in enumerate({
            "results_dir=a,b": ("results_dir=a,b", "one value"),
            "data_dir=a,b": ("data_dir=a,b", "one value"),
            "save_weights=true,false": ("save_weights=true,false", "one value"),
            "save_weights=choice(true)": ("save_weights=choice(true)", "one value"),
            "retry_failed=true,false": ("retry_failed", "one value"),
            "baseline=batch,group": ("baseline=batch,group", "one value"),
            "logger=none,csv": ("logger=none,csv", "one value"),
            "jobs=1,2": ("jobs=1,2", "one value"),
            "rope=0.1,1": ("rope=0.1,1", "one value"),
            "control=true,false": ("control=true,false", "one value"),
            "tuning=null,null": ("tuning=null,null", "one value"),
            "norm=batch norm=group": ("norm=batch norm=group", "chosen twice", "norm=a,b"),
            "+bogus=1": ("+bogus=1", "leave out the '+'"),
            "++bogus=1": ("++bogus=1", "leave out the '++'"),
            "~norm": ("~norm", "leave out the '~'"),
            "~optimizer.lr": ("~optimizer.lr", "leave out the '~'"),
            "jobs=0": ("jobs", "at least 1", "got 0"),
        }.items())
        for verb in (("plan", "compare", "train -m") if number % 4 == 0 else ("plan",))
    ],
    *[
        (f"{verb} {setting}", expected)
        for number, (setting, expected) in enumerate({
            "columns=norm": ("two different settings", "norm"),
            "rows=seed": ("'seed'", "replicates"),
            "seed=range(0,1,0)": ("seed=range(0,1,0)", "zero"),
            "optimizer.weight_decay=???": ("optimizer.weight_decay", "has none"),
            "optimizer.weight_decay='???'": ("optimizer.weight_decay", "has none"),
            "seed=99999999999999999999999": ("seed", "64 bits"),
            "seed=-99999999999999999999999": ("seed", "64 bits"),
            "site.horizon=99999999999999999999": ("site.horizon", "64 bits"),
            "training.steps=10000000000000": ("at most 100,000,000", "10000000000000"),
            "training.steps=null training.epochs=99999999": ("at most 100,000,000",),
            f"norm.eps={'[' * 3000}{']' * 3000}": ("norm.eps=[[[", "nested"),
            f"experiment={'a' * 300}": ("experiment", "300 bytes"),
            "experiment=../evil": ("experiment=../evil", "a plain name"),
            f"results_dir={'a' * 300}": ("results_dir", "300 bytes"),
            "results_dir='~nosuchuser/x'": ("results_dir", "~nosuchuser"),
            "data_dir='~nosuchuser/x'": ("data_dir", "~nosuchuser"),
            f"plugins=[{'a' * 300}.py]": ("plugins", "too long"),
            "plugins=['~nosuchuser/a.py']": ("plugins", "home"),
        }.items())
        for verb in (("plan", "compare") if number % 4 == 0 else ("plan",))
    ],
    ("train +bogus=1", ("+bogus=1", "leave out")),
    ("train norm=batch norm=group", ("norm=batch norm=group", "chosen twice")),
    ("compare plugins=[broken.py]", ("'broken.py'", "nosuchmodule")),
    ("compare plugins=[misspelt.py]", ("'misspelt.py'", "no file")),
    ("compare plugins=[no_such_module]", ("'no_such_module'", "does not import")),
    ("compare --config-dir nowhere", ("'nowhere'", "--config-dir")),
    ("compare norm=[batch", ("norm=[batch", "override grammar")),
    ("compare seed=range(3", ("seed=range(3", "quotes")),
    ("compare results_dir=a_file", ("a_file", "results_dir=")),
    ("train results_dir=a_file", ("a_file", "results_dir=")),
    ("train -m norm=layer results_dir=a_file", ("a_file", "results_dir=")),
    ("train -m norm=grup,batch", ("'grup'", "'group'")),
    ("train norm=batch,layer", ("norm=batch,layer", "train -m")),
    ("train norm=instance", ("only one value", ", 8)")),
    ("train norm=batch data.batch_size=1", ("only one value", ", 8)")),
    ("plan norm=grup", ("'grup'", "'group'")),
    ("list plugins=[broken.py]", ("'broken.py'", "nosuchmodule")),
    ("report", ("no records", "results/small_batch/runs")),
    ("report results_dir=nowhere", ("nowhere", "no records")),
]  # fmt: skip
NARROW = [
    "norm=layer",
    "seed=0",
    "data.batch_size=8",
    "model=mlp",
    "model.width=8",
    "model.depth=2",
    "training.steps=3",
]


def run(line: str) -> int:
    """A verb with the arguments of a line, narrowed to one tiny run wherever the line does not say otherwise."""
    verb, *given = line.split()
    keys = {word.partition("=")[0] for word in given}
    rest = [] if verb in ("list", "report") else [word for word in NARROW if word.partition("=")[0] not in keys]
    return main([verb, *rest, *given])


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NORMLIB_DEBUG", raising=False)
    (tmp_path / "broken.py").write_text("import nosuchmodule\n")
    (tmp_path / "a_file").write_text("a file where a folder should be\n")
    return tmp_path


@pytest.mark.parametrize(("line", "expected"), CASES, ids=[line[:80] for line, _ in CASES])
def test_one_message_and_nothing_written(
    line: str, expected: tuple[str, ...], place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files_in(place)
    assert run(line) == 2
    shown, complaint = capsys.readouterr()
    assert complaint.startswith(f"normlib {line.split()[0]}: "), complaint
    assert len(complaint.splitlines()) == 1, "one message in one piece"
    for part in expected:
        assert part in complaint
    assert "Traceback" not in shown + complaint
    assert files_in(place) == before


def test_the_narrowed_command_itself_is_good(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Else every case above would pass for a reason of its own."""
    assert run("plan seed=0") == 0
    assert re.search(r"missing +1\b", capsys.readouterr().out)


@pytest.mark.parametrize("flags", ["compare --nosuchflag", "train --nosuchflag", "frobnicate", "train --cfg nothing"])
def test_unknown_flags_and_verbs(flags: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(flags.split())
    assert exit_.value.code == 2
    assert flags.split()[-1] in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "closed").mkdir(mode=0o500)
    assert run("compare results_dir=closed") == 2
    assert "closed" in capsys.readouterr().err


def test_the_debug_switch_shows_the_traceback(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NORMLIB_DEBUG", "1")
    with pytest.raises(ConfigError, match="grup"):
        run("plan norm=grup")


def test_a_fault_of_the_program_is_not_passed_off_as_bad_input(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def faulty(*_: object) -> None:
        raise ValueError("a bug")

    monkeypatch.setattr("normlib.experiments.plan.multiply", faulty)
    with pytest.raises(ValueError, match="a bug"):
        run("plan norm=layer")


def test_a_selection_that_no_record_meets_keeps_the_report(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", *TINY, "experiment=small_batch", "norm=layer"]) == 0
    assert main(["report"]) == 0
    table = (place / "results" / "small_batch" / "tables" / "accuracy.csv").read_text()
    capsys.readouterr()
    for line, expected in {
        "report norm=grup": ("grup", "layer"),
        "report seed=5": ("seed=5", "0"),
        "report rows=foo": ("foo", "norm"),
        "report rows=norm columns=norm": ("norm",),
        "report nonsense=1": ("nonsense",),
    }.items():
        assert main(line.split()) == 2, line
        complaint = capsys.readouterr().err
        assert all(part in complaint for part in expected) and len(complaint.splitlines()) == 1
    assert (place / "results" / "small_batch" / "tables" / "accuracy.csv").read_text() == table
