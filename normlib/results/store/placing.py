"""Writes a report's files into a folder that may be a user's: all of them, or none if a foreign file is in the way.

In: a folder, and contents by path. Out: the files, with the manifest that marks them as normlib's. Files of an older
report are removed. A file that is not normlib's is touched only if it has a needed name and the user said so. One
process at a time writes files in a folder. If the process is killed at any moment, the manifest still names every file
of normlib: it lists old and new contents before the first file is replaced.
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
    """Write the contents and return their paths. Unless `others_stay`, files of an older report are removed.

    Raises StoreError if a file that is not normlib's is in the way; then nothing is written. `overwrite` replaces such
    a file if it is a plain file.
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
    """Refuse early what `place` would refuse for these names. Raises StoreError."""
    if folder.is_dir():
        with wait_for(folder / LOCKS, LOCK):
            _checked(folder, names, overwrite, {})


def _checked(folder: Path, names: Collection[str], overwrite: bool, there: Mapping[str, str | None]) -> Manifest:
    """The folder's manifest. `there` has the hashes of files that are already known.

    Raises StoreError if a name is taken by something other than a plain file, or by a file that is not normlib's.
    """
    files = (MANIFEST, *names)
    folders = dict.fromkeys(str(Path(name).parent) for name in names)
    blocked = [name for name in folders if not _free(folder / name) and not (folder / name).is_dir()]
    blocked += [name for name in files if not _free(folder / name) and not _plain(folder / name)]
    if blocked:
        raise StoreError(
            f"a report's files are plain files in folders, but something else is at {_listed(folder, blocked)} (a link "
            "to a file counts as something else). Move it away, or choose another folder (with results_dir=, or --to for `report`)"
        )
    found = Manifest.read(folder)
    known = Manifest() if found is None else found
    foreign = [MANIFEST] if found is None else []
    for name in names:
        if not _free(folder / name) and not known.owns(name, there.get(name) or hash_of_file(folder / name)):
            foreign.append(name)
    if foreign and not overwrite:
        raise StoreError(
            f"a report replaces only files of an earlier report (listed in {MANIFEST}), so {_listed(folder, foreign)} "
            "cannot be replaced. Choose another folder (with results_dir=, or --to for `report`), or replace them with "
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
    """Remove files that are normlib's, and folders that this leaves empty."""
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
