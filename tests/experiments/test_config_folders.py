"""Checks folders of one's own, --config-dir: whatever they are called, what is in them counts or is refused."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

import normlib
from normlib.cli import main
from normlib.experiments.config import configuration
from normlib.experiments.folders import check_config_dirs, config_dir_flags
from normlib.experiments.plan import make_plan
from normlib.hydra_app import multirun
from normlib.naming import NO_NAMES
from normlib.registry import RegistryError
from normlib.results.store.store import Store
from tests.experiments.tiny_sweeps import TASK, TINY

ODD = [
    "é", "'", ",", "=", "(", ")", "[", "]", "~", "{", "}", " ", '"', "\\", "$", "${seed}", "#", "*", "?", "%", "&", ";", "|", "<", ">",
    "!", "`", "@", ":", "+", "\t", "\n", "☃",
]  # fmt: skip
HEAD = "# @package _global_\n"
PARAMS = "hydra:\n  sweeper:\n    params:\n      norm: {norms}\n      seed: 0\n"


def make_folder(folder: Path, norms: str = "layer,group8") -> str:
    """A folder with an arm, `group8`, and an experiment, `own`."""
    (folder / "norm").mkdir(parents=True)
    (folder / "experiment").mkdir()
    (folder / "norm" / "group8.yaml").write_text("defaults:\n  - group\nnum_groups: 4\n")
    (folder / "experiment" / "own.yaml").write_text(HEAD + PARAMS.format(norms=norms))
    return str(folder)


def as_a_shell_reads(command: str) -> list[str]:
    """The words of a command after a shell has read it."""
    shell = shutil.which("sh")
    if shell is None:
        pytest.skip("there is no shell here")
    return subprocess.run(
        [shell, "-c", f"printf '%s\\0' {command}"], capture_output=True, check=True, text=True
    ).stdout.split("\0")[:-1]


def test_folders_of_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many at once: composing takes its time, and each folder has an arm of its own to be told by."""
    monkeypatch.chdir(tmp_path)
    names = [*(f"a{odd}b" for odd in ODD), *ODD[:12], "-x", "--x", " a", "a ", "..a"]
    for number, name in enumerate(names):
        make_folder(tmp_path / name)
        (tmp_path / name / "norm" / f"arm{number}.yaml").write_text("defaults:\n  - group\nnum_groups: 4\n")
    arms = {f"arm{number}": name for number, name in enumerate(names)}
    with configuration(["experiment=own"], names) as composer:
        choices = composer.group_choices("norm")
        assert {"group8", "group", "group_ws"} <= set(choices)
        assert [name for arm, name in arms.items() if arm not in choices] == []
        composed = composer.compose(["experiment=own", f"norm={max(arms)}"])
    assert composed.plain["norm"]["num_groups"] == 4 and composed.sweep_params == {"norm": "layer,group8", "seed": "0"}
    assert as_a_shell_reads(shlex.join(config_dir_flags(names))) == [
        word for name in names for word in (["--config-dir=" + name] if name[0] == "-" else ["--config-dir", name])
    ]


def test_every_verb_and_the_workers_in_a_folder_of_the_oddest_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    name = "".join(ODD)
    make_folder(tmp_path / name)
    flags = ["--config-dir", name]
    assert main(["list", *flags]) == 0 and "norm=group8" in capsys.readouterr().out
    assert main(["plan", *TINY, "experiment=own", *flags]) == 0
    assert main(["compare", *TINY, "experiment=own", "jobs=2", "rope=0.5", *flags]) == 0
    assert main(["report", "experiment=own", "rope=0.5", *flags]) == 0
    for record in Store("results", "own").scan().records:
        Store("results", "own").path(record.id).unlink()
        assert main(as_a_shell_reads(record.command)[1:]) == 0
        assert Store("results", "own").read(record.id).labels == record.labels
    assert multirun([*TINY, "norm=group8,layer", "seed=0"], [name], [], True) == ["done", "done"]


def test_a_glob_sees_arms_of_every_folder_and_of_plugins(tmp_path: Path) -> None:
    first, second = make_folder(tmp_path / "a"), tmp_path / "b"
    (second / "norm").mkdir(parents=True)
    (second / "norm" / "group2.yaml").write_text("defaults:\n  - group\nnum_groups: 2\n")
    (second / "my_norm.py").write_text(
        "import normlib\n\n@normlib.register('group_mine', statistics_over='nothing')\nclass Mine(normlib.Norm):\n"
        "    '''Passes its input through.'''\n    def normalize(self, x):\n        return x\n"
    )
    overrides = [*TINY, f"plugins=['{second / 'my_norm.py'}']", "seed=0"]
    folders = [first, str(second)]
    seen = {run.labels["norm"] for run in make_plan([*overrides, "norm=glob(group*)"], folders).runs}
    assert seen == {"group", "group2", "group8", "group_mine", "group_ws"}
    (tmp_path / "a" / "experiment" / "globbed.yaml").write_text(HEAD + PARAMS.format(norms="glob(group?)"))
    plan = make_plan([*TASK, "data.batch_size=8", "training.steps=3", "experiment=globbed"], folders)
    assert {run.labels["norm"] for run in plan.runs} == {"group2", "group8"}


@pytest.mark.parametrize(
    ("text", "came"),
    [
        (PARAMS.format(norms="layer"), "it has none"),
        ("", "it has none"),
        ("# My experiment.\n" + HEAD + PARAMS.format(norms="layer"), "it has none"),
        ("# @package experiment\n" + PARAMS.format(norms="layer"), "it has experiment"),
        ("defaults:\n  - own\n", "it has none"),
    ],
    ids=["none", "empty", "behind a comment", "another", "that builds on one"],
)
def test_an_experiment_whose_settings_would_land_elsewhere_is_refused(
    text: str,
    came: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    make_folder(tmp_path / "mine")
    (tmp_path / "mine" / "experiment" / "bare.yaml").write_text(text)
    (tmp_path / "mine" / "experiment" / "child.yaml").write_text(HEAD + "defaults:\n  - bare\n")
    for line in (["compare", *TINY], ["train", *TINY, "plugins=[]"], ["report"]):
        for name in ("bare", "child"):
            assert main([*line, f"experiment={name}", "--config-dir", "mine"]) == 2
            complaint = capsys.readouterr().err
            assert len(complaint.splitlines()) == 1
            for part in ("mine/experiment/bare.yaml", "`# @package _global_`", came, "add the line"):
                assert part in complaint
    assert not (tmp_path / "results").exists()


def test_an_experiment_that_builds_on_itself_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_folder(tmp_path / "mine")
    for name, parent in (("one", "two"), ("two", "one")):
        (tmp_path / "mine" / "experiment" / f"{name}.yaml").write_text(HEAD + f"defaults: [{parent}]\n")
    assert main(["plan", *TINY, "experiment=one", "--config-dir", folder]) == 2
    assert "experiment=one builds on itself: one on two on one" in capsys.readouterr().err


def test_spaces_in_the_header_are_no_matter(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "mine")
    file = tmp_path / "mine" / "experiment" / "own.yaml"
    file.write_text("\n#   @package   _global_\n# about it\n" + PARAMS.format(norms="layer"))
    assert [run.labels["norm"] for run in make_plan([*TINY, "experiment=own"], [folder]).runs] == ["layer"]


@pytest.mark.parametrize("group", ["norm", "model", "data"])
def test_a_file_with_a_name_that_is_taken_is_refused(
    group: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = {"norm": "group", "model": "mlp", "data": "digits"}[group]
    folder = make_folder(tmp_path / "mine")
    (tmp_path / "mine" / group).mkdir(exist_ok=True)
    (tmp_path / "mine" / group / f"{taken}.yaml").write_text("name: x\n")
    assert main(["plan", *TINY, "experiment=own", "--config-dir", folder]) == 2
    complaint = capsys.readouterr().err
    assert f"{group}/{taken}.yaml" in complaint and "rename the file" in complaint


def test_one_of_two_files_of_a_name_would_not_count_and_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = make_folder(tmp_path / "a"), make_folder(tmp_path / "b", norms="layer,none")
    (tmp_path / "a" / "elsewhere").mkdir()
    (tmp_path / "a" / "elsewhere" / "nan.yaml").write_text("no config group\n")
    for verb in ("plan", "report"):
        assert main([verb, "experiment=own", "--config-dir", first, "--config-dir", second]) == 2
        complaint = capsys.readouterr().err
        assert "b/experiment/own.yaml" in complaint and "a/experiment/own.yaml" in complaint
    assert make_plan([*TINY, "experiment=own"], [first, first]).runs, "one folder twice is no contradiction"
    shadow = tmp_path / "b" / "experiment" / "own.yaml"
    shadow.rename(shadow.with_name("small_batch.yaml"))
    assert main(["plan", "--config-dir", second]) == 2
    assert "b/experiment/small_batch.yaml" in capsys.readouterr().err


WORDS = [word for words in NO_NAMES.values() for word in words]


@pytest.mark.parametrize("word", [*WORDS, "NAN", "Null", "Yes"])
def test_a_word_that_is_no_name_is_refused(word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reading = next(reading for reading, words in NO_NAMES.items() if word.lower() in words)
    with pytest.raises(RegistryError, match=rf"norm cannot be called '{word}', which is read as {reading}"):
        normlib.register(word, statistics_over="nothing")(normlib.Norm)
    folder = make_folder(tmp_path / "mine")
    (tmp_path / "mine" / "norm" / f"{word}.yaml").write_text("defaults:\n  - group\nnum_groups: 4\n")
    assert main(["plan", *TINY, "norm=layer", "--config-dir", folder]) == 2
    assert f"norm={word} is read as {reading}" in capsys.readouterr().err


def test_arms_have_files_of_any_name(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "mine")
    odd = ["odd é", "odd,b", "odd=b", "odd(y", "odd's", "odd-1.5"]
    for number, name in enumerate(odd):
        text = f"defaults:\n  - group\neps: {number + 1}e-3\n"
        (tmp_path / "mine" / "norm" / f"{name}.yaml").write_text(text)
    plan = make_plan([*TINY, "norm=glob(odd*)", "seed=0"], [folder])
    assert {run.labels["norm"] for run in plan.runs} == set(odd)
    plan = make_plan([*TINY, "norm='odd,b','odd é'", "seed=0"], [folder])
    assert [run.labels["norm"] for run in plan.runs] == ["odd,b", "odd é"] == plan.order["norm"]


@pytest.mark.parametrize("name", ["8", "1e-3", "-1"])
def test_a_file_named_like_a_number_is_refused(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_folder(tmp_path / "mine")
    (tmp_path / "mine" / "norm" / f"{name}.yaml").write_text("defaults:\n  - group\n")
    assert main(["plan", *TINY, "norm=layer", "--config-dir", folder]) == 2
    assert "read as a number" in capsys.readouterr().err


def test_a_folder_that_cannot_be_is_refused(tmp_path: Path) -> None:
    for name in ("nowhere", "a" * 300, "a\0b"):
        with pytest.raises(normlib.errors.NormlibError, match="--config-dir"):
            check_config_dirs([name])
