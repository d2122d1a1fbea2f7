"""Weights that a network starts from: read from a file, checked against the network by name and shape, and filled in.

In: a file, or a mapping of names to tensors, and a network in its original form, with its norms. Out: the same network,
filled, with notes of what is new and what was not used. This file downloads nothing. A model with weights of its own
brings them. Reading a file runs no code from it.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from normlib.naming import listed

DEFAULT = "DEFAULT"
"""The setting for a model's own weights, such as torchvision's."""
WRAPPINGS = ("state_dict", "model", "model_state_dict")
"""Keys of the weights in checkpoints of other programs."""
PREFIXES = ("module.", "_orig_mod.")
"""Prefixes that DistributedDataParallel and torch.compile put before every name."""
COUNTERS = ("num_batches_tracked",)
"""Buffers that older files lack and that change nothing."""
MOST_NAMED = 4


@dataclass
class Start:
    """Weights to start from.

    `source` is the setting. `norm` is the norm of the run that wrote the file, if normlib wrote it. `new`: parameters
    of the last layer that start from the seed. `unused`: names that the network does not have. `loaded`: the tensors
    that were filled, by their ids. `kept_norms`: the sites whose norms keep their own parameters and statistics.
    """

    source: str
    state: Mapping[str, Tensor]
    norm: Mapping[str, Any] | None = None
    new: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    kept_norms: list[str] = field(default_factory=list)
    loaded: dict[int, Tensor] = field(default_factory=dict)

    def fill(self, network: nn.Module, last: nn.Module | None) -> None:
        """Fill `network` by names. Only the layer `last` may be new, for example for other classes. Otherwise
        ValueError.

        On the meta device shapes are checked, and nothing is filled.
        """
        own = network.state_dict(keep_vars=True)
        of_last = set() if last is None else {id(parameter) for parameter in last.parameters()}
        fits = {name: name in self.state and self.state[name].shape == tensor.shape for name, tensor in own.items()}
        last_is_new = not all(fits[name] for name, tensor in own.items() if id(tensor) in of_last)
        missing, other = [], []
        for name, tensor in own.items():
            value = self.state.get(name)
            if value is not None and fits[name] and not (last_is_new and id(tensor) in of_last):
                self.loaded[id(tensor)] = tensor  # kept alive, so that no other tensor gets its id
                if tensor.device.type != "meta":
                    with torch.no_grad():
                        tensor.copy_(value)
            elif id(tensor) in of_last:
                self.new.append(name)
            elif value is not None:
                other.append(f"{name} {tuple(value.shape)}, not {tuple(tensor.shape)}")
            elif name.rpartition(".")[2] not in COUNTERS:
                missing.append(name)
        self.unused = [name for name in self.state if name not in own]
        if missing or other:
            words = [
                f"{verb} {listed(names, MOST_NAMED)}" for verb, names in (("lacks", missing), ("has", other)) if names
            ]
            raise ValueError(
                f"model.weights={self.source} does not fit the network: it "
                + " and ".join(words)
                + "; only the last layer may be new. Give the model the settings that the weights were trained with, or other weights"
            )

    def facts(self) -> dict[str, Any]:
        """What a record says about the start."""
        return {
            "weights": self.source,
            "hash": state_hash(self.state),
            "kept_norms": self.kept_norms,
            "new": self.new,
            "unused": self.unused,
        }


def read_start(source: str, model: str) -> Start:
    """The weights in a file, .safetensors or one of torch's.

    Raises ValueError for a file that does not exist or holds no weights, and for DEFAULT with a `model` that has no
    weights.
    """
    if source == DEFAULT:
        raise ValueError(f"model.weights={DEFAULT}: {model} has no weights of its own; name a file")
    path = Path(source).expanduser().resolve()
    if not path.is_file():
        raise ValueError(
            f"model.weights={source}: there is no file {path}; it is the path of a .safetensors or .pt file, or {DEFAULT}"
        )
    state, norm = _read(path, path.stat().st_mtime_ns)
    return Start(source, state, norm)


def file_hash(source: str, model: str) -> str:
    """16 hexadecimal digits for the content of a file of weights. Raises ValueError as `read_start` does."""
    read_start(source, model)
    path = Path(source).expanduser().resolve()
    return _file_hash(path, path.stat().st_mtime_ns)


def state_hash(state: Mapping[str, Tensor]) -> str:
    """16 hexadecimal digits for names and values, whatever file they came in."""
    digest = hashlib.sha256()
    for name, value in sorted(state.items()):
        digest.update(f"{name}{tuple(value.shape)}{value.dtype}".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


@functools.lru_cache(maxsize=4)
def _read(path: Path, changed: int) -> tuple[Mapping[str, Tensor], Mapping[str, Any] | None]:
    """The state in a file, and the norm that normlib wrote into it. `changed` is its time of change, for the cache."""
    norm = None
    try:
        if path.suffix == ".safetensors":
            from safetensors import safe_open

            with safe_open(path, framework="pt") as file:
                state: Any = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
                told = json.loads((file.metadata() or {}).get("normlib", "{}"))
            norm = json.loads(told["norm"]) if "norm" in told else None
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a broken file raises errors of many kinds
        raise ValueError(
            f"model.weights: {path} cannot be read ({type(error).__name__}: {' '.join(str(error).split())[:200]}); it is a .safetensors "
            "file, or one that torch.save made of a network's state_dict()"
        ) from error
    for key in WRAPPINGS:
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    if not isinstance(state, Mapping) or not state or not all(isinstance(v, Tensor) for v in state.values()):
        raise ValueError(f"model.weights: {path} holds no state_dict(), a mapping of names to tensors; save that")
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): value for name, value in state.items()}
    return dict(state), norm


@functools.lru_cache(maxsize=64)
def _file_hash(path: Path, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
