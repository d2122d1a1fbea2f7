"""The final weights of a run as a file, written atomically and checked before they are used.

In: a network's state. Out: `<folder of the experiment>/weights/<run id>.safetensors`. Any reader of that format can
read it without running code. The file's metadata hold a checksum of the values, the run's id and its norm.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from normlib.results.store.files import StoreError, unwritable, write_atomically

SUFFIX = ".safetensors"
LENGTH_BYTES = 8
"""A file starts with the length of its header, little-endian. Then come the header, JSON, and the values."""
CHECKSUM = "sha256"
METADATA = "normlib"
"""The name of normlib's entry in a file's metadata. It holds JSON."""


def write_weights(state: Mapping[str, Any], path: Path, facts: Mapping[str, str] | None = None) -> None:
    """Write a network's state, and `facts` into the file's metadata. Raises StoreError if that fails."""
    from safetensors.torch import save  # imports torch, which a plan does not need

    no_tensors = [name for name, value in state.items() if not hasattr(value, "data_ptr")]
    if no_tensors:
        raise StoreError(
            f"{path} cannot be written: weights are tensors, but {no_tensors[0]} of the network's state is not"
        )
    values = {
        name: value.detach().cpu().contiguous().clone() for name, value in state.items()
    }  # some share their memory
    # One entry, because the writer puts several in any order, and the same weights should give the same file.
    told = dict(facts or {}) | {CHECKSUM: _checksum(save(values))[0]}
    content = save(values, {METADATA: json.dumps(told, sort_keys=True)})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    except StoreError:
        raise
    except OSError as error:
        raise unwritable(path, error) from error


def read_weights(path: Path) -> dict[str, Any]:
    """The tensors in a file, by their names in the network's state."""
    from safetensors.torch import load_file

    return load_file(path)


def are_sound(path: Path) -> bool:
    """Whether a file holds complete weights: its values agree with the checksum in its metadata."""
    if not path.is_file():
        return False
    try:
        checksum, metadata = _checksum(path.read_bytes())
        return bool(json.loads(metadata[METADATA])[CHECKSUM] == checksum)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _checksum(content: bytes) -> tuple[str, dict[str, str]]:
    """The checksum over names, types, shapes and values of a file's content, and its metadata."""
    end = LENGTH_BYTES + int.from_bytes(content[:LENGTH_BYTES], "little")
    header = json.loads(content[LENGTH_BYTES:end])
    metadata = header.pop("__metadata__", {})
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    digest.update(memoryview(content)[end:])
    return digest.hexdigest(), metadata
