"""Checks that settings are described where they are: every one has help, docs/settings.md is what they say, lists follow from them."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType

import pytest

from normlib.experiments.selection import OTHER_VERBS_KEYS, PLACES, QUESTION
from normlib.experiments.settings import ROLES, Root, settings_without_classes
from normlib.listing import listing
from normlib.results.study.question import Question
from normlib.settings import as_typed, help_in, setting, settings_in
from tests.pages import ROOT


@pytest.fixture(scope="module")
def generator() -> Iterator[ModuleType]:
    sys.path.insert(0, str(ROOT / "docs"))
    try:
        yield importlib.import_module("generate_settings")
    finally:
        sys.path.remove(str(ROOT / "docs"))


def test_the_page_is_what_the_settings_say(generator: ModuleType) -> None:
    assert generator.PAGE.read_text(encoding="utf-8") == generator.text(), "run: python docs/generate_settings.py"


def test_every_setting_is_on_the_page(generator: ModuleType) -> None:
    page = generator.PAGE.read_text(encoding="utf-8")
    for row in listing():
        if row["kind"] == "setting":
            assert any(
                f"| `{row['key']}`" in line and row["help"].partition("|")[0] in line for line in page.splitlines()
            ), row


def test_a_setting_without_help_is_named(generator: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass
    class Planted(Root):
        wordless: int = setting(3, help="", role="question", changes_numbers=False)

    monkeypatch.setattr("normlib.experiments.settings.Root", Planted)
    with pytest.raises(generator.SettingWithoutHelp, match="wordless"):
        generator.text()


def test_a_field_that_nobody_describes_has_no_help() -> None:
    @dataclass
    class Bare:
        name: str = "bare"
        lr: float = 0.1

    assert [(each.name, each.help) for each in settings_in(Bare).values()] == [("lr", "")]


def test_every_setting_has_a_role() -> None:
    assert {each.setting.role for each in settings_without_classes()} == set(ROLES)
    outside = {name for name, each in settings_in(Root).items() if not each.changes_numbers}
    assert {*PLACES, *QUESTION, *OTHER_VERBS_KEYS} - {"experiment"} == outside - {"figures"}


def test_a_question_by_default_is_that_of_the_settings() -> None:
    question, root = Question(), settings_in(Root)
    assert {name: getattr(question, name) for name in QUESTION} == {name: root[name].default for name in QUESTION}


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "null"), (True, "true"), ([1, 2], "[1,2]"), (["a", "b"], "[a,b]"), ("", "''"), (1e-5, "1e-05")],
)
def test_values_are_written_as_the_command_line_takes_them(value: object, text: str) -> None:
    assert as_typed(value) == text


def test_help_is_inherited_and_overridden() -> None:
    class Base:
        """Words.

        Settings:
            one: first
            two: second,
                on two lines
        """

    class Derived(Base):
        """Words.

        Settings:
            one: another

        Behind: no setting.
        """

    assert help_in(Derived) == {"one": "another", "two": "second, on two lines"}
