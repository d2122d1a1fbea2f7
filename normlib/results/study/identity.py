"""Enforces pairing where rows are compared: runs that claim to be paired and are not are refused.

In: frames of runs. Out: nothing, or an IdentityError that names the replicate, the condition, the two arms and the
hash. For rows that may be compared unpaired: in words, what differs.

Runs claim to be paired if they agree in every setting except the norm's, including the seed. Paired runs must have
started from the same trunk, on the same data, with the same shape of learning-rate schedule. They must also have been
fed the same batches in every epoch that both went through (a diverged run stopped early). If a trained run lacks a
hash, it shows nothing, and agrees with none. This file never changes or drops a run.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from normlib.errors import NormlibError
from normlib.results.store.columns import SEED
from normlib.results.store.frame import settings
from normlib.results.store.record import TRAINED
from normlib.results.study.axes import SPLIT_SEED, as_text, section_keys

NORM = "norm"
MEANING = {
    "trunk": "the initial parameters of the trunk",
    "batches": "the batches fed",
    "schedule": "the shape of the learning-rate schedule",
    "data": "the dataset",
}

NO_BATCHES = "[]"
"""The hashes of the batches, as text, for a run that ended in its first epoch."""


NOT_VERIFIED = "Pairing not verified: the runs have no hashes, so nothing shows that runs of one seed share their start and their batches."
"""The note on runs that were made elsewhere, in place of the hashes of records."""


class IdentityError(NormlibError, ValueError):
    """Runs claim to be paired and are not."""


def check_paired(runs: pd.DataFrame) -> None:
    """Refuse trained runs whose settings agree in all but the norm's and whose hashes do not.

    If no run has any hash, all pass, and their tables say that nothing verified them (`NOT_VERIFIED`). `runs` is a
    frame made by `frame`. Raises IdentityError for the first pair found.
    """
    trained = _trained(runs)
    if not len(trained) or not has_hashes(runs):
        return
    # The batches of the run with the most epochs begin with those of every other run.
    epochs = [len(_epochs(text)) for text in _hashes(trained, "batches")]
    trained = trained.iloc[np.argsort(-np.array(epochs), kind="stable")]
    pair = _claimed_pairs(trained)
    _, first_of_pair = np.unique(pair, return_index=True)
    first = first_of_pair[pair]
    others = np.flatnonzero(first != np.arange(len(pair)))
    found = _first_difference(trained.iloc[first[others]], trained.iloc[others])
    if found is not None:
        position, name, difference = found
        run, other = first[others[position]], others[position]
        raise IdentityError(_message(name, difference, trained.iloc[run], trained.iloc[other], trained))


def has_hashes(runs: pd.DataFrame) -> bool:
    """Whether any trained run has a hash, or no run was trained, so there is nothing to verify.

    Runs that were made elsewhere, or by a function of the user's, have none.
    """
    trained = _trained(runs)
    return not len(trained) or any(
        isinstance(text, str) and text not in ("", NO_BATCHES) for name in MEANING for text in _hashes(trained, name)
    )


def pairing(a: pd.DataFrame, b: pd.DataFrame) -> str:
    """Whether two sides of a comparison are paired by their hashes: "" if they are, else which hash differs first.

    Both frames hold the runs of one condition, indexed by replicate (the seed, or seed and split), with one run each.
    Only replicates that both trained are compared. For tables whose rows are not norms (learning rates, depths): arms
    that differ are compared unpaired, and not refused.
    """
    a, b = _trained(a), _trained(b)
    common = a.index.intersection(b.index)
    found = _first_difference(a.loc[common], b.loc[common])
    if found is None:
        return ""
    position, name, difference = found
    index = dict(zip(common.names, np.atleast_1d(np.asarray(common[position], dtype=object)), strict=True))
    replicate = ", ".join(f"{axis}={as_text(value)}" for axis, value in index.items())
    return f"the hash {name!r} ({MEANING[name]}) differs in replicate {replicate}: {difference}"


def held_against_another(runs: pd.DataFrame, name: str) -> NDArray[np.bool_]:
    """For each run, (runs,), whether its hash `name` agrees with that of a run that differs only in the norm's
    settings.

    A missing hash shows nothing. Neither do the batches of a run that ended in its first epoch.
    """
    held = np.zeros(len(runs), dtype=bool)
    rows = np.flatnonzero(runs["status"].isin(TRAINED))
    if not len(rows):
        return held
    trained = runs.iloc[rows]
    hashes, pair = _hashes(trained, name), _claimed_pairs(trained)
    for members in pd.Series(rows).groupby(pair).indices.values():
        told = [place for place in members if isinstance(hashes[place], str) and hashes[place] != NO_BATCHES]
        for place in told:
            others = (hashes[other] for other in told if other != place)
            held[rows[place]] = any(_difference(name, hashes[place], other) is None for other in others)
    return held


def _trained(runs: pd.DataFrame) -> pd.DataFrame:
    return runs[runs["status"].isin(TRAINED)]


def _claimed_pairs(runs: pd.DataFrame) -> NDArray[np.int64]:
    """For each run the number of its pair. Runs that agree in every setting except the norm's share it."""
    outside_norm = [
        name for name in settings(runs)
        if name == SEED or (name.partition(".")[0] != NORM and runs[name].nunique(dropna=False) > 1)
    ]  # fmt: skip
    return np.asarray(runs.groupby(outside_norm, dropna=False, sort=False).ngroup())


def _first_difference(ours: pd.DataFrame, theirs: pd.DataFrame) -> tuple[int, str, str] | None:
    """The first row at which two frames of one length differ in a hash: position, hash, and how, in words."""
    hashes = {name: (_hashes(ours, name), _hashes(theirs, name)) for name in MEANING}
    suspect = [(one != two) | pd.isna(one) for one, two in hashes.values()]
    for position in np.flatnonzero(np.logical_or.reduce(suspect)):
        for name, (one, two) in hashes.items():
            difference = _difference(name, one[position], two[position])
            if difference is not None:
                return int(position), name, difference
    return None


def _difference(name: str, one: Any, two: Any) -> str | None:
    """In words: how two hashes differ, or None. Batches only have to agree in the epochs that both went through."""
    if not (isinstance(one, str) and isinstance(two, str)):
        return " and ".join(text if isinstance(text, str) else "none at all" for text in (one, two))
    if name != "batches":
        return None if one == two else f"{one} and {two}"
    for epoch, (fed, other) in enumerate(zip(_epochs(one), _epochs(two), strict=False)):
        if fed != other:
            return f"{fed} and {other} in epoch {epoch}"
    return None


def _hashes(runs: pd.DataFrame, name: str) -> NDArray[np.object_]:
    """One hash of each run, as text. A missing hash is not text."""
    column = f"hashes.{name}"
    return runs[column].to_numpy(dtype=object) if column in runs else np.full(len(runs), None, dtype=object)


def _epochs(batches: Any) -> list[str]:
    """The hashes of the batches, one per epoch, from the text in the frame."""
    return json.loads(batches) if isinstance(batches, str) else []


def _message(name: str, difference: str, first: pd.Series, other: pd.Series, trained: pd.DataFrame) -> str:
    codes = [kind for kind in ("model", "data", "training") if first.get(f"code.{kind}") != other.get(f"code.{kind}")]
    if codes:
        cause = f"they were made by different versions of the {' and '.join(codes)} code: run `compare` again"
    else:
        cause = f"a norm or a model shifts what must not depend on the norm (runs {first['id']} and {other['id']})"
    return (
        f"runs that are compared must differ only in the norm; in replicate {SEED}={as_text(first[SEED])}, "
        f"{_condition(first, trained)}, the arms {first[NORM]} and {other[NORM]} differ in the hash "
        f"{name!r} ({MEANING[name]}): {difference}; {cause}"
    )


def _condition(run: pd.Series, trained: pd.DataFrame) -> str:
    """The settings of a run that vary among all runs, without the norm and the seed; its labels if none does."""
    varying: list[Any] = section_keys(trained, NORM, SEED)
    if SPLIT_SEED in trained and trained[SPLIT_SEED].nunique() > 1:
        varying.append(SPLIT_SEED)
    keys = varying or [name for name in settings(trained) if f"{name}.name" in trained and name != NORM]
    return ", ".join(f"{key}={as_text(run[key])}" for key in keys)
