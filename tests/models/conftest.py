"""What the tests of networks share: the small data of `few_data.py`, and runs of a language model on them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from normlib.data import datasets
from tests.models.few_data import FEW


@pytest.fixture
def few_data(registered: Callable[..., Any]) -> None:
    """Registers the small data of this folder: few_texts, few_labelled_texts, few_masks."""
    for name, cls in FEW.items():
        registered(datasets, name)(cls)


@pytest.fixture
def make_text_run(few_data: None, make_run: Callable[..., Any]) -> Callable[..., Any]:
    """``make_text_run(*overrides)``: a run of a small language model on texts of 6 tokens, 11 in the vocabulary."""
    small = ("data=few_texts", "model=gpt", "model.width=32", "model.heads=2", "model.depth=1", "data.batch_size=4")
    return lambda *overrides: make_run(*small, *overrides)
