"""The manifest: the files in a folder that a report wrote, each with the hash of what it wrote.

In: a folder. Out: `Manifest`, which knows whether a file is normlib's, and its own text. A file is normlib's only while
it holds what normlib wrote. Once edited by hand, it is the user's. This file writes and removes nothing.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

MANIFEST = "report-files.json"
FORMAT = 1
ABOUT = "What normlib wrote here, with the SHA-256 of each file. It replaces and removes these files and no others."
NAME = re.compile(r"([\w-]+/)?[\w-]+(\.[\w-]+)+")
"""A path that a report may have written. A manifest from elsewhere cannot name a file outside its folder."""


@dataclass(frozen=True)
class Manifest:
    """By path relative to the folder: the hashes that a file may have.

    While a report is being written there are two, so the file is normlib's before and after it is replaced.
    """

    hashes: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Manifest | None:
        """The manifest of a folder, or an empty one if there is none. None if the file is not a manifest of normlib."""
        try:
            text = (folder / MANIFEST).read_bytes()
        except FileNotFoundError:
            return cls()
        except OSError:
            return None
        try:
            values = json.loads(text)
            files = {str(name): frozenset(map(str, hashes)) for name, hashes in values["files"].items()}
            sound = values["format"] == FORMAT and all(NAME.fullmatch(name) for name in files)
        except (ValueError, TypeError, KeyError, AttributeError):
            return None
        return cls(files) if sound else None

    def to_json(self) -> str:
        """One line per file, so versions can be compared."""
        lines = [f"  {json.dumps(name)}: {json.dumps(sorted(self.hashes[name]))}" for name in sorted(self.hashes)]
        head = f'{{\n"about": {json.dumps(ABOUT)},\n"format": {FORMAT},\n"files": '
        return head + ("{\n" + ",\n".join(lines) + "\n}" if lines else "{}") + "\n}\n"

    def owns(self, name: str, file_hash: str | None) -> bool:
        """Whether a file of this name and content is normlib's."""
        return file_hash is not None and file_hash in self.hashes.get(name, ())

    def with_hashes(self, hashes: Mapping[str, str]) -> Manifest:
        """The same, but these files may also have these hashes."""
        return Manifest(
            {**self.hashes, **{name: self.hashes.get(name, frozenset()) | {each} for name, each in hashes.items()}}
        )

    def only(self, hashes: Mapping[str, str], others: Iterable[str] = ()) -> Manifest:
        """These files with one hash each, and `others` unchanged."""
        return Manifest(
            {name: self.hashes[name] for name in others} | {name: frozenset({each}) for name, each in hashes.items()}
        )


def hash_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def hash_of_file(path: Path) -> str | None:
    """The hash of a plain file. None if there is none that can be read, or only a link."""
    if path.is_symlink() or not path.is_file():
        return None
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
