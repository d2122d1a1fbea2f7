"""Paths as a user types them, on the command line or in Python.

In: what was typed. Out: a possible Path with `~` expanded, or one clear error. This file opens and makes nothing.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from normlib.errors import NormlibError
from normlib.results.store.quoting import short

LONGEST_NAME = 255
"""Bytes in a name, on every common file system."""


class PlaceError(NormlibError, ValueError):
    """A path that no file or folder can have. The message states what came, the rule and the fix."""


def user_path(typed: str | os.PathLike[str], what: str) -> Path:
    """The path that was typed for `what`, such as "--to". A leading `~` or `~user` becomes that home folder.

    Raises PlaceError if it is not a possible path.
    """
    check_path(typed, what)
    try:
        path = Path(typed).expanduser()
    except RuntimeError:
        user = Path(typed).parts[0]
        raise PlaceError(
            f"{what}: in {short(str(typed))}, {short(user)} is the home folder of a user that does not exist; name another, or write "
            f"./{user} for a folder of that name"
        ) from None
    check_path(path, what)
    return path


def check_path(path: str | os.PathLike[str], what: str) -> None:
    """Refuse a path that no file system can have. Raises PlaceError."""
    text = os.fspath(path)
    came = f"{what}: {short(text)}"
    if "\0" in text:
        raise PlaceError(f"{came} holds a null character, which no path may have; remove it")
    try:
        names = [part.encode() for part in Path(text).parts]
    except UnicodeEncodeError:
        raise PlaceError(f"{came} is not valid text, but reports have to name it; rename the folder") from None
    longest = max(map(len, names), default=0)
    if longest > LONGEST_NAME:
        raise PlaceError(
            f"{came} holds a name of {longest} bytes, but {LONGEST_NAME} is the most; choose a shorter one"
        )
    try:
        os.lstat(text)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise PlaceError(f"{came} is longer than the file system allows; choose a shorter one") from None
