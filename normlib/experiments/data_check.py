"""Checks a user's own data before training: do they suit the task, and are they the data of earlier runs?

In: runs and the store of their experiment. Out: nothing, or DataError. Data that come with normlib are not loaded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from normlib.data import datasets
from normlib.data.dataset import DataError
from normlib.errors import NormlibError
from normlib.results.store.store import Store
from normlib.training.inputs import checked_hash, without_batches
from normlib.training.spec import Run


def check_data(runs: Sequence[Run], store: Store, data_dir: Path) -> None:
    """Load each dataset that can change without a new version of normlib, once, and check it.

    Raises DataError for samples that are not as declared or do not suit the task. Also raises it if earlier records
    have another hash for the same version and settings.
    """
    own = [
        run
        for run in runs
        if not run.sources and run.skip_reason is None and not datasets[run.spec["data"]["name"]].cls.fixed  # type: ignore[attr-defined]
    ]
    if not own:
        return
    recorded = {
        _content(record.spec, record.data_version): record.hashes["data"]
        for record in store.scan().records
        if record.trained and "data" in record.spec and record.hashes
    }
    # One split is enough, if possible one with a record.
    chosen: dict[str, Run] = {}
    for run in sorted(own, key=lambda run: _content(run.spec, run.data_version) not in recorded):
        data = {**without_batches(run.spec["data"]), "split_seed": 0}
        chosen.setdefault(json.dumps([data, run.spec["task"]], sort_keys=True), run)
    for run in chosen.values():
        name = run.spec["data"]["name"]
        try:
            now = checked_hash(run.spec["data"], run.spec["task"], data_dir)
        except NormlibError:
            raise
        except Exception as error:
            raise DataError(
                f"data={name} cannot be loaded: {type(error).__name__}: {error} (set NORMLIB_DEBUG=1 for the traceback)"
            ) from error
        before = recorded.get(_content(run.spec, run.data_version), now)
        if now != before:
            raise DataError(
                f"data={name} was edited under its old version {run.data_version!r}: runs in {store.runs} were made with other data "
                f"(hash {before}, now {now}). Change version whenever the data change, so runs are made again; or restore the "
                "data, or choose another results_dir"
            )


def _content(spec: Mapping[str, Any], version: str) -> str:
    """The key of data whose content has to be the same: their settings and their version."""
    return json.dumps([without_batches(spec["data"]), version], sort_keys=True)
