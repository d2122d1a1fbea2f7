"""Checks the registry on its own: signatures become settings, and whatever breaks a rule is refused with a message."""

from __future__ import annotations

import enum
import importlib.metadata
import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest

from normlib.plugins import load_plugin
from normlib.registry import Registry, RegistryError


class Base:
    """What members of the test's registry inherit from."""


class Colour(enum.Enum):
    RED = 1


counter = itertools.count()


@pytest.fixture
def make_registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Registry]:
    """A registry over a package of its own, with the given files in it."""

    def make(**files: str) -> Registry:
        name = f"my_room_{next(counter)}"
        (tmp_path / name).mkdir()
        for stem, text in {"__init__": "", **files}.items():
            (tmp_path / name / f"{stem}.py").write_text(text)
        monkeypatch.syspath_prepend(tmp_path)
        return Registry("thing", name, "my.things", frozenset({"size"}), frozenset({"paper"}), lambda: Base)

    return make


@pytest.fixture
def registry(make_registry: Callable[..., Registry]) -> Registry:
    return make_registry()


def test_a_signature_is_a_configuration(registry: Registry) -> None:
    @registry.register("thing", paper="none")
    class Thing(Base):
        """The first sentence.

        The rest.
        """

        def __init__(
            self,
            size: int,
            number: int = 4,
            rate: float | None = None,
            on: bool = True,
            scope: Literal["sample", "position"] = "sample",
            colour: Colour = Colour.RED,
            sides: list[int] = [1],  # noqa: B006 - read, never changed
            untyped=0.5,
        ) -> None: ...

    entry = registry["thing"]
    assert entry.cls is Thing and entry.summary == "The first sentence." and entry.metadata == {"paper": "none"}
    assert entry.source_file == __file__
    assert {name: (setting.type, setting.default) for name, setting in entry.settings.items()} == {
        "number": (int, 4),
        "rate": (float | None, None),
        "on": (bool, True),
        "scope": (str, "sample"),
        "colour": (Colour, Colour.RED),
        "sides": (list[int], [1]),
        "untyped": (float, 0.5),
    }
    assert entry.settings["scope"].choices == ("sample", "position")


def test_names_are_sorted_and_members_are_imported_when_asked_for(make_registry: Callable[..., Registry]) -> None:
    text = "import tests.test_registry as t\n@t.current.register('{0}')\nclass {0}(t.Base): ...\n"
    registry = make_registry(b=text.format("b"), a=text.format("a"))
    globals()["current"] = registry
    sys.modules.setdefault("tests.test_registry", sys.modules[__name__])
    assert registry._entries == {}
    assert registry.names() == ["a", "b"] and "a" in registry and "c" not in registry
    assert [entry.name for entry in registry.entries()] == ["a", "b"]


def make(signature: str, bases: str = "Base") -> type:
    """A class whose constructor has a signature."""
    names: dict[str, Any] = {"Base": Base, "Any": Any}
    exec(f"class Thing({bases}):\n def __init__({signature}): ...", names)
    return names["Thing"]


@pytest.mark.parametrize(
    ("signature", "message"),
    [
        ("self, size, *args", r"'args': .*\*args and \*\*kwargs are not allowed"),
        ("self, size, **more", r"'more': .*not allowed"),
        ("self, size, depth", r"'depth' has no default.*size"),
        ("self, size, depth: dict = None", r"'depth' has type .*dict.*Literal of strings"),
        ("self, size, depth: int | str = 1", r"'depth' has type"),
        ("self, size, depth: list[list] = ()", r"'depth' has type"),
    ],
)
def test_a_signature_that_is_no_configuration_is_refused(signature: str, message: str, registry: Registry) -> None:
    with pytest.raises(RegistryError, match=message):
        registry.register("thing")(make(signature))
    assert "thing" not in registry


def test_other_rules(registry: Registry) -> None:
    with pytest.raises(RegistryError, match=r"must inherit from .*Base.*add it"):
        registry.register("thing")(make("self, size", bases="object"))
    with pytest.raises(RegistryError, match=r"'my-thing'"):
        registry.register("my-thing")(make("self, size"))
    with pytest.raises(RegistryError, match=r"no metadata key is named 'papr'; did you mean 'paper'"):
        registry.register("thing", papr="")(make("self, size"))
    with pytest.raises(RegistryError, match="as a class"):
        registry.register("thing")(lambda: None)  # type: ignore[arg-type]
    assert registry.names() == []


def test_a_name_is_taken_once_but_a_module_may_be_loaded_again(registry: Registry) -> None:
    class Thing(Base): ...

    first = registry.register("thing")(Thing)
    with pytest.raises(RegistryError, match=r"'thing' is taken by .*Thing.*test_registry.*another name"):

        @registry.register("thing")
        class Other(Base): ...

    assert registry["thing"].cls is first

    again = type("Thing", (Base,), {"__qualname__": Thing.__qualname__, "__module__": Thing.__module__})
    registry.register("thing")(again)
    assert registry["thing"].cls is again


def test_an_unknown_name_lists_the_closest(registry: Registry) -> None:
    for name in ("batch", "layer", "group"):
        registry.register(name)(make("self, size"))
    with pytest.raises(
        RegistryError, match=r"no thing is named 'bach'; did you mean 'batch'\? Known: batch, group, layer"
    ):
        registry["bach"]
    with pytest.raises(RegistryError, match=r"no thing is named 'xyz'. Known:"):
        registry["xyz"]


class _EntryPoint:
    """As importlib.metadata.EntryPoint, with the import that a test wants."""

    name, value = "theirs", "their_package:Thing"

    def __init__(self, load: Callable[[], Any]) -> None:
        self.load = load


def test_other_packages_register_through_entry_points(
    make_registry: Callable[..., Registry], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = make_registry()
    asked = []

    def entry_points(group: str) -> list[_EntryPoint]:
        asked.append(group)
        return [_EntryPoint(lambda: registry.register("theirs")(make("self, size, rate=1.0")))]

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    assert registry.names() == ["theirs"] and registry.names() == ["theirs"]
    assert asked == ["my.things"], "asked once"
    assert registry["theirs"].settings["rate"].type is float


def test_a_broken_entry_point_is_named(make_registry: Callable[..., Registry], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise ImportError("no such thing")

    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [_EntryPoint(broken)])
    with pytest.raises(RegistryError, match=r"'theirs' = 'their_package:Thing'.*no such thing.*uninstall"):
        make_registry().names()


def test_the_groups_of_entry_points_are_documented_names() -> None:
    from normlib.experiments.schema import GROUPS

    assert {registry.entry_points for registry in GROUPS.values()} == {
        "normlib.norms",
        "normlib.models",
        "normlib.data",
        "normlib.tasks",
    }


def test_a_plugin_file_is_imported_once_and_again_when_it_changed(tmp_path: Path) -> None:
    count, file = tmp_path / "count", tmp_path / "my_file.py"
    text = f"with open({str(count)!r}, 'a') as f: f.write('x')\n"
    file.write_text(text)
    load_plugin(str(file))
    load_plugin(str(file))
    assert count.read_text() == "x"
    file.write_text(text + "# edited\n")
    load_plugin(str(file))
    assert count.read_text() == "xx"


def test_a_plugin_that_failed_once_is_tried_again(tmp_path: Path) -> None:
    file = tmp_path / "my_file.py"
    file.write_text("import os\nif not os.path.exists(__file__ + '.ready'): raise KeyError('not ready')\n")
    with pytest.raises(RegistryError, match=r"my_file.py' does not import: KeyError: 'not ready'"):
        load_plugin(str(file))
    (tmp_path / "my_file.py.ready").touch()
    load_plugin(str(file))
