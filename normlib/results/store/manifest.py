"""The manifest: which files of a folder a report wrote, by the hash of what it wrote.

In: a folder. Out: `Manifest`, which says of a path whether its file is ours, and its own text. A file is ours only as long
as it holds what we wrote: edited by hand, it is the user's. This file never writes, and removes nothing.
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
"""A path that a report can have written; a manifest from elsewhere names no file outside its folder."""


@dataclass(frozen=True)
class Manifest:
    """By path relative to the folder, the hashes that its file may have: more than one while a report is under way, so
    that it is ours before it is replaced and afterwards."""

    hashes: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Manifest | None:
        """The manifest of a folder, an empty one where there is none. None where the file is no manifest of ours."""
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
        """A line a file, so that versions of it can be compared."""
        lines = [f"  {json.dumps(name)}: {json.dumps(sorted(self.hashes[name]))}" for name in sorted(self.hashes)]
        head = f'{{\n"about": {json.dumps(ABOUT)},\n"format": {FORMAT},\n"files": '
        return head + ("{\n" + ",\n".join(lines) + "\n}" if lines else "{}") + "\n}\n"

    def owns(self, name: str, file_hash: str | None) -> bool:
        """Whether a file of this name and content is ours."""
        return file_hash is not None and file_hash in self.hashes.get(name, ())

    def with_hashes(self, hashes: Mapping[str, str]) -> Manifest:
        """The same, in which these files may hold something else besides."""
        return Manifest(
            {**self.hashes, **{name: self.hashes.get(name, frozenset()) | {each} for name, each in hashes.items()}}
        )

    def only(self, hashes: Mapping[str, str], others: Iterable[str] = ()) -> Manifest:
        """These files with one content each, and `others` as they are."""
        return Manifest(
            {name: self.hashes[name] for name in others} | {name: frozenset({each}) for name, each in hashes.items()}
        )


def hash_of(content: bytes) -> str:
    """What tells one content from another."""
    return hashlib.sha256(content).hexdigest()


def hash_of_file(path: Path) -> str | None:
    """The hash of a plain file; None where there is none that can be read. A link is none, wherever it leads."""
    if path.is_symlink() or not path.is_file():
        return None
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None
