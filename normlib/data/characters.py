"""Text as a row of characters, for language models: plays by Shakespeare, which come with normlib."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

import torch
from torch import Tensor

from normlib.data import register
from normlib.data.dataset import DataError, Dataset, Samples

TEXT = Path(__file__).parent / "texts" / "shakespeare.txt"
"""262,063 characters, of which 62 are different: the start of "tiny Shakespeare" (github.com/karpathy/char-rnn). Public domain."""
SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}


@register("characters")
class Characters(Dataset):
    """Shakespeare in windows of `length` characters, to predict the next ones: 80 % to train, 10 % to validate, 10 % to
    test.

    The splits are consecutive parts of the text, and windows do not overlap. The text comes with normlib, so it is the
    same on every machine. Its hash is its version.

    Settings:
        length: characters of a window
    """

    task = "language_modeling"
    characters_per_token = 1.0
    fixed = True

    def __init__(self, length: int = 64) -> None:
        text = _text()
        shortest = int(len(text) * min(SHARES.values())) - 1
        if not 1 <= length <= shortest:
            raise DataError(
                f"characters: length is at least 1 and at most {shortest}, so that every split has a window, got {length}"
            )
        self.length = length
        self.input_shape = (length,)
        self.vocabulary = len(set(text))
        self.sizes = {split: (end - start - 1) // length for split, (start, end) in _bounds(len(text)).items()}
        self.version = f"shakespeare-{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    def load(self, data_dir: Path) -> dict[str, Samples]:
        text = _text()
        number = {character: token for token, character in enumerate(sorted(set(text)))}
        tokens = torch.tensor([number[character] for character in text])
        return {split: self._windows(tokens[start:end]) for split, (start, end) in _bounds(len(text)).items()}

    def _windows(self, tokens: Tensor) -> Samples:
        """Consecutive windows (n, length) of a row of tokens, and the same windows one token further on."""
        count = (len(tokens) - 1) // self.length
        covered = count * self.length
        return Samples(tokens[:covered].view(count, self.length), tokens[1 : covered + 1].view(count, self.length))


@functools.cache
def _text() -> str:
    return TEXT.read_text(encoding="ascii")


def _bounds(length: int) -> dict[str, tuple[int, int]]:
    """Where each split starts and ends in the text."""
    bounds, start = {}, 0
    for split, share in SHARES.items():
        end = length if split == "test" else start + round(share * length)
        bounds[split] = (start, end)
        start = end
    return bounds
