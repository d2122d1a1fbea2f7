"""Checks the files about the project: versions and addresses agree, commands name what is there, no registry's host stands anywhere."""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

import normlib
from normlib.cli import main
from tests.pages import ROOT, blocks, commands, page

PYPROJECT = tomllib.loads(page("pyproject.toml"))
PROJECT = PYPROJECT["project"]
HOSTS = re.compile(
    "|".join((r"py" r"pi\.org", r"python" r"hosted", r"npm" r"js\.", r"download\.py" r"torch", r"/simp" r"le/"))
)
"""Addresses of package registries; each is in two pieces here, so that this file holds none."""


def test_the_version_is_one() -> None:
    citation = yaml.safe_load(page("CITATION.cff"))
    newest = re.search(r"^## \[([^\]]+)\]", page("CHANGELOG.md"), re.MULTILINE)
    assert newest and citation["version"] == newest[1] == PROJECT["version"] == normlib.__version__
    assert citation["license"] == PROJECT["license"]
    assert citation["cff-version"] == "1.2.0" and {"message", "title", "authors"} <= citation.keys()


def test_addresses_agree() -> None:
    urls, citation = PROJECT["urls"], yaml.safe_load(page("CITATION.cff"))
    assert urls.keys() == {"Homepage", "Documentation", "Repository", "Issues", "Changelog"}
    assert citation["repository-code"] == urls["Repository"] and citation["url"] == urls["Documentation"]
    site = page("mkdocs.yml")
    assert f"site_url: {urls['Documentation']}\n" in site and f"repository: {urls['Repository']}\n" in site
    assert urls["Issues"].startswith(urls["Repository"]) and urls["Changelog"].startswith(urls["Repository"])
    assert (ROOT / urls["Changelog"].rpartition("/")[2]).is_file()


def test_the_changelog_has_the_kinds_of_change_that_keep_a_changelog_names() -> None:
    kinds = set(re.findall(r"^### (.+)$", page("CHANGELOG.md"), re.MULTILINE))
    assert kinds and kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


@pytest.mark.parametrize(
    "form", sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")), ids=lambda path: path.stem
)
def test_an_issue_form_is_what_github_takes(form: Path) -> None:
    content = yaml.safe_load(form.read_text(encoding="utf-8"))
    if form.stem == "config":
        assert all(link.keys() == {"name", "url", "about"} for link in content["contact_links"])
        return
    assert {"name", "description", "body"} <= content.keys()
    ids = [part["id"] for part in content["body"]]
    assert len(set(ids)) == len(ids)
    for part in content["body"]:
        assert part["type"] in ("textarea", "input", "checkboxes", "dropdown") and part["attributes"]["label"]


def test_the_published_site_is_the_one_that_mkdocs_builds() -> None:
    build, deploy = yaml.safe_load(page(".github/workflows/pages.yml"))["jobs"].values()
    runs = [step["run"] for step in build["steps"] if "run" in step]
    assert runs == ['pip install -e ".[docs]"', "mkdocs build --strict"] and "docs" in PROJECT["optional-dependencies"]
    (uploaded,) = (step["with"]["path"] for step in build["steps"] if "upload-pages" in step.get("uses", ""))
    assert f"\nsite_dir: {uploaded}\n" in page("mkdocs.yml") and uploaded in page(".ci/run")
    assert deploy["needs"] == "build" and deploy["permissions"] == {"pages": "write", "id-token": "write"}


def test_every_command_of_the_day_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Files exist, extras are declared, tools are in an extra, and what normlib is asked for it takes."""
    extras = PROJECT["optional-dependencies"]
    packages = {re.split(r"[\[<>=]", requirement)[0] for extra in extras.values() for requirement in extra}
    lines = [part.strip() for line in commands(page("CONTRIBUTING.md")) for part in line.split("#")[0].split("&&")]
    assert len(lines) > 10
    monkeypatch.chdir(tmp_path)
    for line in lines:
        program, *words = shlex.split(line)
        if program == "pip":
            assert re.search(r"\[(\w+)\]", line)[1] in extras, line  # type: ignore[index]
        elif program == "normlib" and words[0] == "compare":
            assert main(["plan", *words[1:]]) == 0, capsys.readouterr().err
        elif program == "normlib":
            with pytest.raises(SystemExit, match="^0$"):
                main([words[0], "--help"])
        elif program in ("python", "bash"):
            assert (ROOT / words[0]).is_file(), line
        else:
            assert {"lint-imports": "import-linter"}.get(program, program) in packages, line
            assert all((ROOT / word).exists() for word in words if "/" in word), line


def test_no_file_names_a_registry() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a checkout")
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if not name.startswith("results/gallery/") and path.is_file() and path.suffix != ".png":
            found = HOSTS.search(path.read_text(encoding="utf-8"))
            assert not found, f"{name}: {found}"


def test_the_tree_names_what_is_there() -> None:
    tree = re.findall(r"^(\S+/|\S+\.py) {2,}", blocks(page("CONTRIBUTING.md"), "")[0], re.MULTILINE)
    assert len(tree) > 8 and all((ROOT / name).exists() for name in tree)
