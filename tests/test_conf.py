"""Checks the configuration: every choice composes, every experiment plans, and no list of names disagrees with another."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hydra.core.config_store import ConfigStore

from normlib.choices import PACKAGE, ROOMS, config_dir, registered
from normlib.experiments.config import configuration
from normlib.experiments.plan import make_plan, make_run
from normlib.experiments.schema import GROUPS
from normlib.experiments.settings import GROUPS as CONFIG_GROUPS
from normlib.experiments.settings import SCALARS, SECTIONS, USER_SECTIONS, Root, choices_of, settings_without_classes
from normlib.settings import settings_in

CHOICES = {group: choices_of(group) for group in CONFIG_GROUPS}
CONF = config_dir()


def misnamed(room: Path) -> list[str]:
    """Files of a room that register something else than one class under the file's own name."""
    wrong = []
    for file in sorted(room.rglob("*.py")):
        registered = re.findall(r'^@register\(\s*"(\w+)"', file.read_text(), re.MULTILINE)
        if registered and registered != [file.stem]:
            wrong.append(file.stem)
    return wrong


@pytest.mark.parametrize("group", sorted(CHOICES))
def test_every_choice_composes(group: str) -> None:
    with configuration([]) as composer:
        assert sorted(composer.group_choices(group)) == sorted(CHOICES[group])
        for choice in CHOICES[group]:
            composed = composer.compose([f"{group}={choice}"])
            assert composed.choices[group] == choice
            if group in (*ROOMS, "optimizer", "schedule"):
                _is_complete(composed.plain[group], group, choice)


def _is_complete(node: dict[str, Any], group: str, choice: str) -> None:
    """The node of a choice holds a name and every setting of the class that is registered under it."""
    if group in GROUPS:
        registered = node.get("registered", node["name"])  # a model may have a setting called name
        assert set(GROUPS[group][registered].settings) < set(node)
    if (CONF / group / f"{choice}.yaml").exists():
        assert node["name"] in CHOICES[group], "an arm is a registered norm with settings"
    else:
        assert node.get("registered", node["name"]) == choice


@pytest.mark.parametrize("group", sorted(ROOMS))
def test_help_the_registry_and_the_files_name_the_same(group: str) -> None:
    room = PACKAGE / ROOMS[group]
    assert registered(group) == GROUPS[group].names()
    assert set(GROUPS[group].names()) <= {file.stem for file in room.rglob("*.py")}
    assert misnamed(room) == []


def test_a_file_that_registers_another_name_is_caught(tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text('@register("good", paper="")\nclass Good: ...\n')
    (tmp_path / "odd.py").write_text('@register("other")\nclass Odd: ...\n')
    (tmp_path / "two.py").write_text('@register("two")\nclass A: ...\n@register("three")\nclass B: ...\n')
    (tmp_path / "base.py").write_text("class Base: ...\n")
    assert misnamed(tmp_path) == ["odd", "two"]


def test_a_setting_changes_numbers_where_it_is_in_the_id() -> None:
    """What the settings say of themselves is what the spec of a run, which its id is a hash of, holds."""
    run, _ = make_run(["seed=1"])
    changing = {name for name, each in settings_in(Root).items() if each.changes_numbers}
    assert set(run.spec) | set(USER_SECTIONS) == changing == {*SECTIONS, *USER_SECTIONS, *SCALARS}
    for described in settings_without_classes():
        assert described.setting.changes_numbers == (described.key.partition(".")[0] in changing), described.key


def test_every_file_is_a_choice_of_a_group() -> None:
    for file in CONF.rglob("*.yaml"):
        if file != CONF / "config.yaml":
            assert file.stem in CHOICES[file.parent.name]


@pytest.mark.parametrize("experiment", CHOICES["experiment"])
def test_every_experiment_plans(experiment: str) -> None:
    plan = make_plan([f"experiment={experiment}", "seed=0,1"])
    assert plan.experiment == experiment
    assert len({run.id for run in plan.runs}) == len(plan.runs) > 1
    assert any(run.skip_reason is None for run in plan.runs)


@pytest.mark.parametrize("arm", sorted(set(CHOICES["norm"]) - set(registered("norm"))))
def test_every_arm_is_labelled_by_its_file(arm: str) -> None:
    run, _ = make_run([f"norm={arm}"])
    assert run.labels["norm"] == arm != run.spec["norm"]["name"]
    plain, _ = make_run([f"norm={run.spec['norm']['name']}"])
    assert run.id != plain.id, "an arm that changes nothing is no arm"


def test_composing_copies_no_other_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hydra copies its sources for each composition; with the nodes of every choice, a plan of many arms would take twice as long."""

    class Uncopied:
        def __deepcopy__(self, memo: object) -> None:
            pytest.fail("the store was copied")

    with configuration([]) as composer:
        monkeypatch.setitem(ConfigStore.instance().repo["norm"], "planted.yaml", Uncopied())
        assert composer.compose(["norm=layer"]).plain["norm"]["name"] == "layer"
        assert "layer" in composer.group_choices("norm")
