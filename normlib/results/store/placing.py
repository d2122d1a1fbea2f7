"""Placing a report's files in a folder that may be somebody's: all of them or, where one is not ours to replace, none.

In: a folder and contents by path. Out: the files, with the manifest that makes them ours, and nothing of an older report.
This file never touches a file that is not ours under a name that is not needed. One process at a time places files in a
folder. Killed at any moment, it leaves every file of ours in the manifest: that names old and new contents before the
first file is replaced.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Mapping
from pathlib import Path

from normlib.naming import listed
from normlib.results.store.claims import wait_for
from normlib.results.store.files import StoreError, remove_strays, unwritable, write_atomically
from normlib.results.store.manifest import MANIFEST, Manifest, hash_of, hash_of_file

LOCKS, LOCK = ".locks", "report"
MOST_NAMED = 5


def place(
    folder: Path, contents: Mapping[str, str | bytes], overwrite: bool = False, others_stay: bool = False
) -> list[Path]:
    """Write the contents and return their paths. What an older report left is removed, but where `others_stay`.

    StoreError where a file is in the way that is not ours: nothing is written then. `overwrite` replaces it nevertheless,
    if it is a plain file.
    """
    data = {name: each.encode() if isinstance(each, str) else each for name, each in contents.items()}
    new = {name: hash_of(each) for name, each in data.items()}
    _make(folder)
    with wait_for(folder / LOCKS, LOCK):
        there = {name: hash_of_file(folder / name) for name in new}
        known = _checked(folder, [name for name in new if there[name] != new[name]], overwrite, there)
        others = [name for name in known.hashes if name not in new]
        for below in {folder, *((folder / name).parent for name in (*new, *others))}:
            remove_strays(below)
        write_atomically(folder / MANIFEST, known.with_hashes(new).to_json())
        for name, each in data.items():
            if there[name] != new[name]:
                _make((folder / name).parent)
                write_atomically(folder / name, each)
        if not others_stay:
            _remove(folder, others, known)
        write_atomically(folder / MANIFEST, known.only(new, others if others_stay else ()).to_json())
    return [folder / name for name in new]


def check_place(folder: Path, names: Collection[str], overwrite: bool = False) -> None:
    """Refuse early what `place` would refuse for these names, whatever it is to write. StoreError."""
    if folder.is_dir():
        with wait_for(folder / LOCKS, LOCK):
            _checked(folder, names, overwrite, {})


def _checked(folder: Path, names: Collection[str], overwrite: bool, there: Mapping[str, str | None]) -> Manifest:
    """The folder's manifest. StoreError where a name is taken by what is no plain file, or by a file that is not ours;
    `there` has hashes of files as far as they are known."""
    files = (MANIFEST, *names)
    folders = dict.fromkeys(str(Path(name).parent) for name in names)
    blocked = [name for name in folders if not _free(folder / name) and not (folder / name).is_dir()]
    blocked += [name for name in files if not _free(folder / name) and not _plain(folder / name)]
    if blocked:
        raise StoreError(
            f"a report's files are plain files in folders, and something else is at {_listed(folder, blocked)} (a link "
            "to a file counts as something else); move it away, or choose another folder (with results_dir=, or --to for `report`)"
        )
    found = Manifest.read(folder)
    known = Manifest() if found is None else found
    foreign = [MANIFEST] if found is None else []
    for name in names:
        if not _free(folder / name) and not known.owns(name, there.get(name) or hash_of_file(folder / name)):
            foreign.append(name)
    if foreign and not overwrite:
        raise StoreError(
            f"a report replaces only what an earlier report wrote ({MANIFEST} tells), and {_listed(folder, foreign)} "
            "would be lost; choose another folder (with results_dir=, or --to for `report`), or have them replaced with "
            "--overwrite (in Python overwrite=True)"
        )
    return known


def _free(path: Path) -> bool:
    return not os.path.lexists(path)


def _plain(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _listed(folder: Path, names: list[str]) -> str:
    return listed((folder / name for name in names), MOST_NAMED)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error) from error


def _remove(folder: Path, names: Collection[str], known: Manifest) -> None:
    """Remove files that are ours, and the folders that become empty by it."""
    for name in names:
        path = folder / name
        if known.owns(name, hash_of_file(path)):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise unwritable(path, error) from error
            if path.parent != folder:
                with contextlib.suppress(OSError):  # it is not empty, or a link
                    path.parent.rmdir()
