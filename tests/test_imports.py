"""Checks which modules import which: the contracts hold, and reading and helping import no torch."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from importlinter.cli import EXIT_STATUS_ERROR, EXIT_STATUS_SUCCESS, lint_imports

from normlib.choices import PACKAGE
from normlib.results.store.store import Store
from tests.results.factories import make_record

HEAVY = ("torch", "pytorch_lightning", "hydra", "omegaconf", "pandas", "matplotlib", "scipy", "sklearn")

# One process for all stages, because each costs a start; the stages only add modules, so they go from light to heavy.
STAGES = f"""
import contextlib, io, json, sys
found = {{}}
def stage(name):
    found[name] = [module for module in {HEAVY!r} if module in sys.modules]
import normlib
dir(normlib), normlib.__version__
stage("import")
from normlib.cli import VERBS, main
shown = {{}}
for verb in (None, *VERBS):
    with contextlib.redirect_stdout(io.StringIO()) as text, contextlib.suppress(SystemExit):
        main([*([verb] if verb else []), "--help"])
    shown[verb or ""] = text.getvalue()
stage("help")
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main(["--version"])
with contextlib.redirect_stdout(io.StringIO()):
    for names in (["optimizer.lr_rule"], ["lr_rule", "training"], ["optimizer"], ["settings", "--json"], ["bench"]):
        assert main(["list", *names]) == 0
stage("list of settings")
with contextlib.redirect_stdout(io.StringIO()):
    found["exit code"] = main(["report"])
stage("report")
normlib.BatchNorm
stage("a norm")
with contextlib.redirect_stdout(io.StringIO()):
    main(["plan", "norm=layer", "model=mlp", "model.width=8", "seed=0"])
stage("plan")
print(json.dumps([found, shown]))
"""


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, list[str]], dict[str, str]]:
    folder = tmp_path_factory.mktemp("stages")
    for seed in range(2):
        for norm in ("batch", "layer"):
            Store(folder / "results", "small_batch").write(make_record(norm=norm, seed=seed))
    done = subprocess.run([sys.executable, "-c", STAGES], cwd=folder, capture_output=True, text=True, check=True)
    found, shown = json.loads(done.stdout)
    assert (folder / "results" / "small_batch" / "tables" / "accuracy.md").is_file()
    return found, shown


def test_a_private_file_is_used_in_its_folder_only() -> None:
    foreign = []
    for file in [
        *PACKAGE.rglob("*.py"),
        *(PACKAGE.parent / "tests").rglob("*.py"),
        *(PACKAGE.parent / "examples").rglob("*.py"),
    ]:
        for module in re.findall(r"^\s*(?:from|import) (normlib[\w.]*\._[a-z]\w*)", file.read_text(), re.MULTILINE):
            folder = PACKAGE.parent.joinpath(*module.split(".")[:-1])
            if folder not in file.parents:
                foreign.append(f"{file.relative_to(PACKAGE.parent)}: {module}")
    assert foreign == []


def test_contracts_hold(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PACKAGE.parent)
    assert lint_imports(config_filename="pyproject.toml", no_cache=True) == EXIT_STATUS_SUCCESS, capsys.readouterr().out


def test_a_broken_contract_is_seen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(PACKAGE.parent)
    broken = tmp_path / "contracts.ini"
    broken.write_text(
        "[importlinter]\nroot_package = normlib\n[importlinter:contract:1]\nname = Planted\ntype = forbidden\n"
        "source_modules =\n    normlib.arguments\nforbidden_modules =\n    normlib.help\n"
    )
    assert lint_imports(config_filename=str(broken), no_cache=True) == EXIT_STATUS_ERROR
    assert "normlib.arguments -> normlib.help" in capsys.readouterr().out


def test_importing_and_helping_import_nothing_heavy(stages: tuple[dict[str, list[str]], dict[str, str]]) -> None:
    found, _ = stages
    assert found["import"] == found["help"] == found["list of settings"] == []


def test_reporting_imports_no_torch(stages: tuple[dict[str, list[str]], dict[str, str]]) -> None:
    found, _ = stages
    assert found["exit code"] == 0
    assert {"torch", "pytorch_lightning"}.isdisjoint(found["report"]) and "pandas" in found["report"]
    assert "torch" in found["a norm"], "or nothing would be seen above either"


def test_planning_imports_no_lightning(stages: tuple[dict[str, list[str]], dict[str, str]]) -> None:
    """It takes seconds, which each process of a sweep and each command would take."""
    found, _ = stages
    assert "pytorch_lightning" not in found["plan"] and "hydra" in found["plan"]


def test_every_verb_shows_examples_and_choices(stages: tuple[dict[str, list[str]], dict[str, str]]) -> None:
    from normlib.cli import VERBS
    from normlib.experiments.settings import GROUPS, choices_of
    from normlib.help import VERBS as DESCRIBED

    _, shown = stages
    assert set(shown) == {"", *VERBS} == {"", *DESCRIBED}
    for verb, text in shown.items():
        assert f"normlib {verb or 'compare'}" in text and "examples:" in text
        for group in GROUPS:
            there = verb != "" and group in DESCRIBED[verb].groups
            assert (f"\n  {group}" in text and all(name in text for name in choices_of(group))) == there, (verb, group)
