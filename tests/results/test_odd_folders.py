"""Checks `report` and `export` on folders that hold, or are, anything but what they should: one message, at once."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import normlib
from normlib.cli import main
from normlib.results.store.places import PlaceError, user_path
from normlib.results.store.record import RecordError
from normlib.results.store.store import BROKEN, Store, StoreError
from tests.results.factories import make_record
from tests.results.mutants import signed

NOBODY = 65534
LONG = "x" * 300
ODD = "0" * 16

needs_pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one run in results/small_batch."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "500")
    monkeypatch.delenv("NORMLIB_DEBUG", raising=False)
    Store("results", "small_batch").write(make_record())
    return tmp_path


def _refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one message of a command that ends with 2."""
    assert main(arguments) == 2
    shown, complaint = capsys.readouterr()
    assert shown == "" and len(complaint.splitlines()) == 1 and "Traceback" not in complaint
    return complaint


def _folder(path: Path) -> None:
    path.mkdir()


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening, contextlib.chdir(path.parent):  # its own path may be too long
        listening.bind(path.name)


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


@needs_pipes
@pytest.mark.parametrize(
    ("make", "what"),
    [
        (_folder, "is a folder"),
        (_pipe, "is a pipe"),
        (_socket, "is a socket"),
        (_device, "is a device"),
        (_loop, "cannot be read"),
    ],
)
def test_only_regular_files_are_read(make: object, what: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store("results", "small_batch")
    make(store.path(ODD))  # type: ignore[operator]
    assert main(["report"]) == 0
    assert f"left out: results/small_batch/runs/{ODD}.json: {what}" in capsys.readouterr().out
    assert main(["export", "--to", "runs.csv"]) == 0
    assert f"{ODD}.json: {what}" in capsys.readouterr().out
    assert store.statuses()[ODD] == BROKEN
    with pytest.raises(RecordError, match=what):
        store.read(ODD)


def test_a_link_to_a_record_is_read(place: Path) -> None:
    store, record = Store("results", "small_batch"), make_record(seed=1)
    Path("elsewhere").write_text(record.to_json())
    store.path(record.id).symlink_to(Path("elsewhere").resolve())
    assert record in store.scan().records


TEXTS = {
    "deep": "[" * 200_000, "newer": signed({"format": 3, "environment": {"normlib": "9.0"}}), "surrogate": '"\\ud800"',
    "string": signed({**make_record().to_dict(), "steps": "200"}), "twenty digits": signed({**make_record().to_dict(), "samples": 10**20}),
    "dict for a list": signed({**make_record().to_dict(), "reinitialized": {}}),
}  # fmt: skip
SAID = {
    "newer": "newer normlib, 9.0",
    "string": "has '200' at steps",
    "twenty digits": "at samples",
    "dict for a list": "has {} at reinit",
}


@pytest.mark.parametrize("case", TEXTS)
def test_a_file_that_is_no_sound_record_is_named(case: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Store("results", "small_batch").path(ODD).write_text(TEXTS[case])
    assert main(["report"]) == 0
    shown = capsys.readouterr().out
    assert f"left out: results/small_batch/runs/{ODD}.json: " in shown and SAID.get(case, "not JSON") in shown


@pytest.mark.skipif(os.name != "posix" or os.uname().sysname == "Darwin", reason="names are text there")
def test_a_name_that_is_no_text_is_printed_in_escapes(place: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    Path(os.fsdecode(b"results/small_batch/runs/\xff\n.json")).write_text("{")
    assert main(["report"]) == 0
    assert rb"runs/\udcff\n.json: is cut short" in capfdbinary.readouterr().out


@contextlib.contextmanager
def _nobody() -> Iterator[Path]:
    """A folder as a user finds it who may do little; root may do everything."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o777)
    before, here = os.geteuid(), Path.cwd()
    os.chdir(folder)
    try:
        if before == 0:
            os.seteuid(NOBODY)
        yield folder
    finally:
        os.seteuid(before)
        os.chdir(here)
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o700)
        shutil.rmtree(folder)


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="this system has no users in this sense")
def test_what_may_not_be_read(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "500")
    for verb in (
        "report",
        "export",
    ):  # nobody may not read the environment, where it is root's: import all of it before
        assert main([verb, "nowhere", "--to", "runs.csv"]) == 2
    capsys.readouterr()
    with _nobody():
        store = Store("results", "small_batch")
        for seed in range(2):
            store.write(make_record(seed=seed))
        closed = store.path(make_record(seed=1).id)
        closed.chmod(0)
        assert main(["export", "--to", "runs.csv"]) == 0
        assert f"{closed.name}: cannot be read (Permission denied)" in capsys.readouterr().out
        store.runs.chmod(0)
        for arguments in (["report"], ["report", "results/small_batch"], ["export", "--to", "runs.csv"]):
            complaint = _refused(arguments, capsys)
            assert "results/small_batch/runs" in complaint and "cannot be listed (Permission denied)" in complaint
        with pytest.raises(StoreError, match="permit that"):
            normlib.load_results("results/small_batch")
        store.folder.chmod(0)
        assert "cannot be read (Permission denied)" in _refused(["report", "results/small_batch"], capsys)
        assert "Permission denied" in _refused(["report"], capsys)


PLACES = {
    "a folder": ["report", "{}"], "--to": ["report", "results/small_batch", "--to", "{}"], "results_dir": ["report", "results_dir='{}'"],
    "export --to": ["export", "--to", "{}/runs.csv"], "merged": ["report", "results/small_batch", "results_dir='{}'"],
    "export a folder": ["export", "{}", "--to", "runs.csv"],
}  # fmt: skip


@pytest.mark.parametrize("arguments", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize(
    ("typed", "what"),
    [
        ("~nosuchuser", "home folder of a user"),
        (LONG, "300 bytes"),
        (f"nowhere/{LONG}/x", "300 bytes"),
        ("a/" * 3000, "longer than"),
    ],
    ids=["nosuchuser", "300 characters", "300 characters below", "a long path"],
)
def test_a_place_that_cannot_be_is_refused(
    arguments: list[str], typed: str, what: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    complaint = _refused([argument.format(typed) for argument in arguments], capsys)
    assert what in complaint and len(complaint) < 400
    assert not Path("nowhere").exists()


def test_an_experiment_of_300_characters(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "experiment: " in _refused(["report", f"experiment={LONG}"], capsys)
    assert "300 bytes" in _refused(["report", "results/small_batch", f"experiment={LONG}"], capsys)


def test_places_in_python() -> None:
    for typed, what in (
        ("a\0b", "null character"),
        ("a\udcffb", "is not valid text"),
        ("~nosuchuser/x", "./~nosuchuser"),
        (LONG, "bytes"),
    ):
        with pytest.raises(PlaceError, match=what) as caught:
            user_path(typed, "results_dir")
        assert str(caught.value).startswith("results_dir: ") and str(caught.value).isprintable()
    with pytest.raises(PlaceError, match="null character"):
        normlib.load_results("a\0b")
    assert user_path("a/b", "--to") == Path("a/b")


def test_a_tilde_is_the_home_folder(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(place))
    monkeypatch.chdir(tempfile.gettempdir())
    assert main(["report", "results_dir='~/results'"]) == 0
    assert (place / "results" / "small_batch" / "report.html").exists()
    assert main(["export", "results_dir='~/results'", "--to", "~/runs.csv"]) == 0
    assert (place / "runs.csv").exists()


@needs_pipes
def test_an_export_replaces_no_pipe_and_no_device(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo("runs.csv")
    Path("runs.jsonl").symlink_to("/dev/null")
    for name in ("runs.csv", "runs.jsonl"):
        assert f"{name} is a pipe or a device" in _refused(["export", "--to", name], capsys)
    assert Path("runs.csv").is_fifo() and Path("runs.jsonl").is_symlink()
    assert "is a file" in _refused(["report", "--to", "runs.csv"], capsys)
